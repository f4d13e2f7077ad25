#include "data/wfdb.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/atomic_file.h"
#include "nn/input_file.h"

namespace cardiograd {
namespace {

static_assert(std::endian::native == std::endian::little, "format 16 is little-endian");

// How samples lie in a signal file. bytes(n): what n samples take; stored(raw, i): sample i as it
// counts in the checksum; missing: the stored value that stands for no sample.
struct Format16 {
  static constexpr int missing = INT16_MIN;
  static constexpr std::size_t bytes(std::size_t samples) { return 2 * samples; }
  static int stored(const std::byte* raw, std::size_t index) {
    std::int16_t value = 0;
    std::memcpy(&value, raw + 2 * index, 2);
    return value;
  }
};

// Two 12-bit samples in three bytes: the low bytes are the first and the third, the second holds
// the high bits, the first sample's in its lower half.
struct Format212 {
  static constexpr int missing = -2048;
  static constexpr std::size_t bytes(std::size_t samples) {
    return samples / 2 * 3 + (samples % 2) * 2;
  }
  static int stored(const std::byte* raw, std::size_t index) {
    const std::byte* pair = raw + index / 2 * 3;
    const auto high = std::to_integer<unsigned>(pair[1]);
    const unsigned value = index % 2 == 0
                               ? (high & 0x0fU) << 8 | std::to_integer<unsigned>(pair[0])
                               : (high & 0xf0U) << 4 | std::to_integer<unsigned>(pair[2]);
    return static_cast<int>(value ^ 0x800U) - 0x800;  // sign of 12 bits
  }
};

// Calls f with the type that describes the format's bytes.
template <class F>
decltype(auto) with_format(int format, F&& f) {
  if (format == 212) return f(Format212{});
  return f(Format16{});
}

// Signals first .. first + count - 1 share one signal file.
struct Group {
  std::size_t first;
  std::size_t count;
};

std::string place(const WfdbHeader& header, const WfdbSignal& signal) {
  return header.path.string() + ", line " + std::to_string(signal.line) + ": ";
}

std::vector<Group> group_by_file(const WfdbHeader& header) {
  std::vector<Group> groups;
  for (std::size_t i = 0; i < header.signals.size(); ++i) {
    const WfdbSignal& signal = header.signals[i];
    if (signal.samples_per_frame != 1 || signal.skew != 0) {
      throw InputError(place(header, signal) + "signal " + quote(signal.description) +
                       " has several samples per frame or a skew, which is not read; resample the "
                       "record first");
    }
    const WfdbSignal* leader = groups.empty() ? nullptr : &header.signals[groups.back().first];
    if (leader == nullptr || leader->file != signal.file) {
      for (const Group& group : groups) {
        if (header.signals[group.first].file == signal.file) {
          throw InputError(place(header, signal) + "the signals of " + signal.file +
                           " do not stand on lines one after the other");
        }
      }
      groups.push_back({i, 1});
    } else if (leader->format != signal.format || leader->byte_offset != signal.byte_offset) {
      throw InputError(place(header, signal) + "the signals of " + signal.file +
                       " have different formats or byte offsets");
    } else {
      ++groups.back().count;
    }
  }
  return groups;
}

// Opens a group's signal file and finds how many frames are to be read from it.
class GroupFile {
 public:
  GroupFile(const WfdbHeader& header, const Group& group)
      : signal_(header.signals[group.first]),
        path_(header.path.parent_path() / signal_.file),
        file_(path_),
        signals_(group.count),
        offset_(static_cast<std::size_t>(signal_.byte_offset)) {}

  std::int64_t frames_in_file() const {
    const std::size_t available = file_.size() - std::min(offset_, file_.size());
    const std::size_t samples =
        signal_.format == 212 ? available / 3 * 2 + (available % 3) / 2 : available / 2;
    return static_cast<std::int64_t>(samples / signals_);
  }

  std::vector<std::byte> read(std::int64_t frames) const {
    if (frames > frames_in_file()) {
      const auto expected = needed(static_cast<std::size_t>(frames));
      throw InputError(path_.string() + " is truncated: the header's " + std::to_string(frames) +
                       " samples of " + std::to_string(signals_) + " signals take " + expected +
                       " bytes, but the file has " + std::to_string(file_.size()));
    }
    const std::size_t samples = static_cast<std::size_t>(frames) * signals_;
    std::vector<std::byte> raw(
        with_format(signal_.format, [&](auto format) { return format.bytes(samples); }));
    file_.read(offset_, raw);
    return raw;
  }

 private:
  // As text, since a lying header's number may be beyond any integer.
  std::string needed(std::size_t frames) const {
    constexpr double exact = 9e15;
    const double samples = static_cast<double>(frames) * static_cast<double>(signals_);
    if (samples > exact) return "more than 10^15";
    return std::to_string(offset_ + with_format(signal_.format, [&](auto format) {
                            return format.bytes(frames * signals_);
                          }));
  }

  const WfdbSignal& signal_;
  std::filesystem::path path_;
  InputFile file_;
  std::size_t signals_;
  std::size_t offset_;
};

void check_sum(const WfdbHeader& header, const WfdbSignal& signal, std::uint32_t sum) {
  const auto found = static_cast<std::uint16_t>(sum);
  if (!signal.checksum || *signal.checksum == found) return;
  throw InputError(place(header, signal) + "the samples of lead " + quote(signal.description) +
                   " in " + signal.file + " have the checksum " + std::to_string(found) +
                   ", but the header says " + std::to_string(*signal.checksum) +
                   "; the record is damaged, fetch it again");
}

// Spreads a group's samples over its columns of [frames, signals] and verifies the checksums.
template <class Format>
void decode(Format, const WfdbHeader& header, const Group& group, const std::byte* raw,
            std::int64_t frames, std::int16_t* out) {
  const std::size_t stride = header.signals.size();
  std::vector<std::uint32_t> sums(group.count);
  std::size_t index = 0;
  out += group.first;
  for (std::int64_t frame = 0; frame < frames; ++frame, out += stride) {
    for (std::size_t column = 0; column < group.count; ++column, ++index) {
      const int value = Format::stored(raw, index);
      sums[column] += static_cast<std::uint32_t>(value);
      out[column] = value == Format::missing ? missing_sample : static_cast<std::int16_t>(value);
    }
  }
  for (std::size_t column = 0; column < group.count; ++column) {
    check_sum(header, header.signals[group.first + column], sums[column]);
  }
}

// As PTB-XL's headers have it: "1000.0".
std::string with_point(double value) {
  const std::string text = shortest_number(value);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

}  // namespace

void read_wfdb_samples(const WfdbHeader& header, std::vector<std::int16_t>& samples) {
  std::int64_t frames = header.length;
  bool counted = frames > 0;
  for (const Group& group : group_by_file(header)) {
    const GroupFile file(header, group);
    if (!counted) {
      frames = file.frames_in_file();
      counted = true;
    }
    const std::vector<std::byte> raw = file.read(frames);
    // The first group's bytes are there, so this size is bounded by the files' sizes.
    samples.resize(static_cast<std::size_t>(frames) * header.signals.size());
    with_format(header.signals[group.first].format, [&](auto format) {
      decode(format, header, group, raw.data(), frames, samples.data());
    });
  }
}

WfdbRecord read_wfdb_record(const std::filesystem::path& path) {
  WfdbRecord record;
  record.header = read_wfdb_header(path);
  read_wfdb_samples(record.header, record.samples);
  return record;
}

void write_wfdb_record(const std::filesystem::path& record, double frequency, double gain,
                       std::span<const std::string> leads, std::span<const std::int16_t> samples) {
  CG_CHECK(!leads.empty() && samples.size() % leads.size() == 0,
           "a record's samples must be [length, leads]");
  const std::string name = record.filename().string();
  const std::size_t length = samples.size() / leads.size();
  std::string header = name + " " + std::to_string(leads.size()) + " " +
                       shortest_number(frequency) + " " + std::to_string(length) + "\n";
  for (std::size_t lead = 0; lead < leads.size(); ++lead) {
    std::uint32_t sum = 0;
    for (std::size_t at = lead; at < samples.size(); at += leads.size()) {
      sum += static_cast<std::uint32_t>(samples[at]);
    }
    header += name + ".dat 16 " + with_point(gain) + "(0)/mV 16 0 " +
              std::to_string(length == 0 ? 0 : samples[lead]) + " " +
              std::to_string(sum & 0xffffU) + " 0 " + leads[lead] + "\n";
  }
  const std::string_view bytes(reinterpret_cast<const char*>(samples.data()), samples.size_bytes());
  write_file(record.string() + ".dat", bytes, Durability::rename_only);
  write_file(record.string() + ".hea", header, Durability::rename_only);
}

}  // namespace cardiograd
