#include "data/scp_codes.h"

#include <cmath>

#include "kernels/error.h"
#include "kernels/text.h"

namespace cardiograd {
namespace {

class DictParser {
 public:
  DictParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  std::vector<std::pair<std::string, double>> parse() {
    expect('{');
    while (!accept('}')) {
      std::string key = string();
      for (const auto& entry : entries_) {
        if (entry.first == key) {
          throw InputError(where_ + ": scp_codes names " + quote(key) + " twice");
        }
      }
      expect(':');
      entries_.emplace_back(std::move(key), number());
      if (accept('}')) break;
      expect(',');
    }
    skip_blanks();
    if (at_ != text_.size()) fail("the end");
    return std::move(entries_);
  }

 private:
  [[noreturn]] void fail(const std::string& expected) const {
    throw InputError(where_ + ": scp_codes is no list of statements: " + expected +
                     " is expected at character " + std::to_string(at_ + 1) + " of " +
                     quote(text_));
  }

  bool done() const { return at_ == text_.size(); }

  void skip_blanks() {
    while (!done() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      ++at_;
    }
  }

  bool accept(char c) {
    skip_blanks();
    if (done() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) fail(std::string("\"") + c + "\"");
  }

  std::string string() {
    skip_blanks();
    if (done() || (text_[at_] != '\'' && text_[at_] != '"')) fail("a statement in quotes");
    const char mark = text_[at_++];
    std::string result;
    while (!done() && text_[at_] != mark && text_[at_] != '\n') {
      const char c = text_[at_++];
      result += c == '\\' ? escaped() : c;
    }
    if (done() || text_[at_] != mark) fail("a closing quote");
    ++at_;
    return result;
  }

  char escaped() {
    if (done()) fail("a character after the backslash");
    switch (const char c = text_[at_++]) {
      case '\\':
      case '\'':
      case '"':
        return c;
      case 'n':
        return '\n';
      case 't':
        return '\t';
      case 'r':
        return '\r';
      case 'x': {
        unsigned code = 0;
        const std::string_view digits = text_.substr(at_, 2);
        const char* end = digits.data() + digits.size();
        const auto [stop, error] = std::from_chars(digits.data(), end, code, 16);
        // Above 127 the byte would be no character of its own in UTF-8.
        if (error != std::errc{} || stop != end || digits.size() != 2 || code > 127) {
          fail("a number below 80 of two hexadecimal digits");
        }
        at_ += 2;
        return static_cast<char>(code);
      }
      default:
        --at_;
        fail("a known escape");
    }
  }

  double number() {
    skip_blanks();
    const std::size_t begin = at_;
    std::size_t end = begin;
    while (end < text_.size() &&
           std::string_view("+-.0123456789eE").find(text_[end]) != std::string_view::npos) {
      ++end;
    }
    std::string_view digits = text_.substr(begin, end - begin);
    const bool plus = digits.starts_with('+');
    if (plus) digits.remove_prefix(1);
    double value = 0;
    if ((plus && digits.starts_with('-')) || !parse_number(digits, value) || !std::isfinite(value))
      fail("a number");
    at_ = end;
    return value;
  }

  std::string_view text_;
  const std::string& where_;
  std::size_t at_ = 0;
  std::vector<std::pair<std::string, double>> entries_;
};

}  // namespace

std::vector<std::pair<std::string, double>> parse_scp_codes(std::string_view text,
                                                            const std::string& where) {
  return DictParser(text, where).parse();
}

}  // namespace cardiograd
