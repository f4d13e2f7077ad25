// A library that is looked for when the program runs, so that the program starts without it.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "kernels/cuda/runtime.h"
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

// An Interface as Made(api, stream) gives it; null where the library is missing or refuses, so that
// our own kernels serve.
template <class Interface, class Made, class Api>
std::unique_ptr<Interface> made_with(const Loaded<Api>& library, Stream stream) {
  if (!library.api) return nullptr;
  try {
    return std::make_unique<Made>(*library.api, stream);
  } catch (const DeviceError&) {
    return nullptr;
  }
}

// "13.1.0" where version() says 130100; empty where the library is missing, and `why` what the
// loader said.
template <class Api>
std::string version_of(const Loaded<Api>& library, std::string& why) {
  why = library.why;
  if (!library.api) return "";
  const std::size_t version = library.api->version();
  return version_text(version / 10000, version / 100 % 100, version % 100);
}

}  // namespace cardiograd::cuda
