#include "data/ptbxl.h"

#include <cmath>
#include <gtest/gtest.h>

#include "data/labels.h"
#include "tests/support/shared_data.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;

constexpr const char* statements_header =
    ",description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass\n";
constexpr const char* database_header =
    "ecg_id,patient_id,age,sex,report,scp_codes,validated_by_human,strat_fold,filename_lr,"
    "filename_hr\n";

std::vector<ScpStatement> statements(const std::string& rows) {
  return parse_scp_statements(CsvTable::parse(statements_header + rows, "s.csv"));
}

const std::vector<ScpStatement>& few_statements() {
  static const auto result = statements(
      "SR,sinus rhythm,,,1.0,,\nNORM,normal,1.0,,,NORM,NORM\nIMI,inferior,1.0,,,MI,IMI\n"
      "NDT,t,1.0,1.0,,STTC,STTC\nASMI,septal,1.0,,,MI,AMI\n");
  return result;
}

PtbxlRow row(const std::string& text) {
  return PtbxlDatabase(CsvTable::parse(database_header + text, "d.csv"), few_statements()).row(0);
}

TEST(ScpStatements, ComeInAlphabeticalOrderWithFlagsAndClasses) {
  const auto& all = few_statements();
  ASSERT_EQ(all.size(), 5U);
  EXPECT_EQ(all[0].code, "ASMI");
  EXPECT_EQ(all[0].diagnostic_class, "MI");
  EXPECT_EQ(all[0].diagnostic_subclass, "AMI");
  EXPECT_EQ(all[2].code, "NDT");
  EXPECT_TRUE(all[2].diagnostic && all[2].form && !all[2].rhythm);
  EXPECT_EQ(all[4].code, "SR");
  EXPECT_TRUE(all[4].rhythm && !all[4].diagnostic);
}

TEST(ScpStatements, ErrorsNameFileAndLine) {
  EXPECT_EQ(error_of([] { statements("A,a,2.0,,,,\n"); }),
            "s.csv, line 2: diagnostic is \"2.0\", where 1.0 or nothing is expected");
  EXPECT_EQ(error_of([] { statements("A,a,,1.0,,,\n,b,,,,,\n"); }),
            "s.csv, line 3: the first column, the statement's code, is empty");
  EXPECT_EQ(error_of([] { statements("A,a,1.0,,,MI,\n"); }),
            "s.csv, line 2: the diagnostic statement \"A\" has no diagnostic_class or no "
            "diagnostic_subclass");
  EXPECT_EQ(error_of([] { statements("A,a,,,,,\nB,b,,,,,\nA,c,,,,,\n"); }),
            "s.csv has the statement \"A\" twice");
}

TEST(PtbxlDatabase, ReadsARow) {
  const PtbxlRow full =
      row("7,16193.0,300.0,1,\"a, b\",\"{'NORM': 80.0, 'SR': 0}\",True,10,lr/7,hr/7\n");
  EXPECT_EQ(full.line, 2);
  EXPECT_EQ(full.ecg_id, 7);
  EXPECT_EQ(full.patient_id, 16193);
  EXPECT_EQ(full.age, 300);
  EXPECT_EQ(full.sex, 1);
  EXPECT_EQ(full.report, "a, b");
  EXPECT_EQ(full.statements, (std::vector<std::pair<int, float>>{{3, 80.0F}, {4, 0.0F}}));
  EXPECT_EQ(full.fold, 10);
  EXPECT_EQ(full.filename_lr, "lr/7");
  EXPECT_EQ(full.filename_hr, "hr/7");
  EXPECT_TRUE(full.validated_by_human);
  const PtbxlRow sparse = row("7,1,,,,{},False,1,a,b\n");
  EXPECT_TRUE(std::isnan(sparse.age));
  EXPECT_EQ(sparse.sex, sex_unknown);
  EXPECT_TRUE(sparse.statements.empty());
}

TEST(PtbxlDatabase, ErrorsNameLineAndField) {
  const struct {
    const char* text;
    const char* error;
  } cases[] = {
      {"x,1,,,,{},False,1,a,b\n",
       "d.csv, line 2: ecg_id is \"x\", where a whole number is expected"},
      {"1,1.5,,,,{},False,1,a,b\n",
       "d.csv, line 2: patient_id is \"1.5\", where a whole number is expected"},
      {"1,1,nan,,,{},False,1,a,b\n",
       "d.csv, line 2: age is \"nan\", where a number of years or nothing is expected"},
      {"1,1,,2,,{},False,1,a,b\n",
       "d.csv, line 2: sex is \"2\", where 0 for male, 1 for female or nothing is expected"},
      {"1,1,,,,{'NORM',False,1,a,b\n",
       "d.csv, line 2: scp_codes is no list of statements: \":\" is expected at character 8 of "
       "\"{'NORM'\""},
      {"1,1,,,,{'NORX': 1},False,1,a,b\n",
       "d.csv, line 2: scp_codes names \"NORX\", which is no statement of scp_statements.csv"},
      {"1,1,,,,{'NORM': 101},False,1,a,b\n",
       "d.csv, line 2: scp_codes gives \"NORM\" a likelihood outside 0 to 100"},
      {"1,1,,,,{},yes,1,a,b\n",
       "d.csv, line 2: validated_by_human is \"yes\", where True or False is expected"},
      {"1,1,,,,{},False,11,a,b\n",
       "d.csv, line 2: strat_fold is \"11\", where a fold from 1 to 10 is expected"},
      {"1,1,,,,{},False,1,../a,b\n",
       "d.csv, line 2: filename_lr is \"../a\", where a file below the data set's folder is "
       "expected"},
      {"1,1,,,,{},False,1,a,/b\n",
       "d.csv, line 2: filename_hr is \"/b\", where a file below the data set's folder is "
       "expected"},
  };
  for (const auto& [text, error] : cases) {
    EXPECT_EQ(error_of([&] { row(text); }), error) << text;
  }
}

TEST(Labels, TasksPickStatementsAndOrderTheirClasses) {
  const auto classes = [](const char* task) { return make_task(task, few_statements()).classes; };
  using Names = std::vector<std::string>;
  EXPECT_EQ(classes("all"), (Names{"ASMI", "IMI", "NDT", "NORM", "SR"}));
  EXPECT_EQ(classes("diagnostic"), (Names{"ASMI", "IMI", "NDT", "NORM"}));
  EXPECT_EQ(classes("subdiagnostic"), (Names{"AMI", "IMI", "NORM", "STTC"}));
  EXPECT_EQ(classes("superdiagnostic"), (Names{"MI", "NORM", "STTC"}));
  EXPECT_EQ(classes("form"), (Names{"NDT"}));
  EXPECT_EQ(classes("rhythm"), (Names{"SR"}));
  EXPECT_EQ(
      error_of([&] { classes("superdiagnostics"); }),
      "there is no task \"superdiagnostics\"; did you mean \"superdiagnostic\"? Known are all, "
      "diagnostic, subdiagnostic, superdiagnostic, form, rhythm");
}

TEST(Labels, LikelihoodZeroIsPresentAndUnlabelledRecordsAreDropped) {
  const LabelTask task = make_task("superdiagnostic", few_statements());
  const float no = statement_absent;
  const std::vector<float> likelihood = {0,  no, no, no, no,   // ASMI, unknown
                                         no, no, no, no, 100,  // SR alone
                                         50, 50, 15, no, 0};   // ASMI and IMI are one class
  const TaskTargets targets = make_targets(task, likelihood);
  EXPECT_EQ(targets.records, (std::vector<std::int32_t>{0, 2}));
  EXPECT_EQ(targets.targets, (std::vector<float>{1, 0, 0, 1, 0, 1}));
  EXPECT_EQ(targets.dropped, 1);
}

TEST(Labels, ThePublishedStatementsGiveThePublishedTasks) {
  CARDIOGRAD_NEEDS_SHARED("ptbxl-subset");
  const std::filesystem::path path = testing::shared_path("ptbxl-subset") / "scp_statements.csv";
  const auto published = parse_scp_statements(CsvTable::read(path));
  EXPECT_EQ(published.size(), 71U);
  const std::size_t sizes[] = {71, 44, 23, 5, 19, 12};
  for (std::size_t i = 0; i < task_names().size(); ++i) {
    EXPECT_EQ(make_task(task_names()[i], published).classes.size(), sizes[i]) << task_names()[i];
  }
  EXPECT_EQ(make_task("superdiagnostic", published).classes,
            (std::vector<std::string>{"CD", "HYP", "MI", "NORM", "STTC"}));
}

}  // namespace
}  // namespace cardiograd
