// What `cardiograd plot` reads, and what it says of files that hold something else.
#include "trainer/history.h"

#include <cmath>
#include <gtest/gtest.h>

#include "kernels/error.h"
#include "tests/support/shared_data.h"
#include "tests/support/temp_folder.h"
#include "trainer/gnuplot.h"
#include "trainer/run_pictures.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::TempFolder;

constexpr const char* events =
    "{\"event\": \"start\", \"model\": \"rnn\"}\n"
    "{\"event\": \"step\", \"step\": 2, \"epoch\": 1, \"loss\": 0.75}\n"
    "{\"event\": \"epoch\", \"epoch\": 1, \"step\": 3, \"valid_loss\": 0.5, "
    "\"valid_macro_auroc\": null}\n"
    "{\"event\": \"step\", \"step\": 4, \"epoch\": 2, \"loss\": 0.25}\n"
    "{\"event\": \"epoch\", \"epoch\": 2, \"step\": 6, \"valid_loss\": 0.375, "
    "\"valid_macro_auroc\": 0.875}\n";

using Values = std::vector<double>;

TEST(History, OfMetricsJsonl) {
  const TempFolder folder;
  // The last line is being written.
  const auto path = folder.write("metrics.jsonl", std::string(events) + "{\"event\": \"st");
  const TrainingHistory history = read_history(path);
  EXPECT_EQ(history.title, "rnn");
  EXPECT_EQ(history.curves.train_step, (Values{2, 4}));
  EXPECT_EQ(history.curves.train_loss, (Values{0.75, 0.25}));
  EXPECT_EQ(history.curves.validation_step, (Values{3, 6}));
  EXPECT_EQ(history.curves.validation_loss, (Values{0.5, 0.375}));
  EXPECT_TRUE(std::isnan(history.curves.validation_auroc.at(0)));
  EXPECT_EQ(history.curves.validation_auroc.at(1), 0.875);
}

TEST(History, OfTheSeedsMetrics) {
  CARDIOGRAD_NEEDS_SHARED("golden/seed/metrics_MMCNN_CAT.pt");
  const TrainingHistory history =
      read_history(testing::shared_path("golden/seed/metrics_MMCNN_CAT.pt"));
  EXPECT_EQ(history.title, "metrics_MMCNN_CAT.pt");
  EXPECT_EQ(history.curves.train_step, (Values{256, 512, 768}));
  EXPECT_EQ(history.curves.train_loss, (Values{0.61, 0.52, 0.47}));
  EXPECT_EQ(history.curves.validation_step, (Values{256, 512, 768}));
  EXPECT_EQ(history.curves.validation_loss, (Values{0.6, 0.55, 0.5}));
  EXPECT_TRUE(history.curves.validation_auroc.empty());
}

TEST(History, WhatIsNoHistoryIsRefused) {
  const TempFolder folder;
  const auto error = [&](const std::string& text) {
    const auto path = folder.write("m.jsonl", text);
    std::string said = error_of([&] { read_history(path); });
    EXPECT_TRUE(said.starts_with(path.string())) << said;
    return said.substr(std::min(path.string().size(), said.size()));
  };
  EXPECT_EQ(error("{\"event\": \"step\", \"step\": 2}\n"),
            ", line 1: a run's metrics.jsonl does not have such a line");
  EXPECT_EQ(error(std::string(events) + "[1]\n"),
            ", line 6: a run's metrics.jsonl does not have such a line");
  EXPECT_TRUE(error("hello\n").starts_with(", line 1")) << error("hello\n");
  EXPECT_EQ(error("{\"event\": \"start\", \"model\": \"rnn\"}\n"),
            " holds no losses yet, so there is nothing to draw");
  EXPECT_EQ(error(""), " holds no losses yet, so there is nothing to draw");
}

TEST(History, APyTorchFileOfOtherThingsIsRefused) {
  CARDIOGRAD_NEEDS_SHARED("golden/seed/embeddings/1.pt");
  const std::string path = testing::shared_path("golden/seed/embeddings/1.pt").string();
  EXPECT_EQ(error_of([&] { read_history(path); }),
            path +
                " has no list \"train_loss_list\": a metrics.pt holds train_loss_list, "
                "valid_loss_list and global_steps_list");
}

class RunPictures : public ::testing::Test {
 protected:
  RunPictures() {
    folder_.write("run/metrics.jsonl", events);
    folder_.write("empty/x", "");
  }
  void SetUp() override {
    try {
      draw_with_gnuplot(folder_ / "probe.svg", {100, 100}, "plot x\n");
    } catch (const DeviceError& error) {
      GTEST_SKIP() << error.what();
    }
  }
  std::string error(const std::string& source, const std::string& kind) const {
    return error_of([&] { draw_run(folder_ / source, folder_ / "out.svg", kind); });
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  TempFolder folder_;
};

TEST_F(RunPictures, AreDrawnFromWhatThereIs) {
  const auto written = draw_run(folder_ / "run", folder_ / "out.svg", "all");
  EXPECT_EQ(written, (std::vector<std::filesystem::path>{folder_ / "out-training.svg",
                                                         folder_ / "out-loss.svg",
                                                         folder_ / "out-auroc.svg"}));
  for (const auto& picture : written) EXPECT_TRUE(std::filesystem::exists(picture)) << picture;
  draw_run(folder_ / "run/metrics.jsonl", folder_ / "one.svg", "");
  const std::string svg = testing::read_file(folder_ / "one.svg");
  EXPECT_NE(svg.find("highest 0.875 (epoch 2)"), std::string::npos);
  EXPECT_NE(svg.find("lowest 0.375 (step 6)"), std::string::npos);
}

TEST_F(RunPictures, SayWhatASourceLacks) {
  EXPECT_EQ(error("run", "roc"),
            path("run") +
                " has no test.json: the run did not finish, so there is no picture of kind roc");
  EXPECT_EQ(error("run/metrics.jsonl", "pr"),
            path("run/metrics.jsonl") +
                " holds no predictions, so there is no picture of kind pr; name the run's folder "
                "instead");
  EXPECT_EQ(error("empty", ""),
            path("empty") + " has no metrics.jsonl: it is not the folder of a run");
  EXPECT_EQ(error("nothing", ""),
            path("nothing") +
                " does not exist; a run's folder, a metrics.jsonl or a metrics.pt is wanted");
  EXPECT_EQ(error("run", "rocs"),
            "there is no picture of kind \"rocs\"; did you mean \"roc\"? Known are all, training, "
            "loss, auroc, roc, pr, calibration, confusion, classes");
  folder_.write("run/test.json", "{\"model\": \"rnn\"}");
  EXPECT_EQ(
      error("run", "roc"),
      path("run/test.json") + " is not a run's report: a field is missing or of another type");
}

}  // namespace
}  // namespace cardiograd
