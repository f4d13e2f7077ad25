// A published model's predictions on PTB-XL's fold 10 must score what was published.
#include "trainer/metrics.h"

#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/npy.h"
#include "tests/support/shared_data.h"
#include "trainer/bootstrap.h"

namespace cardiograd {
namespace {

using cardiograd::testing::shared_path;

TEST(GoldenMetrics, ReproduceThePublishedFigures) {
  CARDIOGRAD_NEEDS_SHARED("golden/metrics");
  const auto folder = shared_path("golden/metrics");
  const NpyArray targets = read_npy(folder / "y_true.npy");
  const NpyArray scores = read_npy(folder / "y_prob.npy");
  const NpyArray ids = read_npy(folder / "bootstrap_ids.npy");
  const auto expected = nlohmann::json::parse(std::ifstream(folder / "expected.json"));
  const std::vector<std::string> names(71, "statement");
  const Predictions predictions{targets.shape[0], names, targets.values, scores.values};

  const Metrics metrics = evaluate(predictions);
  EXPECT_EQ(metrics.records, 2203);
  EXPECT_NEAR(*metrics.macro_auroc, expected["macro_auc"].get<double>(), 1e-12);

  const std::vector<std::int32_t> rows(ids.values.begin(), ids.values.end());
  const Bootstrap bootstrap = *bootstrap_auroc(predictions, rows, ids.shape[0]);
  EXPECT_EQ(bootstrap.resamples, 100);
  EXPECT_NEAR(bootstrap.macro_auroc.mean, expected["bootstrap"]["mean"].get<double>(), 1e-9);
  EXPECT_NEAR(bootstrap.macro_auroc.q05, expected["bootstrap"]["q05"].get<double>(), 1e-9);
  EXPECT_NEAR(bootstrap.macro_auroc.q95, expected["bootstrap"]["q95"].get<double>(), 1e-9);
}

}  // namespace
}  // namespace cardiograd
