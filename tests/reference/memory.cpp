// Name and memory of ReferenceBackend: plain host memory, never cached, so that a sanitizer sees
// every block.
#include <cstring>
#include <new>

#include "tests/reference/reference_backend.h"

namespace cardiograd {

namespace {
constexpr std::align_val_t block_alignment{64};
}

std::string ReferenceBackend::name() const { return "reference"; }

DType ReferenceBackend::default_dtype() const { return DType::f64; }

void* ReferenceBackend::allocate(std::size_t bytes) {
  try {
    return ::operator new(bytes, block_alignment);
  } catch (const std::bad_alloc&) {
    throw DeviceError("the reference backend cannot allocate " + std::to_string(bytes) +
                      " bytes: free memory or take a smaller batch");
  }
}

void ReferenceBackend::deallocate(void* data, std::size_t) noexcept {
  ::operator delete(data, block_alignment);
}

void ReferenceBackend::copy_from_host(void* device, const void* host, std::size_t bytes) {
  if (bytes > 0) std::memcpy(device, host, bytes);
}

void ReferenceBackend::copy_to_host(void* host, const void* device, std::size_t bytes) {
  if (bytes > 0) std::memcpy(host, device, bytes);
}

void ReferenceBackend::synchronize() {}

std::shared_ptr<Backend> make_reference_backend() { return std::make_shared<ReferenceBackend>(); }

}  // namespace cardiograd
