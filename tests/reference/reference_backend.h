// The oracle: every operation as the plain loops of its definition, in float64. Slow on purpose.
// Not final: tests derive from it to plant errors.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace cardiograd {

class ReferenceBackend : public Backend {
 public:
#include "kernels/backend_overrides.inl"
};

std::shared_ptr<Backend> make_reference_backend();

}  // namespace cardiograd
