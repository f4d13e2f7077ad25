// TensorBoard's event files, so that its viewer shows a run while it trains.
//
// A file is a sequence of records (TensorFlow's TFRecord: length, payload, and a masked CRC-32C of
// each), each a protocol buffer of tensorflow/core/util/event.proto. The three messages that a
// trainer needs are encoded here by hand: that is shorter than a dependency on protobuf.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace cardiograd {

class EventFile {
 public:
  // Begins FOLDER/events.out.tfevents.SECONDS.HOST.PID.N, the folder made if need be. A run that
  // continues names the step that it stands at: viewers then drop what earlier files of the folder
  // hold beyond it. Throws InputError where the file cannot be made.
  explicit EventFile(const std::filesystem::path& folder, std::int64_t continued_at = 0);

  const std::filesystem::path& path() const { return path_; }

  // `tag` such as "loss/train": the part before the slash groups the charts.
  void scalar(std::string_view tag, std::int64_t step, double value);
  // Markdown, shown under "Text".
  void text(std::string_view tag, std::int64_t step, std::string_view markdown);
  // Hands what was written to the system. Every method throws InputError where the disk is full.
  void flush();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  // An event with the field `number` (2: length-delimited) beside time and step.
  void event(std::int64_t step, std::uint32_t number, std::string_view payload);
  void check(bool good) const;

  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
};

// CRC-32C (Castagnoli), as in RFC 3720, appendix B.4.
std::uint32_t crc32c(std::string_view bytes);

}  // namespace cardiograd
