#include "trainer/memory_report.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/synthetic_data.h"
#include "trainer/fit.h"

namespace cardiograd {
namespace {

using testing::SyntheticData;
using testing::TempFolder;

TEST(MemoryReport, IsATableOfWhoHoldsWhat) {
  const MemoryReport report{.standing = {{"parameters", 4000000}, {"gradients", 4000000}},
                            .step = {{"conv1 forward", 12000000}, {"fc1 forward", 30000}},
                            .step_peak = 12030000,
                            .arena = 12500000};
  EXPECT_EQ(memory_table(report),
            "What a training step holds in memory when that is most, by layer and pass:\n"
            "owner                  MB      %\n"
            "conv1 forward       12.00   59.9\n"
            "parameters           4.00   20.0\n"
            "gradients            4.00   20.0\n"
            "1 below 0.5 % each   0.03    0.1\n"
            "together            20.03  100.0\n"
            "The step is replayed in an arena of 12.50 MB for 12.03 MB that are in use at once.\n");
  EXPECT_EQ(memory_json(report).dump(),
            R"({"standing":{"parameters":4000000,"gradients":4000000},"step_at_peak":)"
            R"({"conv1 forward":12000000,"fc1 forward":30000},"step_peak_bytes":12030000,)"
            R"("arena_bytes":12500000})");
  EXPECT_EQ(memory_table({}),
            "No step's memory was traced: the run had fewer than two full batches.\n");
}

TEST(MemoryReport, OfARunNamesLayersAndWhatStays) {
  const SyntheticData data(80);
  const TempFolder folder;
  RunConfig config;
  config.data.path = data.packed().string();
  config.train.epochs = 1;
  config.train.batch_size = 16;
  config.run.dir = (folder / "run").string();
  config.run.plots = false;
  const FitResult result = fit(config, true, Start::anew, {}, {.memory = true});
  ASSERT_TRUE(result.memory.has_value());
  const nlohmann::ordered_json json = memory_json(*result.memory);
  EXPECT_GE(json["standing"]["parameters"].get<std::size_t>(), 4 * 3073701U);
  EXPECT_EQ(json["standing"]["gradients"], json["standing"]["parameters"]);
  std::size_t sum = 0;
  bool knows_a_layer = false;
  for (const auto& [owner, bytes] : json["step_at_peak"].items()) {
    sum += bytes.get<std::size_t>();
    knows_a_layer = knows_a_layer || owner.starts_with("conv1 ");
  }
  EXPECT_TRUE(knows_a_layer) << json.dump(1);
  EXPECT_EQ(sum, json["step_peak_bytes"].get<std::size_t>());
  // One stage's activations at least: 16 records of 1,000 samples.
  EXPECT_GT(sum, 16U * 1000U * 4U);
  EXPECT_EQ(json["arena_bytes"], 0U) << "a CPU replays nothing";
}

}  // namespace
}  // namespace cardiograd
