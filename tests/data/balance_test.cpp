#include "data/balance.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>

#include "tests/support/small_packed.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::SmallPacked;
using testing::TempFolder;
using Numbers = std::vector<std::int32_t>;

constexpr std::int64_t mi = 0, norm = 1;

// 100 records: the first 30 MI alone, 10 MI and NORM, 60 NORM alone.
class Balance : public ::testing::Test {
 protected:
  Balance() {
    SmallPacked packed(100, 2);
    for (std::size_t r = 0; r < 100; ++r) {
      packed.likelihood[3 * r] = r < 40 ? 100.0F : -1.0F;
      packed.likelihood[3 * r + 1] = r >= 30 ? 100.0F : -1.0F;
      all_.push_back(static_cast<std::int32_t>(r));
    }
    const auto dataset = std::make_shared<PackedDataset>(packed.write(folder_ / "packed"));
    source_ = std::make_unique<ExampleSource>(dataset,
                                              make_task("superdiagnostic", dataset->statements()),
                                              ExampleSource::Options{}, make_backend("cpu"));
  }

  TempFolder folder_;
  std::unique_ptr<ExampleSource> source_;
  Numbers all_;
};

TEST_F(Balance, CountsAnExampleInEachOfItsClasses) {
  EXPECT_EQ(class_counts(*source_, all_), (std::vector<std::int64_t>{40, 70}));
  EXPECT_EQ(class_counts(*source_, Numbers{35, 99}), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(class_counts(*source_, Numbers{source_->copy_of(35, 3)}),
            (std::vector<std::int64_t>{1, 1}));
}

TEST_F(Balance, UndersamplingLeavesAsManyAsTheNextClassHas) {
  const Numbers kept = undersampled(*source_, all_, norm, 3);
  EXPECT_EQ(kept.size(), 80U) << "40 without NORM alone, and 40 of NORM alone";
  EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end()));
  EXPECT_EQ(std::set<std::int32_t>(kept.begin(), kept.end()).size(), kept.size());
  EXPECT_TRUE(std::equal(kept.begin(), kept.begin() + 40, all_.begin()));
  EXPECT_EQ(undersampled(*source_, all_, norm, 3), kept);
  EXPECT_NE(undersampled(*source_, all_, norm, 4), kept);
  EXPECT_EQ(undersampled(*source_, all_, mi, 3), all_) << "30 of MI alone are fewer than 70";
}

TEST_F(Balance, CopiesAreOfTheClassAndOfTheGivenExamplesAlone) {
  const Numbers some(all_.begin() + 20, all_.end());  // 20 MI, 70 NORM
  const ExtraCopies copies = extra_copies(*source_, some, mi, 5);
  EXPECT_EQ(copies.least, 50);
  EXPECT_EQ(copies.most, 50);
  EXPECT_EQ(copies.examples.size(), 50U);
  EXPECT_EQ(std::set<std::int32_t>(copies.examples.begin(), copies.examples.end()).size(), 50U)
      << "each copy has a number of its own";
  std::set<std::int64_t> originals;
  for (const std::int32_t copy : copies.examples) {
    EXPECT_GE(copy, source_->size());
    originals.insert(copy % source_->size());
  }
  EXPECT_GE(*originals.begin(), 20);
  EXPECT_LT(*originals.rbegin(), 40);
  EXPECT_GT(originals.size(), 12U);
  EXPECT_EQ(extra_copies(*source_, some, mi, 5).examples, copies.examples);
  EXPECT_NE(extra_copies(*source_, some, mi, 6).examples, copies.examples);
}

TEST_F(Balance, AClassThatLacksNothingGetsNoCopies) {
  const ExtraCopies copies = extra_copies(*source_, all_, norm, 5);
  EXPECT_EQ(copies.most, 0);
  EXPECT_TRUE(copies.examples.empty());
  EXPECT_TRUE(extra_copies(*source_, Numbers{99}, mi, 5).examples.empty()) << "nothing to copy";
}

// With three classes the number is drawn between two differences.
TEST(ExtraCopies, AreAsManyAsDrawnBetweenTheDifferences) {
  const TempFolder folder;
  SmallPacked packed(90, 2);
  for (std::size_t r = 0; r < 90; ++r) {
    for (std::size_t c = 0; c < 3; ++c) packed.likelihood[3 * r + c] = -1.0F;
    packed.likelihood[3 * r + (r < 50 ? 0 : r < 80 ? 1 : 2)] = 100.0F;
  }
  const auto dataset = std::make_shared<PackedDataset>(packed.write(folder / "packed"));
  const LabelTask task = make_task("all", dataset->statements());
  ASSERT_EQ(task.classes, (std::vector<std::string>{"MI", "NORM", "SR"}));
  const ExampleSource source(dataset, task, {}, make_backend("cpu"));
  Numbers all;
  for (std::int32_t i = 0; i < 90; ++i) all.push_back(i);
  std::set<std::size_t> sizes;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const ExtraCopies copies = extra_copies(source, all, 2, seed);
    EXPECT_EQ(copies.least, 20);
    EXPECT_EQ(copies.most, 40);
    sizes.insert(copies.examples.size());
  }
  EXPECT_EQ(sizes.size(), 21U);
  EXPECT_EQ(*sizes.begin(), 20U);
  EXPECT_EQ(*sizes.rbegin(), 40U);
}

}  // namespace
}  // namespace cardiograd
