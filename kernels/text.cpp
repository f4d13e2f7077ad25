#include "kernels/text.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <numeric>

namespace cardiograd {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string quote(std::string_view text, std::size_t longest) {
  std::string result = "\"";
  const std::string_view shown = text.substr(0, longest);
  for (const char byte : shown) {
    const auto code = static_cast<unsigned char>(byte);
    if (code < 0x20 || code == 0x7f) {
      std::array<char, 8> escaped{};
      std::snprintf(escaped.data(), escaped.size(), "\\x%02x", code);
      result += escaped.data();
    } else {
      result += byte;
    }
  }
  return result + (shown.size() < text.size() ? "...\"" : "\"");
}

std::string join(const std::vector<std::string>& words, std::string_view separator) {
  std::string result;
  for (const std::string& word : words) {
    if (!result.empty()) result += separator;
    result += word;
  }
  return result;
}

std::string shortest_number(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

std::string_view nearest(std::string_view word, const std::vector<std::string>& candidates) {
  constexpr std::size_t longest = 64;  // bounds the work on hostile input
  word = word.substr(0, longest);
  std::string_view best;
  std::size_t best_distance = 0;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    const bool close = 2 * distance <= std::max(word.size(), candidate.size());
    if (close && (best.empty() || distance < best_distance)) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string suggestion(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string_view guess = nearest(word, candidates);
  const std::string known = "nown are " + join(candidates);
  return guess.empty() ? "; k" + known : "; did you mean " + quote(guess) + "? K" + known;
}

bool matches(std::string_view pattern, std::string_view text) {
  // Only the last star needs trying again: what an earlier one could take, it can take as well.
  std::size_t at = 0, letter = 0;
  std::size_t star = std::string_view::npos, after_star = 0;
  while (letter < text.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      after_star = letter;
    } else if (at < pattern.size() && (pattern[at] == '?' || pattern[at] == text[letter])) {
      ++at;
      ++letter;
    } else if (star != std::string_view::npos) {
      at = star + 1;
      letter = ++after_star;
    } else {
      return false;
    }
  }
  while (at < pattern.size() && pattern[at] == '*') ++at;
  return at == pattern.size();
}

}  // namespace cardiograd
