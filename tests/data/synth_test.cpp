#include "data/synth.h"

#include <algorithm>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <unistd.h>
#include <vector>

#include "data/csv.h"
#include "data/labels.h"
#include "data/ptbxl.h"
#include "data/synth_plan.h"
#include "data/synth_statements.h"
#include "data/synth_table.h"
#include "data/wfdb.h"
#include "kernels/error.h"
#include "tests/support/shared_data.h"

namespace cardiograd {
namespace {

namespace fs = std::filesystem;

class SynthFolder : public ::testing::Test {
 protected:
  SynthFolder() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    root_ = fs::path(::testing::TempDir()) /
            ("synth_" + std::string(test->name()) + "_" + std::to_string(getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~SynthFolder() override { fs::remove_all(root_); }

  SynthSummary make(const std::string& name, std::int64_t records, int rate,
                    std::uint64_t seed = 1) const {
    return make_synth_dataset(
        {.out = root_ / name, .records = records, .rate = rate, .seed = seed});
  }
  // What make_synth_dataset says when it refuses.
  static std::string refusal(const SynthOptions& options) {
    try {
      make_synth_dataset(options);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  }

  fs::path root_;
};

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      files[fs::relative(entry.path(), folder).string()] = bytes_of(entry.path());
    }
  }
  return files;
}

TEST(SynthStatements, GiveEveryTaskItsPublishedNumberOfClasses) {
  const auto statements =
      parse_scp_statements(CsvTable::parse(synth_statement_table(), "scp_statements.csv"));
  const std::map<std::string, std::size_t> expected{{"all", 71},           {"diagnostic", 44},
                                                    {"subdiagnostic", 23}, {"superdiagnostic", 5},
                                                    {"form", 19},          {"rhythm", 12}};
  for (const auto& [task, classes] : expected) {
    EXPECT_EQ(make_task(task, statements).classes.size(), classes) << task;
  }
}

TEST(SynthStatements, AgreeWithThePublishedTables) {
  CARDIOGRAD_NEEDS_SHARED("ptbxl-subset");
  const fs::path published = testing::shared_path("ptbxl-subset");
  const CsvTable theirs = CsvTable::read(published / "scp_statements.csv");
  const CsvTable ours = CsvTable::parse(synth_statement_table(), "ours");
  EXPECT_EQ(ours.columns(), theirs.columns());
  ASSERT_EQ(ours.rows(), theirs.rows());
  for (std::size_t row = 0; row < ours.rows(); ++row) {
    for (const char* name :
         {"", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass"}) {
      EXPECT_EQ(ours.field(row, ours.column(name)), theirs.field(row, theirs.column(name)))
          << name << " of " << theirs.field(row, 0);
    }
  }
  EXPECT_EQ(CsvTable::parse(synth_database_header(), "ours").columns(),
            CsvTable::read(published / "ptbxl_database.csv").columns());
}

TEST(SynthStatements, RefuseAnUnknownCode) {
  try {
    synth_statement("NOPE");
    FAIL();
  } catch (const InputError& error) {
    EXPECT_STREQ(
        error.what(),
        "'NOPE' is none of PTB-XL's 71 statements: see scp_statements.csv for their codes.");
  }
}

TEST_F(SynthFolder, IsReadBackWithRightChecksums) {
  make("set", 12, 0);
  const auto statements = parse_scp_statements(CsvTable::read(root_ / "set/scp_statements.csv"));
  const PtbxlDatabase database(CsvTable::read(root_ / "set/ptbxl_database.csv"), statements);
  ASSERT_EQ(database.size(), 12U);
  for (std::size_t i = 0; i < database.size(); ++i) {
    const PtbxlRow row = database.row(i);
    EXPECT_EQ(row.ecg_id, static_cast<int>(i) + 1);
    EXPECT_FALSE(row.report.empty());
    EXPECT_FALSE(row.statements.empty());
    for (const auto& [file, rate] : {std::pair{row.filename_lr, 100}, {row.filename_hr, 500}}) {
      const WfdbRecord record = read_wfdb_record(root_ / "set" / file);
      EXPECT_EQ(record.header.frequency, rate);
      EXPECT_EQ(record.length(), 10 * rate);
      ASSERT_EQ(record.header.signals.size(), 12U);
      EXPECT_EQ(record.header.signals[3].description, "AVR");
      EXPECT_EQ(record.header.signals[0].gain, 1000);
      EXPECT_TRUE(record.header.signals[11].checksum.has_value());
    }
  }
  EXPECT_EQ(database.row(2).filename_lr, "records100/00000/00003_lr");
  EXPECT_EQ(synth_record_name(21'837, 500), "records500/21000/21837_hr");
}

TEST_F(SynthFolder, HoldsOneRateWhereOneIsAskedFor) {
  make("low", 2, 100);
  make("high", 2, 500);
  EXPECT_TRUE(fs::exists(root_ / "low/records100/00000/00002_lr.dat"));
  EXPECT_FALSE(fs::exists(root_ / "low/records500"));
  EXPECT_TRUE(fs::exists(root_ / "high/records500/00000/00002_hr.hea"));
  EXPECT_FALSE(fs::exists(root_ / "high/records100"));
  EXPECT_EQ(bytes_of(root_ / "low/ptbxl_database.csv"),
            bytes_of(root_ / "high/ptbxl_database.csv"));
}

TEST_F(SynthFolder, SameSeedGivesSameBytesAndAnotherOthers) {
  make("a", 20, 100, 5);
  make("b", 20, 100, 5);
  make("c", 20, 100, 6);
  EXPECT_EQ(contents(root_ / "a"), contents(root_ / "b"));
  EXPECT_NE(bytes_of(root_ / "a/records100/00000/00001_lr.dat"),
            bytes_of(root_ / "c/records100/00000/00001_lr.dat"));
  EXPECT_NE(bytes_of(root_ / "a/ptbxl_database.csv"), bytes_of(root_ / "c/ptbxl_database.csv"));
}

TEST_F(SynthFolder, ARecordDoesNotDependOnHowManyThereAre) {
  make("few", 9, 0);
  make("more", 30, 0);
  const auto few = contents(root_ / "few");
  const auto more = contents(root_ / "more");
  for (const auto& [name, bytes] : few) {
    if (name != "ptbxl_database.csv") {
      EXPECT_EQ(bytes, more.at(name)) << name;
    }
  }
  EXPECT_TRUE(more.at("ptbxl_database.csv").starts_with(few.at("ptbxl_database.csv")));
}

TEST_F(SynthFolder, SummaryCountsWhatWasWritten) {
  std::vector<std::int64_t> seen;
  const SynthSummary summary = make_synth_dataset(
      {.out = root_ / "set", .records = 40, .rate = 100, .seed = 2, .progress = [&](auto done) {
         seen.push_back(done);
       }});
  EXPECT_EQ(summary.records, 40);
  EXPECT_EQ(seen.size(), 40U);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  std::array<std::int64_t, 10> fold{};
  std::set<std::int32_t> patients;
  const auto statements = parse_scp_statements(CsvTable::read(root_ / "set/scp_statements.csv"));
  const PtbxlDatabase database(CsvTable::read(root_ / "set/ptbxl_database.csv"), statements);
  for (std::size_t i = 0; i < database.size(); ++i) {
    const PtbxlRow row = database.row(i);
    ++fold[row.fold - 1U];
    patients.insert(row.patient_id);
  }
  EXPECT_EQ(summary.fold, fold);
  EXPECT_EQ(summary.patients, static_cast<std::int64_t>(patients.size()));
}

TEST_F(SynthFolder, RefusesAFolderThatHoldsSomething) {
  fs::create_directories(root_ / "full");
  std::ofstream(root_ / "full/file") << "mine";
  EXPECT_EQ(refusal({.out = root_ / "full", .records = 1}),
            "--out " + (root_ / "full").string() +
                " already holds something: name a folder that is new or empty.");
  EXPECT_EQ(bytes_of(root_ / "full/file"), "mine");
  fs::create_directories(root_ / "empty");
  EXPECT_EQ(refusal({.out = root_ / "empty", .records = 1, .rate = 100}), "");
  EXPECT_TRUE(fs::exists(root_ / "empty/ptbxl_database.csv"));
  EXPECT_EQ(refusal({.out = root_ / "slash/", .records = 1, .rate = 100}), "");
  EXPECT_TRUE(fs::exists(root_ / "slash/ptbxl_database.csv"));
}

TEST_F(SynthFolder, RefusesOptionsThatMakeNoSense) {
  EXPECT_EQ(refusal({.out = root_ / "x", .records = 0}),
            "--records is 0, but must be between 1 and 99999.");
  EXPECT_EQ(refusal({.out = root_ / "x", .records = -5}),
            "--records is -5, but must be between 1 and 99999.");
  EXPECT_EQ(refusal({.out = root_ / "x", .records = 1, .rate = 250}),
            "--rate is 250, but must be 100 or 500; leave it out for both.");
  EXPECT_EQ(refusal({.out = "", .records = 1}),
            "The synthetic data set needs a folder: give one with --out DIR.");
  EXPECT_TRUE(fs::is_empty(root_));
}

TEST_F(SynthFolder, LeavesNothingBehindWhenItFails) {
  std::ofstream(root_ / "file") << "no folder";
  const std::string sentence = refusal({.out = root_ / "file/set", .records = 1});
  EXPECT_TRUE(sentence.starts_with("Cannot make the folder ")) << sentence;
  EXPECT_EQ(contents(root_).size(), 1U);
}

TEST(SynthFoldsTest, KeepPatientsTogetherAndEveryClassInEveryFold) {
  SynthFolds folds;
  std::map<std::int64_t, int> fold_of;
  std::array<int, 11> sizes{};
  std::map<std::string, std::set<int>> folds_of_class;
  for (std::int64_t record = 1; record <= 200; ++record) {
    const SynthPlan plan = plan_synth_record(3, record);
    const int fold = folds.assign(plan);
    ASSERT_TRUE(fold >= 1 && fold <= 10);
    EXPECT_EQ(fold_of.emplace(plan.patient, fold).first->second, fold);
    ++sizes[static_cast<std::size_t>(fold)];
    for (const char* superclass : {"NORM", "MI", "STTC", "CD", "HYP"}) {
      if (plan.has_superclass(superclass)) folds_of_class[superclass].insert(fold);
    }
  }
  EXPECT_LT(fold_of.size(), 190U);  // some patients come twice
  for (std::size_t fold = 1; fold <= 10; ++fold) EXPECT_NEAR(sizes[fold], 20, 6);
  for (const auto& [superclass, in] : folds_of_class) EXPECT_EQ(in.size(), 10U) << superclass;
}

TEST(SynthPlans, MixClassesAboutAsPtbXlDoes) {
  constexpr int records = 6000;
  std::map<std::string, double> share;
  for (int record = 1; record <= records; ++record) {
    const SynthPlan plan = plan_synth_record(2, record);
    bool any = false;
    for (const char* superclass : {"NORM", "MI", "STTC", "CD", "HYP"}) {
      if (!plan.has_superclass(superclass)) continue;
      any = true;
      share[superclass] += 100.0 / records;
    }
    if (!any) share["none"] += 100.0 / records;
    EXPECT_FALSE(plan.findings.empty());
  }
  EXPECT_NEAR(share["NORM"], 44, 3);
  EXPECT_NEAR(share["MI"], 25, 3);
  EXPECT_NEAR(share["STTC"], 24, 3);
  EXPECT_NEAR(share["CD"], 22, 3);
  EXPECT_NEAR(share["HYP"], 12, 2);
  EXPECT_NEAR(share["none"], 1.9, 0.9);
}

}  // namespace
}  // namespace cardiograd
