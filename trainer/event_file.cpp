#include "trainer/event_file.h"

#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <unistd.h>

#include "kernels/error.h"
#include "nn/utf8.h"

namespace cardiograd {
namespace {

// ---- Protocol buffers ---------------------------------------------------------------------------

enum class Wire : std::uint32_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

template <class T>
std::string little_endian(T value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof value; ++i) {
    bytes.push_back(static_cast<char>(value >> (8 * i) & 0xFF));
  }
  return bytes;
}

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

std::string key(std::uint32_t number, Wire wire) {
  return varint(std::uint64_t{number} << 3 | static_cast<std::uint32_t>(wire));
}

std::string integer_field(std::uint32_t number, std::int64_t value) {
  return key(number, Wire::varint) + varint(static_cast<std::uint64_t>(value));
}

std::string bytes_field(std::uint32_t number, std::string_view bytes) {
  return key(number, Wire::bytes) + varint(bytes.size()) + std::string(bytes);
}

std::string float_field(std::uint32_t number, float value) {
  return key(number, Wire::fixed32) + little_endian(std::bit_cast<std::uint32_t>(value));
}

std::string double_field(std::uint32_t number, double value) {
  return key(number, Wire::fixed64) + little_endian(std::bit_cast<std::uint64_t>(value));
}

// The fields of event.proto, summary.proto and tensor.proto that are used.
constexpr std::uint32_t event_time = 1, event_step = 2, event_version = 3, event_summary = 5,
                        event_session = 7;
constexpr std::uint32_t summary_value = 1;
constexpr std::uint32_t value_tag = 1, value_number = 2, value_tensor = 8, value_metadata = 9;
constexpr std::uint32_t metadata_plugin = 1, plugin_name = 1;
constexpr std::uint32_t tensor_dtype = 1, tensor_shape = 2, tensor_strings = 8, shape_dim = 2,
                        dim_size = 1;
constexpr std::int64_t dtype_string = 7;
constexpr std::uint32_t session_status = 1;
constexpr std::int64_t session_start = 1;

// ---- Records ------------------------------------------------------------------------------------

// TensorFlow's masking: a CRC of data that holds CRCs is a weak one.
std::string masked_crc(std::string_view bytes) {
  return little_endian(std::rotr(crc32c(bytes), 15) + 0xA282EAD8U);
}

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

std::filesystem::path file_name() {
  static std::atomic<int> files{0};  // two files of one second must not share a name
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return "events.out.tfevents." +
         std::to_string(std::chrono::duration_cast<std::chrono::seconds>(now).count()) + "." +
         host_name() + "." + std::to_string(getpid()) + "." + std::to_string(files++);
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> entries{};
    for (std::uint32_t i = 0; i < entries.size(); ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82F63B78U : 0U);
      entries[i] = value;
    }
    return entries;
  }();
  std::uint32_t crc = ~0U;
  for (const char byte : bytes) {
    crc = crc >> 8 ^ table[(crc ^ static_cast<unsigned char>(byte)) & 0xFF];
  }
  return ~crc;
}

EventFile::EventFile(const std::filesystem::path& folder, std::int64_t continued_at) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw InputError(folder.string() + " cannot be made: " + error.message());
  path_ = folder / file_name();
  file_.reset(std::fopen(path_.c_str(), "wb"));
  check(file_ != nullptr);
  event(0, event_version, "brain.Event:2");
  if (continued_at > 0) {
    event(continued_at, event_session, integer_field(session_status, session_start));
  }
  flush();
}

void EventFile::scalar(std::string_view tag, std::int64_t step, double value) {
  const std::string entry = bytes_field(value_tag, valid_utf8(tag)) +
                            float_field(value_number, static_cast<float>(value));
  event(step, event_summary, bytes_field(summary_value, entry));
}

void EventFile::text(std::string_view tag, std::int64_t step, std::string_view markdown) {
  const std::string plugin = bytes_field(plugin_name, "text");
  const std::string tensor =
      integer_field(tensor_dtype, dtype_string) +
      bytes_field(tensor_shape, bytes_field(shape_dim, integer_field(dim_size, 1))) +
      bytes_field(tensor_strings, valid_utf8(markdown));
  const std::string entry = bytes_field(value_tag, valid_utf8(tag)) +
                            bytes_field(value_tensor, tensor) +
                            bytes_field(value_metadata, bytes_field(metadata_plugin, plugin));
  event(step, event_summary, bytes_field(summary_value, entry));
}

void EventFile::flush() { check(std::fflush(file_.get()) == 0); }

void EventFile::event(std::int64_t step, std::uint32_t number, std::string_view payload) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  const std::string message = double_field(event_time, now.count()) +
                              integer_field(event_step, step) + bytes_field(number, payload);
  const std::string length = little_endian(std::uint64_t{message.size()});
  const std::string record = length + masked_crc(length) + message + masked_crc(message);
  check(std::fwrite(record.data(), 1, record.size(), file_.get()) == record.size());
}

void EventFile::check(bool good) const {
  if (!good) throw InputError(path_.string() + " cannot be written: " + std::strerror(errno));
}

}  // namespace cardiograd
