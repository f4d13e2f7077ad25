// Small helpers for reading text and for writing error sentences.
#pragma once

#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace cardiograd {

// `text` in double quotes for an error sentence: bytes that a terminal might obey are written as
// \xNN, and what is longer than `longest` bytes is cut with "...". Valid UTF-8 is left as it is.
std::string quote(std::string_view text, std::size_t longest = 60);

// "a, b, c"
std::string join(const std::vector<std::string>& words, std::string_view separator = ", ");

// The shortest decimal that reads back as `value`: "100", "0.1", "1e-07".
std::string shortest_number(double value);

// The candidate with the smallest Levenshtein distance to `word` (the first of equals), or an empty
// view where none shares at least half of its letters with it: a wild guess would mislead.
std::string_view nearest(std::string_view word, const std::vector<std::string>& candidates);

// The sentence's end for an unknown name: "; did you mean "x"? Known are a, b, c" or
// "; known are a, b, c".
std::string suggestion(std::string_view word, const std::vector<std::string>& candidates);

// Whether a shell-style pattern fits the whole of `text`: * stands for any letters, dots too, ? for
// one. "features.*" fits "features.0.weight".
bool matches(std::string_view pattern, std::string_view text);

// Reads a whole field as one decimal number, without spaces or a plus sign; false where it is
// anything else or out of T's range. For floating T, "inf" and "nan" are read: check for them.
template <class T>
bool parse_number(std::string_view field, T& value) {
  const char* end = field.data() + field.size();
  const auto [stop, error] = std::from_chars(field.data(), end, value);
  return error == std::errc{} && stop == end && !field.empty();
}

}  // namespace cardiograd
