// The pictures are drawn, are what their names say, and take no orders from a class's name.
#include "trainer/plots.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <limits>
#include <string>
#include <vector>

#include "kernels/error.h"
#include "tests/support/random_values.h"
#include "tests/support/temp_folder.h"
#include "trainer/bootstrap.h"
#include "trainer/gnuplot.h"
#include "trainer/metrics.h"

namespace cardiograd {
namespace {

using cardiograd::testing::error_of;
using cardiograd::testing::read_file;
using cardiograd::testing::TempFolder;
using cardiograd::testing::uniform_values;

struct Sample {
  std::vector<std::string> names;
  std::vector<double> targets;
  std::vector<double> scores;
  Predictions predictions() const {
    return {static_cast<std::int64_t>(targets.size() / names.size()), names, targets, scores};
  }
};

// The last class has negatives only.
Sample make_sample(const std::vector<std::string>& names) {
  const auto values = static_cast<std::int64_t>(60 * names.size());
  Sample sample{names, uniform_values(values, 0, 1, 3), uniform_values(values, 0, 1, 4)};
  for (std::size_t i = 0; i < sample.targets.size(); ++i) {
    const bool last = i % names.size() + 1 == names.size();
    sample.targets[i] = !last && sample.targets[i] < 0.4 ? 1.0 : 0.0;
    sample.scores[i] = 0.6 * sample.scores[i] + 0.3 * sample.targets[i];
  }
  return sample;
}

TrainingCurves make_curves() {
  TrainingCurves curves{
      {}, uniform_values(300, 0.1, 0.5, 1), {100, 200, 300}, {0.5, 0.4, 0.45}, {0.7, 0.8, 0.75}};
  for (int step = 1; step <= 300; ++step) curves.train_step.push_back(step);
  return curves;
}

void draw_all(const TempFolder& folder, const std::string& title, const Sample& sample,
              const std::string& ending) {
  const Predictions predictions = sample.predictions();
  Metrics metrics = evaluate(predictions);
  metrics.set_bootstrap(*bootstrap_auroc(predictions, 20, std::uint64_t{0}));
  plot_training(folder / ("training" + ending), title, make_curves());
  plot_roc(folder / ("roc" + ending), title, predictions);
  plot_precision_recall(folder / ("precision_recall" + ending), title, predictions);
  plot_calibration(folder / ("calibration" + ending), title, predictions);
  plot_confusion(folder / ("confusion" + ending), title, predictions);
  plot_loss(folder / ("loss" + ending), title, make_curves());
  plot_auroc(folder / ("auroc" + ending), title, make_curves());
  plot_class_auroc(folder / ("classes" + ending), title, metrics);
}

std::vector<std::string> picture_names() {
  return {"training", "roc",  "precision_recall", "calibration", "classes", "confusion",
          "loss",     "auroc"};
}

std::size_t files_in(const TempFolder& folder) {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    count += entry.is_regular_file();
  }
  return count;
}

// Big-endian, at a byte of a PNG's first chunk.
unsigned long png_number(const std::string& png, std::size_t at) {
  unsigned long value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(png[at + i]);
  return value;
}

class Plots : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      draw_with_gnuplot(folder_ / "probe.svg", {100, 100}, "plot x\n");
    } catch (const DeviceError& error) {
      GTEST_SKIP() << error.what();
    }
    std::filesystem::remove(folder_ / "probe.svg");
  }

  TempFolder folder_;
};

TEST_F(Plots, AreWholePngFiles) {
  draw_all(folder_, "five classes", make_sample({"CD", "HYP", "MI", "NORM", "STTC"}), ".png");
  for (const std::string& name : picture_names()) {
    const std::string png = read_file(folder_ / (name + ".png"));
    ASSERT_GT(png.size(), 8000U) << name;
    EXPECT_EQ(png.substr(0, 8), "\x89PNG\r\n\x1a\n") << name;
    EXPECT_EQ(png.substr(png.size() - 8, 4), "IEND") << name;
    EXPECT_GE(png_number(png, 16), 1350U) << name << " is too narrow to read";
  }
  EXPECT_EQ(files_in(folder_), picture_names().size()) << "something temporary was left behind";
}

TEST_F(Plots, NameTheirClassesAndAreas) {
  const Sample sample = make_sample({"CD", "HYP", "MI"});
  draw_all(folder_, "three classes", sample, ".svg");
  const std::string svg = read_file(folder_ / "roc.svg");
  const double area = *evaluate(sample.predictions()).classes[1].auroc;
  EXPECT_NE(svg.find("HYP  " + std::to_string(area).substr(0, 4)), std::string::npos);
  EXPECT_NE(svg.find("1 without both labels"), std::string::npos);
  EXPECT_NE(svg.find("three classes"), std::string::npos);
  const std::string training = read_file(folder_ / "training.svg");
  EXPECT_NE(training.find("lowest 0.400 (step 200)"), std::string::npos);
  EXPECT_NE(training.find("highest 0.800 (epoch 2)"), std::string::npos);
  EXPECT_NE(read_file(folder_ / "classes.svg").find("undefined  (0 positive)"), std::string::npos);
}

TEST_F(Plots, ConfusionShowsTheCountsAndRatiosOfEachClass) {
  const Sample sample{
      {"MI", "none"}, {1, 0, 1, 0, 0, 0, 0, 0, 0, 0}, {.9, .1, .2, .1, .6, .1, .1, .1, .1, .1}};
  plot_confusion(folder_ / "c.svg", "t", sample.predictions());
  const std::string svg = read_file(folder_ / "c.svg");
  std::vector<std::string> texts;
  for (std::size_t at = svg.find("<text>"); at != std::string::npos;
       at = svg.find("<text>", at + 6)) {
    texts.push_back(svg.substr(at + 6, svg.find('<', at + 6) - at - 6));
  }
  const auto has = [&](const char* text) { return std::count(texts.begin(), texts.end(), text); };
  EXPECT_EQ(has("1"), 3) << "true positive, false negative, false positive of MI";
  EXPECT_EQ(has("2"), 1) << "true negatives of MI";
  EXPECT_EQ(has("5"), 1) << "true negatives of the class without positives";
  EXPECT_EQ(has("0.667"), 1) << "specificity of MI";
  EXPECT_EQ(has("0.500"), 2) << "sensitivity and precision of MI";
  EXPECT_EQ(has("-"), 2) << "sensitivity and precision of a class without positives";
  EXPECT_NE(svg.find("rgb(255, 255, 255)"), std::string::npos) << "a share of 0 is white";
}

TEST_F(Plots, DrawManyClassesWithoutNamingEach) {
  std::vector<std::string> names;
  for (int i = 0; i < 71; ++i) names.push_back("statement" + std::to_string(i));
  draw_all(folder_, "71 classes", make_sample(names), ".svg");
  const std::string svg = read_file(folder_ / "roc.svg");
  EXPECT_NE(svg.find("70 classes"), std::string::npos);
  EXPECT_EQ(svg.find("statement3"), std::string::npos);
  EXPECT_NE(read_file(folder_ / "classes.svg").find("statement3"), std::string::npos);
}

TEST_F(Plots, TakeNoCommandsFromNames) {
  const std::string victim = (folder_ / "harm").string();
  std::vector<std::string> names{"'; system('touch " + victim + "'); '",
                                 "`touch " + victim + "`",
                                 "\"; !touch " + victim + "\n!touch " + victim,
                                 "END\nsystem('touch " + victim + "')\n",
                                 "@x \\",
                                 "%s %n {/Bold=99 x}",
                                 "\xff\xfe",
                                 "last"};
  for (const std::string& name : names) {
    draw_all(folder_, name, make_sample(names), ".svg");
    EXPECT_FALSE(std::filesystem::exists(victim)) << name;
  }
  EXPECT_EQ(files_in(folder_), picture_names().size());
}

TEST_F(Plots, ShowNamesAsTheyAre) {
  draw_all(folder_, "100 % of it", make_sample({"50 % {/Bold=9 x}", "a_b^c", "last"}), ".svg");
  for (const char* name : {"roc", "precision_recall", "calibration", "classes"}) {
    const std::string svg = read_file(folder_ / (std::string(name) + ".svg"));
    EXPECT_NE(svg.find("50 % {/Bold=9 x}"), std::string::npos) << name;
    EXPECT_NE(svg.find("a_b^c"), std::string::npos) << name;
    EXPECT_NE(svg.find("100 % of it"), std::string::npos) << name;
  }
}

TEST_F(Plots, DrawARunThatDiverged) {
  TrainingCurves curves = make_curves();
  curves.train_loss[120] = std::numeric_limits<double>::infinity();
  curves.train_loss[121] = std::numeric_limits<double>::quiet_NaN();
  curves.validation_loss.assign(3, std::numeric_limits<double>::quiet_NaN());
  plot_training(folder_ / "a.svg", "diverged", curves);
  EXPECT_EQ(read_file(folder_ / "a.svg").find("lowest"), std::string::npos);
}

TEST_F(Plots, KeepTheOldPictureWhenGnuplotFails) {
  folder_.write("a.png", "old");
  const std::string error = error_of([&] {
    draw_with_gnuplot(folder_ / "a.png", {300, 200}, "plot no_such_function(x)\n");
  });
  EXPECT_NE(error.find("a.png: gnuplot could not draw the picture ("), std::string::npos) << error;
  EXPECT_NE(error.find("undefined"), std::string::npos) << error;
  EXPECT_EQ(read_file(folder_ / "a.png"), "old");
  EXPECT_EQ(files_in(folder_), 1U);
}

TEST(PlotErrors, AnotherEndingIsRefused) {
  EXPECT_EQ(error_of([] {
              draw_with_gnuplot("a.bmp", {300, 200}, "plot x\n");
            }),
            "a.bmp: a picture's name must end with .png or .svg");
}

TEST(PlotErrors, NothingToDrawIsRefused) {
  const TempFolder folder;
  const Sample sample = make_sample({"only negatives"});
  const std::string path = (folder / "a.png").string();
  EXPECT_EQ(error_of([&] { plot_roc(path, "t", sample.predictions()); }),
            path + ": no class has both kinds of label, so there is no curve");
  EXPECT_EQ(error_of([&] { plot_class_auroc(path, "t", evaluate(sample.predictions())); }),
            path + ": no class has both kinds of label, so there is no AUROC");
  EXPECT_EQ(error_of([&] { plot_training(path, "t", {}); }),
            path + ": training curves need one finished epoch");
  EXPECT_EQ(error_of([&] { plot_loss(path, "t", {}); }),
            path + ": no loss was written yet, so there is no curve");
  EXPECT_EQ(error_of([&] { plot_auroc(path, "t", {}); }),
            path + ": no epoch has finished yet, so there is no AUROC to draw");
}

TEST(PlotErrors, AMissingGnuplotIsNamedWithItsPackage) {
  const TempFolder folder;
  const char* search_path = std::getenv("PATH");
  const std::string before = search_path != nullptr ? search_path : "";
  setenv("PATH", folder.path().c_str(), 1);
  const std::string error = error_of([&] {
    draw_with_gnuplot(folder / "a.png", {300, 200}, "plot x\n");
  });
  setenv("PATH", before.c_str(), 1);
  EXPECT_EQ(error, "pictures need gnuplot, which was not found: install the package gnuplot-nox");
  EXPECT_FALSE(std::filesystem::exists(folder / "a.png"));
}

TEST(GnuplotText, IsQuotedSoThatNothingIsExpanded) {
  EXPECT_EQ(gnuplot_quote("a'b`c\nd\\"), "'a’b’c d\\'");
  EXPECT_EQ(gnuplot_quote("\xff"), "'?'");
  EXPECT_EQ(gnuplot_number(0.25), "0.25");
  EXPECT_EQ(gnuplot_number(-std::numeric_limits<double>::infinity()), "NaN");
}

}  // namespace
}  // namespace cardiograd
