#include "trainer/gan.h"

#include <cmath>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "nn/safetensors.h"
#include "tests/support/small_packed.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::read_file;
using testing::SmallPacked;
using testing::TempFolder;

RunConfig config_for(const TempFolder& folder, const std::string& run) {
  RunConfig config;
  const auto data = folder / "packed";
  if (!std::filesystem::exists(data)) SmallPacked(40, 30).write(data);
  config.data.path = data.string();
  config.data.standardize = "lead";
  config.model.name = "dcgan";
  config.train.epochs = 2;
  config.train.batch_size = 4;
  config.train.optimizer = "adam";
  config.train.lr = 2e-4;
  config.gan.class_name = "MI";
  config.gan.latent = 3;
  config.gan.samples = 5;
  config.run.dir = (folder / run).string();
  config.run.plots = false;
  return config;
}

std::vector<float> generated(const std::filesystem::path& run) {
  const SafetensorsFile file(run / "generated.safetensors");
  const ConstView view = file.view("signal", DType::f32, {5, 30, 12});
  EXPECT_EQ(file.metadata().at("rate"), "100");
  EXPECT_EQ(file.metadata().at("class"), "MI");
  return {view.as<float>(), view.as<float>() + view.numel()};
}

TEST(Gan, LeavesBothNetworksAndSignals) {
  const TempFolder folder;
  const RunConfig config = config_for(folder, "run");
  EXPECT_TRUE(is_gan(config));
  const GanResult result = fit_gan(config, true);
  EXPECT_EQ(result.records, 11) << "of the training folds' 32 records, every third has MI";
  EXPECT_TRUE(std::isfinite(result.critic_loss) && std::isfinite(result.generator_loss));
  for (const char* name : {"generator", "critic"}) {
    EXPECT_TRUE(SafetensorsFile(folder / "run" / (std::string(name) + ".safetensors"))
                    .contains("conv1.weight"));
  }
  for (const float value : generated(folder / "run")) EXPECT_TRUE(std::isfinite(value));

  std::ifstream metrics(folder / "run/metrics.jsonl");
  int steps = 0, epochs = 0;
  for (std::string line; std::getline(metrics, line);) {
    const auto event = nlohmann::json::parse(line);
    steps += event.at("event") == "step" ? 1 : 0;
    epochs += event.at("event") == "epoch" ? 1 : 0;
  }
  EXPECT_EQ(steps, 2 * 3);
  EXPECT_EQ(epochs, 2);
}

TEST(Gan, TheSeedDecidesEverything) {
  const TempFolder folder;
  RunConfig config = config_for(folder, "one");
  fit_gan(config, true);
  config.run.dir = (folder / "two").string();
  fit_gan(config, true);
  EXPECT_EQ(generated(folder / "one"), generated(folder / "two"));
  config.run.dir = (folder / "three").string();
  config.train.seed = 1;
  fit_gan(config, true);
  EXPECT_NE(generated(folder / "one"), generated(folder / "three"));
  config.run.dir = (folder / "four").string();
  config.train.weight_decay = 0.1;
  fit_gan(config, true);
  EXPECT_NE(generated(folder / "three"), generated(folder / "four"));
}

TEST(Gan, RefusesWhatItCannotImitate) {
  const TempFolder folder;
  RunConfig config = config_for(folder, "run");
  config.gan.class_name = "NROM";
  EXPECT_EQ(error_of([&] { fit_gan(config, true); }),
            "gan.class_name: task \"superdiagnostic\" has no class \"NROM\"; did you mean "
            "\"NORM\"? Known are MI, NORM");
  config.gan.class_name = "MI";
  config.data.train_folds = {3};
  SmallPacked without(10, 30);
  for (float& value : without.likelihood) value = -1.0F;
  without.likelihood[2 * 3 + 1] = 100.0F;  // record 2 has fold 3, and NORM
  config.data.path = without.write(folder / "without").string();
  EXPECT_EQ(error_of([&] { fit_gan(config, true); }), "gan.class_name: the training folds of " +
                                                          config.data.path +
                                                          " have no record of class \"MI\"");
  config.augment.noise = 0.01;
  EXPECT_EQ(error_of([&] { fit_gan(config, true); }),
            "model \"dcgan\" trains without augmentation: leave the section augment out");
  config.augment.noise = 0.0;
  config.train.init = "weights.pt";
  EXPECT_EQ(error_of([&] { fit_gan(config, true); }), "model \"dcgan\" trains without train.init");
  config.data.inputs = {"notes"};
  EXPECT_EQ(error_of([&] { fit_gan(config, true); }),
            "model \"dcgan\" makes signals: data.inputs must be [\"signal\"]");
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));
}

}  // namespace
}  // namespace cardiograd
