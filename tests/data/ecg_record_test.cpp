// Records of any gain, unit and lead order become millivolts in the standard order.
#include "data/ecg_record.h"

#include <cmath>
#include <gtest/gtest.h>

#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::TempFolder;

const std::vector<std::string> printed{"I",  "II", "III", "aVR", "aVL", "aVF",
                                       "V1", "V2", "V3",  "V4",  "V5",  "V6"};

// Two samples of each of `leads`: 100 times the lead's place, and one more.
std::filesystem::path write_record(const TempFolder& folder, const std::string& name,
                                   const std::vector<std::string>& leads) {
  std::vector<std::int16_t> samples;
  for (int sample = 0; sample < 2; ++sample) {
    for (std::size_t lead = 0; lead < leads.size(); ++lead) {
      samples.push_back(static_cast<std::int16_t>(100 * lead) + sample);
    }
  }
  write_wfdb_record(folder / name, 100, 1000, leads, samples);
  return folder / (name + ".hea");
}

// The header of `path` with every `from` replaced by `to`.
void edit_header(const std::filesystem::path& path, const std::string& from,
                 const std::string& to) {
  std::string text = testing::read_file(path);
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  std::ofstream(path, std::ios::binary) << text;
}

TEST(EcgRecord, LeadsInAnotherOrderAreFoundByName) {
  const TempFolder folder;
  const std::vector<std::string> shuffled{"V6",  "V5",  "V4",  "V3",  "V2", "V1",
                                          "aVF", "AVL", "avr", "III", "II", "I"};
  const EcgRecord record = read_ecg_record(write_record(folder, "a", shuffled));
  EXPECT_EQ(record.name, "a");
  EXPECT_EQ(record.rate, 100.0);
  ASSERT_EQ(record.length(), 2);
  for (std::size_t lead = 0; lead < 12; ++lead) {
    const float place = 11.0F - static_cast<float>(lead);
    EXPECT_FLOAT_EQ(record.millivolts[lead], 0.1F * place) << lead;
    EXPECT_FLOAT_EQ(record.millivolts[12 + lead], 0.1F * place + 0.001F) << lead;
  }
}

TEST(EcgRecord, GainBaselineAndUnitsAreTheRecordsOwn) {
  const TempFolder folder;
  const auto millivolt = [&](const std::string& name, const std::string& gain) {
    const auto path = write_record(folder, name, printed);
    const std::string text = testing::read_file(path);
    const std::size_t begin = text.find("1000.0");
    edit_header(path, text.substr(begin, text.find(' ', begin) - begin), gain);
    return read_ecg_record(folder / name).millivolts[11];
  };
  EXPECT_FLOAT_EQ(millivolt("a", "500(100)/mV"), 2.0F);
  EXPECT_FLOAT_EQ(millivolt("b", "2(0)/uV"), 0.55F);
  EXPECT_FLOAT_EQ(millivolt("c", "1000000(0)/V"), 1.1F);
  EXPECT_EQ(error_of([&] { millivolt("d", "10(0)/mmHg"); }),
            (folder / "d.hea").string() +
                ", line 2: lead \"I\" is in \"mmHg\", where mV, uV or V is expected");
}

TEST(EcgRecord, MissingSamplesAreNan) {
  const TempFolder folder;
  std::vector<std::int16_t> samples(24, 5);
  samples[13] = missing_sample;
  write_wfdb_record(folder / "a", 100, 1000, printed, samples);
  const EcgRecord record = read_ecg_record(folder / "a");
  EXPECT_TRUE(std::isnan(record.millivolts[13]));
  EXPECT_FLOAT_EQ(record.millivolts[14], 0.005F);
}

TEST(EcgRecord, OtherLeadsAreRefused) {
  const TempFolder folder;
  std::vector<std::string> eleven(printed.begin(), printed.end() - 1);
  EXPECT_EQ(error_of([&] { read_ecg_record(write_record(folder, "a", eleven)); }),
            (folder / "a.hea").string() + " has 11 signals, where the 12 leads are expected");
  std::vector<std::string> frank = printed;
  frank[6] = "vx";
  EXPECT_EQ(error_of([&] { read_ecg_record(write_record(folder, "b", frank)); }),
            (folder / "b.hea").string() + " has no lead V1");
}

TEST(EcgRecord, AFolderStandsForItsRecords) {
  const TempFolder folder;
  write_record(folder, "b", printed);
  write_record(folder, "a", printed);
  const std::vector<std::filesystem::path> both{folder / "a.hea", folder / "b.hea"};
  EXPECT_EQ(find_ecg_records(folder.path()), both);
  for (const char* name : {"a", "a.hea", "a.dat"}) {
    EXPECT_EQ(find_ecg_records(folder / name), std::vector{folder / "a.hea"}) << name;
  }
  std::filesystem::create_directory(folder / "none");
  EXPECT_EQ(error_of([&] { find_ecg_records(folder / "none"); }),
            (folder / "none").string() + " holds no record (no .hea file)");
}

}  // namespace
}  // namespace cardiograd
