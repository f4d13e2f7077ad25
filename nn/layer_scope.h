// Who asks for an operation: which layer of the model, in which pass of a training step. Both are
// known while they last to profiles (nn/profile.h), and are ranges (kernels/range.h). Of this
// thread; scopes nest.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/range.h"

namespace cardiograd {

class Module;

// A layer's computation; the tape opens it again for the operations' gradients. A layer that opens
// none counts as a part of the one around it.
class LayerScope {
 public:
  explicit LayerScope(const Module& layer);
  // A module's path(), or "".
  explicit LayerScope(const char* path);
  LayerScope(const LayerScope&) = delete;
  LayerScope& operator=(const LayerScope&) = delete;
  ~LayerScope();

  // The innermost scope's path; "" without.
  static const char* current();

 private:
  const char* outer_;
  Range range_;
};

// Forward is opened by who calls the model, backward by the tape, update by the optimizer.
enum class Pass : std::uint8_t { none, forward, backward, update };
// "" for none.
std::string_view name_of(Pass pass);

class PassScope {
 public:
  explicit PassScope(Pass pass);
  PassScope(const PassScope&) = delete;
  PassScope& operator=(const PassScope&) = delete;
  ~PassScope();

  static Pass current();

 private:
  Pass outer_;
  Range range_;
};

}  // namespace cardiograd
