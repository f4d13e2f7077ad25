#include "nn/utf8.h"

#include <cstdint>

namespace cardiograd {
namespace {

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

// Length in bytes of the well-formed code point that `text` begins with, or 0.
std::size_t code_point_length(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return 1;
  const std::size_t length = lead < 0xC2   ? 0
                             : lead < 0xE0 ? 2
                             : lead < 0xF0 ? 3
                             : lead < 0xF5 ? 4
                                           : 0;
  if (length == 0 || text.size() < length) return 0;
  std::uint32_t value = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if (!continues(text[i])) return 0;
    value = value << 6 | (static_cast<unsigned char>(text[i]) & 0x3FU);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  return overlong || surrogate || value > 0x10FFFF ? 0 : length;
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = code_point_length(text);
    valid += length == 0 ? "?" : text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return valid;
}

std::size_t code_points(std::string_view text) {
  std::size_t count = 0;
  for (char byte : text) count += !continues(byte);
  return count;
}

std::string shortened(std::string_view text, std::size_t longest) {
  std::string valid = valid_utf8(text);
  if (code_points(valid) <= longest) return valid;
  std::size_t kept = longest - 1;
  std::size_t at = 0;
  while (kept > 0 || continues(valid[at])) {
    kept -= !continues(valid[at]);
    ++at;
  }
  return valid.substr(0, at) + "…";
}

}  // namespace cardiograd
