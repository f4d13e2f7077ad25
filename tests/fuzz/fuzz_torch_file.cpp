// Files of torch.save, both formats: what is read must be safe to walk over and to copy out.
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/error.h"
#include "nn/torch_file.h"

namespace {

void walk(const cardiograd::TorchValue& value) {
  using cardiograd::TorchKind;
  if (value.is(TorchKind::tensor)) {
    value.as_tensor().contiguous_bytes();
    value.as_tensor().values<double>();
  } else if (value.is(TorchKind::list) || value.is(TorchKind::tuple)) {
    for (const auto& item : value.items()) walk(item);
  } else if (value.is(TorchKind::dict)) {
    for (const auto& entry : value.entries()) {
      walk(entry.key);
      walk(entry.value);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    walk(cardiograd::parse_torch_file(std::as_bytes(std::span(data, size)), "fuzz"));
  } catch (const cardiograd::Error&) {
    // A sentence is the right answer to most inputs.
  }
  return 0;
}
