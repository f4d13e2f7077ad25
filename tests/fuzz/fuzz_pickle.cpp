// Pickles alone: in a zip archive the checksums keep mutations from reaching them.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "kernels/error.h"
#include "nn/unpickler.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t most_tensor_bytes = 1 << 12;
  const auto storage = [](const std::string& key, std::size_t, std::size_t bytes) {
    if (bytes > most_tensor_bytes) throw cardiograd::InputError("too large");
    auto made = std::make_shared<cardiograd::TorchStorage>();
    made->key = key;
    made->bytes = bytes;
    made->data = std::make_unique<std::byte[]>(bytes);
    return made;
  };
  try {
    cardiograd::Unpickler unpickler(std::as_bytes(std::span(data, size)), "fuzz", storage,
                                    most_tensor_bytes);
    const cardiograd::TorchValue value = unpickler.run();
    if (value.is(cardiograd::TorchKind::tensor)) value.as_tensor().values<double>();
    if (!value.is(cardiograd::TorchKind::dict)) return 0;
    for (const auto& entry : value.entries()) {
      if (entry.value.is(cardiograd::TorchKind::tensor)) entry.value.as_tensor().values<double>();
    }
  } catch (const cardiograd::Error&) {
    // A sentence is the right answer to most inputs.
  }
  return 0;
}
