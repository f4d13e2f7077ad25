#include "data/wfdb.h"

#include <fstream>
#include <gtest/gtest.h>

#include "tests/support/shared_data.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::read_file;
using testing::TempFolder;

WfdbHeader parse(const std::string& text) { return parse_wfdb_header(text, "r.hea"); }
std::string parse_error(const std::string& text) {
  return error_of([&] { parse(text); });
}
std::string bytes_of(std::initializer_list<int> values) {
  std::string bytes;
  for (const int value : values) bytes += static_cast<char>(value);
  return bytes;
}
std::string words(std::initializer_list<int> values) {
  std::string bytes;
  for (const int value : values) {
    bytes += static_cast<char>(value & 0xff);
    bytes += static_cast<char>(value >> 8 & 0xff);
  }
  return bytes;
}

TEST(WfdbHeader, ReadsEveryField) {
  const WfdbHeader header = parse(
      "# before\r\n"
      "r 2 100.5/25(-3.5) 1000 12:34:56 01/02/1990\r\n"
      "\r\n"
      "r.dat 16x2:3+512 1000.5(-7)/uV 14 9 -5 -100 4 lead  one \r\n"
      "r.dat\t212 100\r\n"
      "#after <age>: 56\n");
  EXPECT_EQ(header.name, "r");
  EXPECT_EQ(header.frequency, 100.5);
  EXPECT_EQ(header.counter_frequency, 25);
  EXPECT_EQ(header.base_counter, -3.5);
  EXPECT_EQ(header.length, 1000);
  EXPECT_EQ(header.comments, (std::vector<std::string>{" before", "after <age>: 56"}));
  ASSERT_EQ(header.signals.size(), 2U);
  const WfdbSignal& one = header.signals[0];
  EXPECT_EQ(one.file, "r.dat");
  EXPECT_EQ(one.format, 16);
  EXPECT_EQ(one.samples_per_frame, 2);
  EXPECT_EQ(one.skew, 3);
  EXPECT_EQ(one.byte_offset, 512);
  EXPECT_EQ(one.gain, 1000.5);
  EXPECT_EQ(one.baseline, -7);
  EXPECT_EQ(one.units, "uV");
  EXPECT_EQ(one.adc_resolution, 14);
  EXPECT_EQ(one.adc_zero, 9);
  EXPECT_EQ(one.initial_value, -5);
  EXPECT_EQ(one.checksum, static_cast<std::uint16_t>(-100));
  EXPECT_EQ(one.block_size, 4);
  EXPECT_EQ(one.description, "lead  one");
  EXPECT_EQ(one.line, 4);
  EXPECT_EQ(header.signals[1].format, 212);
  EXPECT_EQ(header.signals[1].gain, 100);
}

TEST(WfdbHeader, LeftOutFieldsTakeTheFormatsDefaults) {
  const WfdbHeader header = parse("r 2\nr.dat 16\nr.dat 16 0 0 12\n");
  EXPECT_EQ(header.frequency, 250);
  EXPECT_EQ(header.counter_frequency, 250);
  EXPECT_EQ(header.length, 0);
  const WfdbSignal& bare = header.signals[0];
  EXPECT_EQ(bare.gain, 200);
  EXPECT_EQ(bare.baseline, 0);
  EXPECT_EQ(bare.units, "mV");
  EXPECT_EQ(bare.adc_resolution, 12);
  EXPECT_FALSE(bare.checksum.has_value());
  EXPECT_EQ(bare.description, "record r, signal 0");
  EXPECT_EQ(header.signals[1].gain, 200) << "0 stands for uncalibrated";
  EXPECT_EQ(header.signals[1].baseline, 12) << "the ADC zero";
  EXPECT_EQ(header.signals[1].initial_value, 12);
}

TEST(WfdbHeader, ErrorsNameFileAndLine) {
  const struct {
    const char* text;
    const char* error;
  } cases[] = {
      {"", "r.hea has no record line; it is empty or no WFDB header"},
      {"# r\n\n", "r.hea has no record line; it is empty or no WFDB header"},
      {"r\n", "r.hea, line 1: the number of signals is missing"},
      {"r x\n", "r.hea, line 1: the number of signals \"x\" is no whole number in range"},
      {"r -1\n", "r.hea, line 1: the number of signals \"-1\" is negative"},
      {"r/2 1\n",
       "r.hea, line 1: the record \"r/2\" has several segments, which are not read; convert it to "
       "one segment"},
      {"r 1 0\n", "r.hea, line 1: the sampling frequency \"0\" is not above 0"},
      {"r 1 nan\n", "r.hea, line 1: the sampling frequency \"nan\" is no number"},
      {"r 1 100 -5\n", "r.hea, line 1: the number of samples \"-5\" is negative"},
      {"\nr 2 100 5\nr.dat 16\n",
       "r.hea, line 2: 2 signals are announced, but 1 signal lines follow"},
      {"r 1 100 5\nr.dat 16\nr.dat 16\n",
       "r.hea, line 3: there are more signal lines than the 1 signals that line 1 announces"},
      {"r 1000000000000 100 5\nr.dat 16\n",
       "r.hea, line 1: 1000000000000 signals are announced, but 1 signal lines follow"},
      {"r 1\nr.dat 80\n",
       "r.hea, line 2: the signal format \"80\" is not read; supported are 16 and 212"},
      {"r 1\nr.dat\n",
       "r.hea, line 2: the signal format \"\" is not read; supported are 16 and 212"},
      {"r 1\nr.dat 16+-3\n",
       "r.hea, line 2: the signal format \"16+-3\" has a number out of range"},
      {"r 1\n../x.dat 16\n",
       "r.hea, line 2: the signal file \"../x.dat\" does not lie beside the header"},
      {"r 1\nr.dat 16 1e999\n", "r.hea, line 2: the gain \"1e999\" is no number"},
      {"r 1\nr.dat 16 10(5\n", "r.hea, line 2: the baseline \"5\" has no closing bracket"},
      {"r 1\nr.dat 16 10 16 0 0 70000\n",
       "r.hea, line 2: the checksum \"70000\" does not fit into 16 bits"},
  };
  for (const auto& [text, error] : cases) EXPECT_EQ(parse_error(text), error) << text;
}

TEST(WfdbRecord, Format16WithAnOffsetAndMissingSamples) {
  const TempFolder folder;
  folder.write("r.dat", "skip!" + words({1, -2, INT16_MIN, 300, 5, -6}));
  folder.write("r.hea",
               "r 2 100 3\nr.dat 16+5 1000/mV 16 0 1 -32762 0 I\n"
               "r.dat 16+5 1000/mV 16 0 -2 292 0 II\n");
  const WfdbRecord record = read_wfdb_record(folder / "r");
  EXPECT_EQ(record.length(), 3);
  EXPECT_EQ(record.samples, (std::vector<std::int16_t>{1, -2, missing_sample, 300, 5, -6}));
}

// Two samples in three bytes: low byte of the first, high halves (the second's above), low byte of
// the second. 1, -1 | -2048 (missing), 2047 | 5 alone in two bytes.
TEST(WfdbRecord, Format212) {
  const TempFolder folder;
  folder.write("r.dat", bytes_of({0x01, 0xf0, 0xff, 0x00, 0x78, 0xff, 0x05, 0x00}));
  folder.write("r.hea", "r 1 360 5\nr.dat 212 200 11 0 1 4 0 MLII\n");
  EXPECT_EQ(read_wfdb_record(folder / "r.hea").samples,
            (std::vector<std::int16_t>{1, -1, missing_sample, 2047, 5}));
  folder.write("r.hea", "r 1\nr.dat 212\n");
  EXPECT_EQ(read_wfdb_record(folder / "r").samples.size(), 5U) << "counted from the file's size";
}

TEST(WfdbRecord, SignalsInSeveralFilesBecomeColumns) {
  const TempFolder folder;
  folder.write("a.dat", words({1, 2, 11, 12}));
  folder.write("b.dat", bytes_of({0x03, 0x00, 0x0d}));
  folder.write("r.hea",
               "r 3 100 2\na.dat 16 1 16 0 1 12 0 A\na.dat 16 1 16 0 2 14 0 B\n"
               "b.dat 212 1 12 0 3 16 0 C\n");
  EXPECT_EQ(read_wfdb_record(folder / "r").samples,
            (std::vector<std::int16_t>{1, 2, 3, 11, 12, 13}));
}

TEST(WfdbRecord, ErrorsNameFileLeadAndBothValues) {
  const TempFolder folder;
  const std::string root = folder.path().string();
  const auto error = [&](const std::string& header) {
    folder.write("r.hea", header);
    return error_of([&] { read_wfdb_record(folder / "r"); });
  };
  folder.write("r.dat", words({1, 2, 3}));
  EXPECT_EQ(error("r 1 100 3\nr.dat 16 1 16 0 1 7 0 AVR\n"),
            root +
                "/r.hea, line 2: the samples of lead \"AVR\" in r.dat have the checksum 6, but "
                "the header says 7; the record is damaged, fetch it again");
  EXPECT_EQ(error("r 1 100 4\nr.dat 16\n"),
            root +
                "/r.dat is truncated: the header's 4 samples of 1 signals take 8 bytes, but the "
                "file has 6");
  EXPECT_EQ(error("r 1 100 9000000000000000000\nr.dat 16+9000000000000000000\n"),
            root +
                "/r.dat is truncated: the header's 9000000000000000000 samples of 1 signals "
                "take more than 10^15 bytes, but the file has 6");
  EXPECT_EQ(error("r 1 100 3\nq.dat 16\n"),
            "cannot open " + root + "/q.dat: No such file or directory");
  EXPECT_EQ(error("r 1 100 1\nr.dat 16x3 1 16 0 1 7 0 AVR\n"),
            root +
                "/r.hea, line 2: signal \"AVR\" has several samples per frame or a skew, which "
                "is not read; resample the record first");
  EXPECT_EQ(error("r 2 100 1\nr.dat 16\nr.dat 212\n"),
            root + "/r.hea, line 3: the signals of r.dat have different formats or byte offsets");
  EXPECT_EQ(
      error("r 3 100 1\nr.dat 16\nq.dat 16\nr.dat 16\n"),
      root + "/r.hea, line 4: the signals of r.dat do not stand on lines one after the other");
  EXPECT_EQ(error_of([&] { read_wfdb_record(folder / "none"); }),
            "cannot open " + root + "/none.hea: No such file or directory");
}

TEST(WfdbRecord, WhatIsWrittenReadsBackAndLooksAsPublished) {
  const TempFolder folder;
  const std::vector<std::string> leads = {"I", "II"};
  const std::vector<std::int16_t> samples = {-119, 723, 5, -32768, 32767, 32767};
  write_wfdb_record(folder / "00001_lr", 100, 1000, leads, samples);
  EXPECT_EQ(read_file(folder / "00001_lr.hea"),
            "00001_lr 2 100 3\n"
            "00001_lr.dat 16 1000.0(0)/mV 16 0 -119 32653 0 I\n"
            "00001_lr.dat 16 1000.0(0)/mV 16 0 723 722 0 II\n");
  EXPECT_EQ(read_wfdb_record(folder / "00001_lr").samples, samples);
}

TEST(WfdbRecord, EqualsWhatRdsampPrints) {
  CARDIOGRAD_NEEDS_SHARED("wfdb-samples");
  const std::filesystem::path folder = testing::shared_path("wfdb-samples");
  const WfdbRecord record = read_wfdb_record(folder / "test01_00s");
  EXPECT_EQ(record.header.frequency, 500);
  EXPECT_EQ(record.header.signals[3].description, "ECG 4");
  std::ifstream text(folder / "test01_00s.rdsamp.tsv");
  std::vector<std::int16_t> expected;
  for (int value = 0; text >> value;) expected.push_back(static_cast<std::int16_t>(value));
  EXPECT_EQ(expected.size(), 16'000U);
  EXPECT_EQ(record.samples, expected);
}

TEST(WfdbRecord, EveryRecordOfTheSubsetHoldsItsChecksums) {
  CARDIOGRAD_NEEDS_SHARED("ptbxl-subset");
  const std::filesystem::path root = testing::shared_path("ptbxl-subset");
  int records = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().extension() != ".hea") continue;
    const WfdbRecord record = read_wfdb_record(entry.path());
    EXPECT_EQ(record.length(), static_cast<std::int64_t>(record.header.frequency * 10));
    ++records;
  }
  EXPECT_EQ(records, 3230);
}

}  // namespace
}  // namespace cardiograd
