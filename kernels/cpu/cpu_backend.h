// The CPU: oneDNN where it is fast, our own vectorised loops elsewhere. The embedded default.
#pragma once

#include <memory>
#include <string>

namespace cardiograd {

class Backend;

std::shared_ptr<Backend> make_cpu_backend();

// "cpu (oneDNN 2.6.3, avx512)".
std::string cpu_backend_description();

}  // namespace cardiograd
