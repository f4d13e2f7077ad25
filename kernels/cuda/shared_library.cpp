#include "kernels/cuda/shared_library.h"

#include <dlfcn.h>

namespace cardiograd::cuda {

SharedLibrary::SharedLibrary(const std::string& name) : name_(name) {
  std::string said;
  for (const std::string& path : {name, std::string(CARDIOGRAD_CUDA_LIBRARY_DIR "/") + name}) {
    handle_ = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ != nullptr) return;
    // The first answer tells most, unless it only says that there is no such file.
    if (const char* error = ::dlerror(); said.empty() && error != nullptr) said = error;
  }
  throw DeviceError(said.empty() ? name + " cannot be loaded" : said);
}

void* SharedLibrary::address(const char* name) const {
  void* found = ::dlsym(handle_, name);
  if (found == nullptr) throw DeviceError(name_ + " has no function " + name);
  return found;
}

std::string version_text(std::size_t major, std::size_t minor, std::size_t patch) {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

}  // namespace cardiograd::cuda
