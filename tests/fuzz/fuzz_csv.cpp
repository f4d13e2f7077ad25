// CSV tables.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "data/csv.h"
#include "kernels/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    cardiograd::CsvTable::parse(text, "fuzz");
  } catch (const cardiograd::Error&) {
    // A sentence is the right answer to most inputs.
  }
  return 0;
}
