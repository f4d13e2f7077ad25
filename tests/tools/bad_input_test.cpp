// Bad input to the built programs: one sentence, a non-zero exit, and nothing partial left.
#include <algorithm>
#include <functional>
#include <gtest/gtest.h>

#include "tests/support/run_program.h"
#include "tests/support/small_packed.h"
#include "tests/support/synthetic_data.h"

namespace cardiograd {
namespace {

using testing::ProgramResult;
using testing::read_file;
using testing::run_program;
using testing::SmallPacked;
using testing::SyntheticData;
using testing::TempFolder;
using Arguments = std::vector<std::string>;

constexpr const char* first_config = CARDIOGRAD_SOURCE_DIR "/trainer/configs/seed/cnn.toml";

Arguments listing(const std::filesystem::path& folder) {
  Arguments names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    names.push_back(entry.path().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// A copy of a small synthetic data set, to be spoilt.
class DataSet {
 public:
  DataSet() {
    static const SyntheticData made(30);
    std::filesystem::copy(made.root(), root(), std::filesystem::copy_options::recursive);
  }
  std::filesystem::path root() const { return folder_ / "ptbxl"; }
  std::string out() const { return (folder_ / "packed").string(); }
  std::string file(const char* name) const { return (root() / name).string(); }
  std::filesystem::path folder() const { return folder_.path(); }

  void edit(const char* name, const std::string& from, const std::string& to) const {
    std::string text = read_file(root() / name);
    ASSERT_NE(text.find(from), std::string::npos) << from << " in\n" << text.substr(0, 500);
    folder_.write(std::string("ptbxl/") + name, text.replace(text.find(from), from.size(), to));
  }
  // The text between `before` and the next `after` in a file.
  std::string between(const char* name, const std::string& before, const std::string& after) const {
    const std::string text = read_file(root() / name);
    const std::size_t begin = text.find(before) + before.size();
    return text.substr(begin, text.find(after, begin) - begin);
  }
  ProgramResult prepare(bool keep_going = false) const {
    Arguments arguments{"prepare", "--root", root().string(), "--out", out()};
    if (keep_going) arguments.emplace_back("--keep-going");
    return run_program("cardiograd", arguments);
  }

 private:
  TempFolder folder_;
};

constexpr const char* header = "records100/00000/00002_lr.hea";
constexpr const char* samples = "records100/00000/00002_lr.dat";
constexpr const char* table = "ptbxl_database.csv";

struct Fault {
  const char* name;
  std::function<void(const DataSet&)> plant;
  std::function<std::string(const DataSet&)> sentence;
};

std::string checksum_of_lead_one(const DataSet& data) {
  const std::string line = data.between(header, "00002_lr.dat ", " I\n");
  const std::string upto = line.substr(0, line.rfind(' '));
  return upto.substr(upto.rfind(' ') + 1);
}

const std::vector<Fault>& record_faults() {
  static const std::vector<Fault> all{
      {"too few signals", [](const DataSet& d) { d.edit(header, "00002_lr 12", "00002_lr 11"); },
       [](const DataSet& d) {
         return d.file(header) +
                ", line 13: there are more signal lines than the 11 signals that line 1 announces";
       }},
      {"too many signals", [](const DataSet& d) { d.edit(header, "00002_lr 12", "00002_lr 13"); },
       [](const DataSet& d) {
         return d.file(header) + ", line 1: 13 signals are announced, but 12 signal lines follow";
       }},
      {"truncated", [](const DataSet& d) { std::filesystem::resize_file(d.file(samples), 9999); },
       [](const DataSet& d) {
         return d.file(samples) +
                " is truncated: the header's 1000 samples of 12 signals take 24000 bytes, but the "
                "file has 9999";
       }},
      {"checksum",
       [](const DataSet& d) {
         const std::string sum = checksum_of_lead_one(d);
         const std::string wrong = sum == "1" ? "2" : "1";
         d.edit(header, " " + sum + " 0 I\n", " " + wrong + " 0 I\n");
       },
       [](const DataSet& d) {
         const std::string said = checksum_of_lead_one(d);
         static const SyntheticData whole(30);
         std::string text = read_file(whole.root() / header);
         text.resize(text.find(" 0 I\n"));
         return d.file(header) +
                ", line 2: the samples of lead \"I\" in 00002_lr.dat have the checksum " +
                text.substr(text.rfind(' ') + 1) + ", but the header says " + said +
                "; the record is damaged, fetch it again";
       }},
      {"scp_codes", [](const DataSet& d) { d.edit(table, "{'", "{"); },
       [](const DataSet& d) {
         return d.file(table) +
                ", line 2: scp_codes is no list of statements: a statement in quotes is expected "
                "at character 2 of \"{" +
                d.between(table, "\"{", "\"") + "\"";
       }},
      {"missing file", [](const DataSet& d) { std::filesystem::remove(d.file(samples)); },
       [](const DataSet& d) {
         return "cannot open " + d.file(samples) + ": No such file or directory";
       }},
  };
  return all;
}

TEST(BadInput, EachFaultOfARecordStopsPrepare) {
  for (const Fault& fault : record_faults()) {
    const DataSet data;
    fault.plant(data);
    const Arguments before = listing(data.folder());
    const ProgramResult result = data.prepare();
    EXPECT_EQ(result.exit_code, 1) << fault.name;
    EXPECT_EQ(result.err, "cardiograd: " + fault.sentence(data) + "\n") << fault.name;
    EXPECT_EQ(result.out, "") << fault.name;
    EXPECT_EQ(listing(data.folder()), before) << fault.name;
  }
}

TEST(BadInput, KeepGoingSetsEachFaultAsideAndPacksTheRest) {
  for (const Fault& fault : record_faults()) {
    const DataSet data;
    fault.plant(data);
    Arguments expected = listing(data.folder());
    const ProgramResult result = data.prepare(true);
    EXPECT_EQ(result.exit_code, 0) << fault.name << result.err;
    EXPECT_NE(result.out.find("packed       29 of 30 records"), std::string::npos) << result.out;
    EXPECT_NE(result.out.find("set aside    1, listed in " + data.out() + ".rejected.csv"),
              std::string::npos)
        << result.out;
    EXPECT_NE(result.out.find(fault.sentence(data)), std::string::npos) << result.out;
    expected.push_back(data.out());
    expected.push_back(data.out() + ".rejected.csv");
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(listing(data.folder()), expected) << fault.name;
    EXPECT_EQ(PackedDataset(data.out()).records(), 29) << fault.name;
  }
}

TEST(BadInput, AFullDiskLeavesNothingOfThePackedFile) {
  const DataSet data;
  const Arguments before = listing(data.folder());
  const ProgramResult result =
      run_program("/bin/sh", {"-c", "trap '' XFSZ; ulimit -f 100; exec \"$@\"", "sh",
                              CARDIOGRAD_BUILD_DIR "/cardiograd", "prepare", "--root",
                              data.root().string(), "--out", data.out()});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "cardiograd: cannot write " + data.out() + ": File too large\n");
  EXPECT_EQ(listing(data.folder()), before);
}

// `trainer fit` on a packed file, with overrides; the run's folder must not appear.
class Training {
 public:
  ProgramResult fit(const Arguments& overrides, const std::string& config = first_config) const {
    Arguments arguments{"fit", config, "data.path=" + packed(),
                        "run.dir=" + (folder_ / "run").string()};
    arguments.insert(arguments.end(), overrides.begin(), overrides.end());
    return run_program("trainer", arguments);
  }
  std::string packed() const { return (folder_ / "packed").string(); }
  const TempFolder& folder() const { return folder_; }

  void expect_refusal(const ProgramResult& result, const std::string& sentence) const {
    EXPECT_EQ(result.exit_code, 1) << sentence;
    EXPECT_EQ(result.err, "trainer: " + sentence + "\n");
    EXPECT_EQ(result.out, "");
    EXPECT_FALSE(std::filesystem::exists(folder_ / "run")) << sentence;
  }

 private:
  TempFolder folder_;
};

TEST(BadInput, AFoldWithoutRecordsIsNamed) {
  const Training training;
  SmallPacked packed(30, 1000);
  std::replace(packed.fold.begin(), packed.fold.end(), std::uint8_t{9}, std::uint8_t{8});
  packed.write(training.packed());
  training.expect_refusal(training.fit({}),
                          "data.valid_folds: " + training.packed() +
                              " has no record of task \"superdiagnostic\" in fold 9");
  training.expect_refusal(training.fit({"data.valid_folds=[10]", "data.test_folds=[9]"}),
                          "data.test_folds: " + training.packed() +
                              " has no record of task \"superdiagnostic\" in fold 9");
}

TEST(BadInput, AnUnknownConfigKeyIsNamedWithItsLine) {
  const Training training;
  const std::string config =
      training.folder().write("my.toml", "[train]\nlr = 1e-4\nepoch = 3\n").string();
  training.expect_refusal(
      training.fit({}, config),
      config + ", line 3: unknown key \"train.epoch\"; did you mean \"train.epochs\"?");
  training.expect_refusal(training.fit({"train.epoch=3"}),
                          "command line, \"train.epoch=3\": unknown key \"train.epoch\"; did you "
                          "mean \"train.epochs\"?");
  const std::string none = (training.folder() / "none.toml").string();
  training.expect_refusal(training.fit({}, none),
                          "config " + none + " does not exist; ready ones lie in trainer/configs");
}

TEST(BadInput, ASafetensorsHeaderThatLiesIsRefused) {
  const Training training;
  SmallPacked(30, 1000).write(training.packed());
  const std::string whole = read_file(training.packed());
  const auto spoilt = [&](const std::string& from, const std::string& to) {
    std::string text = whole;
    text.replace(text.find(from), from.size(), to);
    training.folder().write("packed", text);
    return training.fit({});
  };
  training.expect_refusal(
      spoilt("\"shape\":[30,1000,12]", "\"shape\":[30,1000,13]"),
      training.packed() +
          ": tensor \"signal\" takes 720000 bytes, but its shape [30, 1000, 13] of I16 needs "
          "780000");
  training.folder().write("packed", whole.substr(0, whole.size() - 1000));
  const ProgramResult truncated = training.fit({});
  EXPECT_EQ(truncated.exit_code, 1);
  EXPECT_TRUE(truncated.err.starts_with("trainer: " + training.packed())) << truncated.err;
  training.folder().write("packed", "\xff\xff\xff\xff\xff\xff\xff\x7f{}");
  training.expect_refusal(training.fit({}),
                          training.packed() +
                              " announces a header of 9223372036854775807 bytes, but has 2 bytes "
                              "after its first eight; it is truncated or no safetensors file");
}

TEST(BadInput, ARunThatIsMissingIsNamed) {
  const TempFolder folder;
  const auto eval = [&](const std::string& run) {
    const ProgramResult result = run_program("trainer", {"eval", run, "--json"});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.out, "");
    return result.err;
  };
  const std::string none = (folder / "none").string();
  EXPECT_EQ(eval(none), "trainer: run " + none + " is not a folder\n");
  const std::string empty = folder.path().string();
  EXPECT_EQ(eval(empty), "trainer: " + empty + "/best/state.json does not exist: is " + empty +
                             " the folder of a finished run?\n");
}

}  // namespace
}  // namespace cardiograd
