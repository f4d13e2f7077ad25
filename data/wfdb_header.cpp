// Parsing of WFDB headers, see data/wfdb.h.
#include <cmath>
#include <utility>

#include "data/wfdb.h"
#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/input_file.h"

namespace cardiograd {
namespace {

constexpr std::size_t max_header_bytes = std::size_t{1} << 24;
constexpr std::string_view blanks = " \t\r";

// Cuts the next run of non-blank characters off `rest`.
std::string_view next_field(std::string_view& rest) {
  const std::size_t begin = std::min(rest.find_first_not_of(blanks), rest.size());
  const std::size_t end = std::min(rest.find_first_of(blanks, begin), rest.size());
  const std::string_view field = rest.substr(begin, end - begin);
  rest.remove_prefix(end);
  return field;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(blanks), text.size());
  text.remove_prefix(begin);
  return text.substr(0, text.find_last_not_of(blanks) + 1);
}

// Cuts `text` at the first `mark`: what stands before stays, what stands after is returned.
std::string_view split_off(std::string_view& text, char mark) {
  const std::size_t at = text.find(mark);
  if (at == std::string_view::npos) return {};
  const std::string_view tail = text.substr(at + 1);
  text = text.substr(0, at);
  return tail;
}

class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::filesystem::path& path) : rest_(text) {
    header_.path = path;
  }

  WfdbHeader parse() {
    std::string_view line;
    while (next_line(line)) {
      if (line.front() == '#') {
        header_.comments.emplace_back(line.substr(1));
      } else if (announced_ < 0) {
        parse_record_line(line);
      } else {
        parse_signal_line(line);
      }
    }
    if (announced_ < 0) {
      throw InputError(header_.path.string() +
                       " has no record line; it is empty or no WFDB header");
    }
    if (static_cast<std::int64_t>(header_.signals.size()) != announced_) {
      throw InputError(header_.path.string() + ", line " + std::to_string(record_line_) + ": " +
                       std::to_string(announced_) + " signals are announced, but " +
                       std::to_string(header_.signals.size()) + " signal lines follow");
    }
    return std::move(header_);
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw InputError(header_.path.string() + ", line " + std::to_string(line_) + ": " + message);
  }

  // The next line that is not blank, without blanks around it.
  bool next_line(std::string_view& line) {
    while (!rest_.empty()) {
      const std::size_t end = std::min(rest_.find('\n'), rest_.size());
      line = trimmed(rest_.substr(0, end));
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
      ++line_;
      if (!line.empty()) return true;
    }
    return false;
  }

  // An optional whole number: an empty field leaves `value` as it is.
  template <class T>
  void whole(std::string_view field, const char* what, T& value) const {
    if (!field.empty() && !parse_number(field, value)) {
      fail(std::string("the ") + what + " " + quote(field) + " is no whole number in range");
    }
  }

  void real(std::string_view field, const char* what, double& value) const {
    if (!field.empty() && (!parse_number(field, value) || !std::isfinite(value))) {
      fail(std::string("the ") + what + " " + quote(field) + " is no number");
    }
  }

  // name[/segments] signals [frequency[/counter[(base)]] [length [time [date]]]]
  void parse_record_line(std::string_view line) {
    record_line_ = line_;
    const std::string_view name = next_field(line);
    if (name.find('/') != std::string_view::npos) {
      fail("the record " + quote(name) +
           " has several segments, which are not read; convert it to one segment");
    }
    header_.name = name;
    const std::string_view count = next_field(line);
    if (count.empty()) fail("the number of signals is missing");
    whole(count, "number of signals", announced_);
    if (announced_ < 0) fail("the number of signals " + quote(count) + " is negative");

    std::string_view frequency = next_field(line);
    std::string_view counter = split_off(frequency, '/');
    std::string_view base = split_off(counter, '(');
    real(frequency, "sampling frequency", header_.frequency);
    if (header_.frequency <= 0) {
      fail("the sampling frequency " + quote(frequency) + " is not above 0");
    }
    header_.counter_frequency = header_.frequency;
    real(counter, "counter frequency", header_.counter_frequency);
    split_off(base, ')');
    real(base, "base counter value", header_.base_counter);

    const std::string_view length = next_field(line);
    whole(length, "number of samples", header_.length);
    if (header_.length < 0) fail("the number of samples " + quote(length) + " is negative");
  }

  // file format[xN][:skew][+offset] [gain[(baseline)][/units] [resolution [zero [initial [checksum
  // [block size [description]]]]]]]
  void parse_signal_line(std::string_view line) {
    if (static_cast<std::int64_t>(header_.signals.size()) == announced_) {
      fail("there are more signal lines than the " + std::to_string(announced_) +
           " signals that line " + std::to_string(record_line_) + " announces");
    }
    WfdbSignal signal;
    signal.line = line_;
    signal.file = next_field(line);
    if (signal.file.find('/') != std::string::npos || signal.file == "-" || signal.file == "~" ||
        signal.file.find('\0') != std::string::npos) {
      fail("the signal file " + quote(signal.file) + " does not lie beside the header");
    }
    parse_format(next_field(line), signal);
    const std::string_view gain = next_field(line);
    whole(next_field(line), "ADC resolution", signal.adc_resolution);
    if (signal.adc_resolution == 0) signal.adc_resolution = 12;
    whole(next_field(line), "ADC zero", signal.adc_zero);
    signal.baseline = signal.adc_zero;
    parse_gain(gain, signal);
    signal.initial_value = signal.adc_zero;
    whole(next_field(line), "initial value", signal.initial_value);
    parse_checksum(next_field(line), signal);
    whole(next_field(line), "block size", signal.block_size);
    signal.description = trimmed(line);
    if (signal.description.empty()) {
      signal.description =
          "record " + header_.name + ", signal " + std::to_string(header_.signals.size());
    }
    header_.signals.push_back(std::move(signal));
  }

  void parse_format(std::string_view field, WfdbSignal& signal) const {
    const std::string_view whole_field = field;
    const std::string_view offset = split_off(field, '+');
    const std::string_view skew = split_off(field, ':');
    const std::string_view per_frame = split_off(field, 'x');
    if (!parse_number(field, signal.format) || (signal.format != 16 && signal.format != 212)) {
      fail("the signal format " + quote(whole_field) + " is not read; supported are 16 and 212");
    }
    whole(offset, "byte offset", signal.byte_offset);
    whole(skew, "skew", signal.skew);
    whole(per_frame, "number of samples per frame", signal.samples_per_frame);
    if (signal.byte_offset < 0 || signal.skew < 0 || signal.samples_per_frame < 1) {
      fail("the signal format " + quote(whole_field) + " has a number out of range");
    }
  }

  void parse_gain(std::string_view field, WfdbSignal& signal) const {
    const std::string_view units = split_off(field, '/');
    std::string_view baseline = split_off(field, '(');
    if (!units.empty()) signal.units = units;
    if (!baseline.empty() && baseline.back() != ')') {
      fail("the baseline " + quote(baseline) + " has no closing bracket");
    }
    split_off(baseline, ')');
    real(field, "gain", signal.gain);
    if (signal.gain == 0) signal.gain = 200;  // "uncalibrated" in the format's words
    whole(baseline, "baseline", signal.baseline);
  }

  // Written signed by some programs, unsigned by others.
  void parse_checksum(std::string_view field, WfdbSignal& signal) const {
    if (field.empty()) return;
    std::int32_t value = 0;
    whole(field, "checksum", value);
    if (value < INT16_MIN || value > UINT16_MAX) {
      fail("the checksum " + quote(field) + " does not fit into 16 bits");
    }
    signal.checksum = static_cast<std::uint16_t>(value);
  }

  std::string_view rest_;
  WfdbHeader header_;
  std::int64_t announced_ = -1;  // signals
  int line_ = 0;
  int record_line_ = 0;
};

}  // namespace

WfdbHeader parse_wfdb_header(std::string_view text, const std::filesystem::path& path) {
  return HeaderParser(text, path).parse();
}

WfdbHeader read_wfdb_header(const std::filesystem::path& path) {
  std::filesystem::path file = path;
  if (file.extension() != ".hea") file += ".hea";
  return parse_wfdb_header(read_text(file, max_header_bytes), file);
}

}  // namespace cardiograd
