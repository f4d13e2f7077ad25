// A library that is looked for when the program runs, so that the program starts without it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "kernels/error.h"

namespace cardiograd::cuda {

class SharedLibrary {
 public:
  // Looks where the system's loader does (LD_LIBRARY_PATH, run-path), then in the toolkit that this
  // was built with. It stays loaded. Throws DeviceError with what the loader says.
  explicit SharedLibrary(const std::string& name);

  // Throws DeviceError where the library has no such function.
  template <class Function>
  void find(Function*& function, const char* name) const {
    function = reinterpret_cast<Function*>(address(name));
  }

 private:
  void* address(const char* name) const;

  std::string name_;
  void* handle_ = nullptr;
};

// "13.1.0"
std::string version_text(std::size_t major, std::size_t minor, std::size_t patch);

// A library's functions, or why there are none. An Api is made of the SharedLibrary, and throws
// where that lacks one.
template <class Api>
struct Loaded {
  std::optional<Api> api;
  std::string why;
};
template <class Api>
Loaded<Api> load(const std::string& file) {
  Loaded<Api> found;
  try {
    found.api.emplace(SharedLibrary(file));
  } catch (const DeviceError& error) {
    found.why = error.what();
  }
  return found;
}

}  // namespace cardiograd::cuda
