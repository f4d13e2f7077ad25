// Text from files and command lines, made safe to pass on.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cardiograd {

// The same text with each byte that is not part of well-formed UTF-8 (RFC 3629) replaced by "?".
std::string valid_utf8(std::string_view text);

// Number of code points of well-formed UTF-8.
std::size_t code_points(std::string_view text);

// The text made well-formed; when it is longer than `longest` code points (at least 1), it is cut
// and ends with an ellipsis.
std::string shortened(std::string_view text, std::size_t longest);

}  // namespace cardiograd
