// `cardiograd predict` and `cardiograd plot`, as a user runs them.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "data/packed.h"
#include "data/wfdb.h"
#include "models/registry.h"
#include "nn/state_dict.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_folder.h"
#include "trainer/gnuplot.h"

namespace cardiograd {
namespace {

using testing::ProgramResult;
using testing::run_program;
using Arguments = std::vector<std::string>;

class Predict : public ::testing::Test {
 protected:
  Predict() {
    save("cnn");
    save("mmcnn_cat");
    for (const char* name : {"a", "b"}) {
      std::vector<std::int16_t> samples(1000 * 12);
      for (std::size_t i = 0; i < samples.size(); ++i) {
        samples[i] = static_cast<std::int16_t>(i * 7919 % 500 + (*name == 'b' ? 200 : 0));
      }
      std::filesystem::create_directories(folder_ / "records");
      write_wfdb_record(folder_ / ("records/" + std::string(name)), 100, 1000, standard_leads(),
                        samples);
    }
  }
  void save(const std::string& name) {
    TorchGenerator random(0);
    ModelOptions options;
    options.name = name;
    const auto model = find_model(name).make({make_backend("cpu"), DType::f32, &random}, options);
    save_state(folder_ / (name + ".safetensors"), state_dict(*model));
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  ProgramResult predict(Arguments arguments, const std::string& model = "cnn.safetensors") const {
    arguments.insert(arguments.begin(), {"predict", "--model", path(model)});
    return run_program("cardiograd", arguments);
  }
  void expect_refusal(const Arguments& arguments, const std::string& sentence,
                      const std::string& model = "cnn.safetensors") const {
    const ProgramResult result = predict(arguments, model);
    EXPECT_EQ(result.exit_code, 1) << sentence;
    EXPECT_EQ(result.out, "") << sentence;
    EXPECT_TRUE(result.err.ends_with("cardiograd: " + sentence + "\n")) << result.err;
  }
  static bool can_draw() {
    const testing::TempFolder folder;
    try {
      draw_with_gnuplot(folder / "probe.svg", {100, 100}, "plot x\n");
    } catch (const DeviceError&) {
      return false;
    }
    return true;
  }

  testing::TempFolder folder_;
};

TEST_F(Predict, PrintsATableOrJson) {
  const ProgramResult table = predict({"--record", path("records/a"), "--classes", "v,w,x,y,z"});
  EXPECT_EQ(table.exit_code, 0) << table.err;
  EXPECT_EQ(table.err, path("cnn.safetensors") + ": by its tensors a model cnn\n");
  EXPECT_TRUE(table.out.starts_with("a (100 Hz, cnn)\nclass  probability  >= 0.5\nv "))
      << table.out;
  EXPECT_NE(table.out.find("\nz           0."), std::string::npos) << table.out;

  const ProgramResult json =
      predict({"--arch", "cnn", "--record", path("records"), path("records/a.hea"), "--json"});
  EXPECT_EQ(json.exit_code, 0) << json.err;
  EXPECT_EQ(json.err, "");
  std::istringstream lines(json.out);
  std::vector<nlohmann::json> records;
  for (std::string line; std::getline(lines, line);) records.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records[0].at("record"), "a");
  EXPECT_EQ(records[1].at("record"), "b");
  EXPECT_EQ(records[0].at("classes"), nlohmann::json({"CD", "HYP", "MI", "NORM", "STTC"}));
  EXPECT_EQ(records[0].at("probabilities"), records[2].at("probabilities"));
  EXPECT_NE(records[0].at("probabilities"), records[1].at("probabilities"));
  EXPECT_EQ(records[0].at("model"), path("cnn.safetensors"));
  EXPECT_EQ(records[0].at("architecture"), "cnn");
}

TEST_F(Predict, AMissingNoteIsSaid) {
  const ProgramResult result =
      predict({"--arch", "mmcnn_cat", "--record", path("records")}, "mmcnn_cat.safetensors");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err,
            "2 of 2 records without a note: zeros stand for what the model would read\n");
}

TEST_F(Predict, DrawsEachRecordWhereAsked) {
  if (!can_draw()) GTEST_SKIP() << "gnuplot is missing";
  EXPECT_EQ(predict({"--record", path("records/a"), "--plot", path("one.png")}).exit_code, 0);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "one.png"));
  EXPECT_EQ(predict({"--record", path("records"), "--plot", path("folder")}).exit_code, 0);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "folder/a.png"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "folder/b.png"));
  EXPECT_EQ(
      predict({"--record", path("records"), "--plot", path("p/ecg-{}.svg"), "--layout", "12x1"})
          .exit_code,
      0);
  EXPECT_NE(testing::read_file(folder_ / "p/ecg-b.svg").find("cnn:   CD 0."), std::string::npos);
}

TEST_F(Predict, RefusesWhatDoesNotFit) {
  const std::string a = path("records/a");
  expect_refusal({"--record", path("records"), "--plot", path("x.png")},
                 "--plot " + path("x.png") + " would draw several of the 2 records to " +
                     path("x.png") +
                     ": name a folder, or a pattern such as pictures/{}.png, for records of "
                     "different names");
  expect_refusal({"--record", a, "--layout", "6x2"},
                 "the layout of an ECG is 3x4 or 12x1, not \"6x2\"");
  expect_refusal({"--record", a, "--note", "x"},
                 "the model \"cnn\" reads no notes: leave --note and --note-embedding out");
  expect_refusal({"--record", a},
                 path("gone.pt") +
                     " does not exist; a .pt or .safetensors file or a checkpoint's folder is "
                     "wanted",
                 "gone.pt");
  folder_.write("records/short.hea", "short 1 100 1000\nshort.dat 16 1000 16 0 0 0 0 I\n");
  expect_refusal({"--record", path("records/short")},
                 path("records/short.hea") + " has 1 signals, where the 12 leads are expected");
  const ProgramResult usage = run_program("cardiograd", {"predict", "--record", "x"});
  EXPECT_EQ(usage.exit_code, 2);
  EXPECT_TRUE(usage.err.starts_with("cardiograd predict: --model is required\n")) << usage.err;
}

TEST_F(Predict, WithoutGnuplotTheProbabilitiesStillCome) {
  testing::ProgramOptions options;
  options.environment["PATH"] = path("records");
  const ProgramResult result = run_program(CARDIOGRAD_BUILD_DIR "/cardiograd",
                                           {"predict", "--model", path("cnn.safetensors"),
                                            "--record", path("records/a"), "--plot", path("a.png")},
                                           options);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(result.out.starts_with("a (100 Hz, cnn")) << result.out;
  EXPECT_TRUE(
      result.err.ends_with("cardiograd: pictures need gnuplot, which was not found: install "
                           "the package gnuplot-nox\n"))
      << result.err;
}

TEST_F(Predict, PlotSaysWhatItWrote) {
  if (!can_draw()) GTEST_SKIP() << "gnuplot is missing";
  folder_.write("m.jsonl", "{\"event\": \"step\", \"step\": 1, \"epoch\": 1, \"loss\": 0.5}\n");
  const ProgramResult result =
      run_program("cardiograd", {"plot", path("m.jsonl"), "--out", path("l.svg")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "written: " + path("l.svg") + "\n");
  EXPECT_TRUE(std::filesystem::exists(folder_ / "l.svg"));
}

}  // namespace
}  // namespace cardiograd
