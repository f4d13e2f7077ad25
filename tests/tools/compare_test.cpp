// `cardiograd compare`, as a user runs it.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/run_program.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::ProgramResult;
using testing::run_program;

constexpr const char* good =
    "{\"macro_auroc\": 0.91249, \"macro_auprc\": 0.8, \"macro_f1\": null, \"hit_rate\": 0.75, "
    "\"records\": 40, \"classes\": [], \"bootstrap\": {\"mean\": 0.9, \"q05\": 0.85, \"q95\": "
    "0.95, \"resamples\": 10}, \"epoch\": 3, \"model\": \"mmcnn|cat\", \"inputs\": [\"signal\", "
    "\"notes\"], \"task\": \"superdiagnostic\"}";

class Compare : public ::testing::Test {
 protected:
  Compare() {
    folder_.write("a/test.json", good);
    std::string other = good;
    other.replace(other.find("0.91249"), 7, "null");
    other.erase(other.find("\"bootstrap\""), other.find("\"epoch\"") - other.find("\"bootstrap\""));
    folder_.write("b/test.json", other);
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  ProgramResult compare(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "compare");
    return run_program("cardiograd", arguments);
  }
  testing::TempFolder folder_;
};

TEST_F(Compare, ShowsARowARun) {
  const ProgramResult table = compare({path("a") + "/", path("b")});
  EXPECT_EQ(table.exit_code, 0);
  EXPECT_EQ(
      table.out,
      "run      model          inputs             task  epoch  records  AUROC     5 % to 95 %  "
      "AUPRC  F1  hit rate\n"
      "a    mmcnn|cat  signal + notes  superdiagnostic      3       40  0.912  0.850 to 0.950  "
      "0.800   -     0.750\n"
      "b    mmcnn|cat  signal + notes  superdiagnostic      3       40      -               -  "
      "0.800   -     0.750\n");
  EXPECT_EQ(compare({path("b"), "--markdown"}).out,
            "| run | model | inputs | task | epoch | records | AUROC | 5 % to 95 % | AUPRC | F1 | "
            "hit rate |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
            "| b | mmcnn\\|cat | signal + notes | superdiagnostic | 3 | 40 | - | - | 0.800 | - | "
            "0.750 |\n");
  const auto json = nlohmann::json::parse(compare({path("a"), path("b"), "--json"}).out);
  EXPECT_EQ(json.at(0).at("macro_auroc"), 0.91249);
  EXPECT_EQ(json.at(1).at("macro_auroc"), nullptr);
}

TEST_F(Compare, RefusesWhatIsNoRun) {
  const auto error = [&](const std::string& run) {
    const ProgramResult result = compare({path("a"), run});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.out, "");
    return result.err;
  };
  EXPECT_EQ(error(path("c")), "cardiograd: " + path("c/test.json") + " does not exist: is " +
                                  path("c") + " the folder of a finished run?\n");
  folder_.write("d/test.json", "{\"model\": 7}");
  EXPECT_EQ(error(path("d")),
            "cardiograd: " + path("d/test.json") +
                " is not a run's test report: a field is missing or of another type\n");
}

}  // namespace
}  // namespace cardiograd
