// The seed's own checkpoints on its first record: the probabilities that PyTorch gave.
#include <algorithm>
#include <cctype>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/shared_data.h"
#include "trainer/predictor.h"
#include "trainer/record_notes.h"

namespace cardiograd {
namespace {

using testing::shared_path;

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

class SeedPrediction : public ::testing::TestWithParam<std::string> {};

TEST_P(SeedPrediction, OfTheFirstRecord) {
  CARDIOGRAD_NEEDS_SHARED("golden/seed");
  CARDIOGRAD_NEEDS_SHARED("ptbxl-subset/records100");
  const std::string name = upper(GetParam());
  std::ifstream file(shared_path("golden/seed/expected.json"));
  const auto models = nlohmann::json::parse(file).at("models");

  const Predictor predictor({shared_path("golden/seed/model_" + name + ".pt"), "", {}});
  EXPECT_EQ(predictor.architecture(), GetParam());
  EXPECT_TRUE(predictor.guessed());
  const std::vector<std::filesystem::path> records{
      shared_path("ptbxl-subset/records100/00000/00001_lr.hea")};
  for (const char* notes : {"golden/seed/embeddings/1.pt", "golden/seed/embeddings"}) {
    const auto note = notes_of(predictor, records, {"", shared_path(notes)}).at(0);
    const auto probabilities = predictor(predictor.read(records[0]), note);
    const auto expected = models.at(name).at("prob_record_1").get<std::vector<double>>();
    ASSERT_EQ(probabilities.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(probabilities[i], expected[i], 1e-5) << predictor.classes()[i];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SeedPrediction, ::testing::Values("mmcnn_cat", "mmrnn"),
                         [](const auto& one) { return one.param; });

}  // namespace
}  // namespace cardiograd
