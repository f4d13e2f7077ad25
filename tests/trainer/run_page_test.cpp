#include "trainer/run_page.h"

#include <algorithm>
#include <gtest/gtest.h>

#include "tests/support/small_packed.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::read_file;
using testing::SmallPacked;
using testing::TempFolder;

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

Metrics small_metrics() {
  Metrics metrics;
  metrics.records = 40;
  metrics.macro_auroc = 0.8125;
  metrics.classes.resize(2);
  metrics.classes[0] = {"MI", 0.9, 0.8, 0.7, 10, 30, {}};
  metrics.classes[1] = {"A<B>&\"C\"", {}, {}, {}, 0, 40, {}};
  metrics.undefined = {"A<B>&\"C\""};
  metrics.set_bootstrap({{0.81, 0.75, 0.88}, 1000, {Interval{0.9, 0.85, 0.95}, std::nullopt}});
  return metrics;
}

TEST(RunPage, TellsTheRunAndNeedsNothingBesideIt) {
  const TempFolder folder;
  RunPage page;
  page.metrics = small_metrics();
  page.epoch = 7;
  page.parameters = 1234;
  page.seconds = 3725.0;
  page.facts = {{"device", "cpu"}};
  page.remarks = {"no pictures: <gnuplot>"};
  folder.write("roc.png", "Man");
  folder.write("examples/9.png", "Ma");
  page.examples = {{9, true, "MI", "MI 0.99", "sinus <b>rhythm", folder / "examples/9.png"}};
  write_run_page(folder.path(), page);
  const std::string html = read_file(folder / "run.html");
  for (const char* part :
       {"<b>0.8125</b>", "0.7500 to 0.8800", "<td>0.8500 to 0.9500</td>", "weights of epoch 7",
        "1234 parameters", "trained for 1 h 2 min", "A&lt;B&gt;&amp;&quot;C&quot;",
        "no pictures: &lt;gnuplot&gt;", "sinus &lt;b&gt;rhythm", "base64,TWFu\"", "base64,TWE=\"",
        "ecg_id 9", "predicted: MI 0.99", "<td>device</td><td>cpu</td>", "[train]"}) {
    EXPECT_NE(html.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(count_of(html, "<img"), 2U) << "pictures that are missing are left out";
  for (const char* outside : {"http:", "https:", "src=\"/", "<script", "<link"}) {
    EXPECT_EQ(html.find(outside), std::string::npos) << outside;
  }
  EXPECT_EQ(html.find("reads the clinical notes"), std::string::npos);
  page.config.data.inputs = {"signal", "notes"};
  write_run_page(folder.path(), page);
  EXPECT_NE(read_file(folder / "run.html").find("reads the clinical notes"), std::string::npos);
}

class Examples : public ::testing::Test {
 protected:
  Examples() {
    SmallPacked(30, 100).write(folder_ / "packed");
    RunConfig config;
    config.data.path = (folder_ / "packed").string();
    session_ = open_data(config);
    examples_ = examples_of(session_, {9, 10}, "folds");
  }

  TempFolder folder_;
  Session session_;
  std::vector<std::int32_t> examples_;
};

TEST_F(Examples, AreThoseOfWhichTheModelWasSurest) {
  // Folds 9 and 10 hold the records 8, 9, 18, 19, 28, 29: without a label, MI, MI, NORM, NORM and
  // none; those without one are no examples.
  ASSERT_EQ(session_.source->records_of(examples_), (std::vector<std::int32_t>{9, 18, 19, 28}));
  const Outcome outcome{{1, 0, 1, 0, 0, 1, 0, 1}, {0.6, 0.1, 0.9, 0.2, 0.8, 0.7, 0.3, 0.55}, 0.0};
  const auto chosen = draw_examples(folder_.path(), session_, examples_, outcome, 2);
  ASSERT_EQ(chosen.size(), 3U);
  EXPECT_EQ(chosen[0].ecg_id, 118);
  EXPECT_TRUE(chosen[0].right);
  EXPECT_EQ(chosen[0].truth, "MI");
  EXPECT_EQ(chosen[0].predicted, "MI 0.90, NORM 0.20");
  EXPECT_EQ(chosen[1].ecg_id, 109);
  EXPECT_EQ(chosen[2].ecg_id, 119);
  EXPECT_FALSE(chosen[2].right);
  EXPECT_EQ(chosen[2].predicted, "MI 0.80, NORM 0.70");
  for (const RunExample& example : chosen) {
    EXPECT_EQ(read_file(example.picture).substr(1, 3), "PNG");
  }
}

TEST_F(Examples, WantARowForEachRecord) {
  EXPECT_NE(error_of([&] { draw_examples(folder_.path(), session_, examples_, {}); }), "");
}

TEST(Environment, NamesDeviceAndMachine) {
  const auto backend = make_backend("cpu");
  std::vector<std::string> names;
  for (const auto& [name, value] : describe_environment(*backend)) {
    names.push_back(name);
    EXPECT_NE(value, "") << name;
    if (name == "device") {
      EXPECT_EQ(value, "cpu");
    }
    if (name == "backend") {
      EXPECT_EQ(value.rfind("cpu (oneDNN ", 0), 0U) << value;
      EXPECT_EQ(value.find("cuda"), std::string::npos) << value;
    }
  }
  for (const char* name : {"version", "backend", "device", "threads", "host", "date"}) {
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
  }
  EXPECT_GT(peak_memory_megabytes(), 1.0);
}

}  // namespace
}  // namespace cardiograd
