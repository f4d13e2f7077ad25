// Headers of safetensors files.
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/error.h"
#include "nn/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    cardiograd::parse_safetensors_header(std::as_bytes(std::span(data, size)), "fuzz");
  } catch (const cardiograd::Error&) {
    // A sentence is the right answer to most inputs.
  }
  return 0;
}
