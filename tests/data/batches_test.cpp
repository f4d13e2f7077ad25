#include "data/batches.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <map>
#include <numeric>
#include <optional>

#include "data/wfdb.h"
#include "kernels/backend.h"
#include "tests/support/small_packed.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::SmallPacked;
using testing::TempFolder;
using Numbers = std::vector<std::int32_t>;

constexpr std::size_t leads = packed_leads;

// A packed file on disk and a source of its examples. Of every three records, the third has no
// superclass.
class Examples {
 public:
  explicit Examples(const SmallPacked& packed, const ExampleSource::Options& options = {})
      : dataset_(std::make_shared<PackedDataset>(packed.write(folder_ / "packed"))),
        source_(dataset_, make_task("superdiagnostic", dataset_->statements()), options,
                make_backend("cpu")) {}

  ExampleSource& source() { return source_; }
  const PackedDataset& dataset() const { return *dataset_; }
  std::filesystem::path path() const { return folder_ / "packed"; }

 private:
  TempFolder folder_;
  std::shared_ptr<const PackedDataset> dataset_;
  ExampleSource source_;
};

Numbers numbers(std::int32_t count) {
  Numbers values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 0);
  return values;
}

TEST(Shuffled, IsAPermutation) {
  Numbers shuffled_numbers = shuffled(numbers(1000), 3, 1);
  EXPECT_NE(shuffled_numbers, numbers(1000));
  std::sort(shuffled_numbers.begin(), shuffled_numbers.end());
  EXPECT_EQ(shuffled_numbers, numbers(1000));
  EXPECT_EQ(shuffled({}, 0, 1), Numbers());
  EXPECT_EQ(shuffled({7}, 0, 1), Numbers({7}));
}

TEST(Shuffled, DependsOnSeedAndEpochAlone) {
  const Numbers first = shuffled(numbers(100), 3, 1);
  EXPECT_EQ(shuffled(numbers(100), 3, 1), first);
  EXPECT_NE(shuffled(numbers(100), 4, 1), first);
  EXPECT_NE(shuffled(numbers(100), 3, 2), first);
  EXPECT_NE(shuffled(numbers(100), 3 + (1ULL << 32), 1), first) << "all 64 bits of the seed count";
}

// Each of the 24 orders of four examples comes up about equally often: chi-squared with 23 degrees
// of freedom exceeds 49.7 once in a thousand times.
TEST(Shuffled, IsUniform) {
  constexpr std::uint32_t draws = 24000;
  std::map<Numbers, int> seen;
  for (std::uint32_t epoch = 0; epoch < draws; ++epoch) ++seen[shuffled(numbers(4), 5, epoch)];
  ASSERT_EQ(seen.size(), 24U);
  double chi_squared = 0.0;
  for (const auto& [order, count] : seen) chi_squared += std::pow(count - 1000.0, 2) / 1000.0;
  EXPECT_LT(chi_squared, 49.7);
}

TEST(ExampleSource, DropsRecordsWithoutALabelAndSelectsFolds) {
  Examples examples(SmallPacked(30, 4));
  ExampleSource& source = examples.source();
  EXPECT_EQ(source.size(), 20);
  EXPECT_EQ(source.dropped(), 10);
  EXPECT_EQ(source.classes(), 2);
  const int one_fold[] = {1};  // records 0, 10, 20; the last has no label
  EXPECT_EQ(source.records_of(source.examples_in(one_fold)), Numbers({0, 10}));
  const int two_folds[] = {10, 1};  // and 9, 19, 29
  EXPECT_EQ(source.records_of(source.examples_in(two_folds)), Numbers({0, 9, 10, 19}));
  EXPECT_TRUE(source.examples_in({}).empty());
  EXPECT_TRUE(std::ranges::equal(source.targets(0), std::vector<float>{1, 0}));
  EXPECT_TRUE(std::ranges::equal(source.targets(1), std::vector<float>{0, 1}));
}

TEST(ExampleSource, ABatchHoldsMillivoltsLabelsAndRecordNumbers) {
  Examples examples(SmallPacked(30, 4));
  const Batch batch = examples.source().make(Numbers{2, 0});  // records 3 and 0
  EXPECT_EQ(batch.size, 2);
  EXPECT_EQ(batch.records.to_vector<std::int32_t>(), Numbers({3, 0}));
  EXPECT_EQ(batch.targets.to_vector<float>(), (std::vector<float>{1, 0, 1, 0}));
  EXPECT_EQ(batch.signal.dims(), (Dims{2, 4, packed_leads}));
  EXPECT_FALSE(batch.notes.defined());
  const std::vector<float> values = batch.signal.to_vector<float>();
  for (std::size_t i = 0; i < 4 * leads; ++i) {
    EXPECT_FLOAT_EQ(values[i], static_cast<float>(examples.dataset().signal(3)[i]) / 1000.0F);
    EXPECT_FLOAT_EQ(values[4 * leads + i],
                    static_cast<float>(examples.dataset().signal(0)[i]) / 1000.0F);
  }
}

TEST(ExampleSource, NotesComeWithTheirRecords) {
  SmallPacked packed(6, 4);
  for (std::int64_t r = 0; r < packed.records; ++r) {
    for (int i = 0; i < note_dimensions; ++i) {
      packed.notes.push_back(static_cast<float>(r * 1000 + i));
    }
  }
  Examples examples(packed, {.signal = false, .notes = true, .standardisation = {}});
  const Batch batch = examples.source().make(Numbers{3, 1});  // records 4 and 1
  EXPECT_FALSE(batch.signal.defined());
  EXPECT_EQ(batch.notes.dims(), (Dims{2, note_dimensions}));
  const std::vector<float> values = batch.notes.to_vector<float>();
  EXPECT_EQ(values[0], 4000.0F);
  EXPECT_EQ(values[note_dimensions - 1], 4767.0F);
  EXPECT_EQ(values[note_dimensions], 1000.0F);
}

TEST(ExampleSource, NotesThatTheFileDoesNotHaveAreRefused) {
  const TempFolder folder;
  const auto dataset = std::make_shared<PackedDataset>(SmallPacked(3, 4).write(folder / "packed"));
  EXPECT_EQ(
      error_of([&] {
        ExampleSource(dataset, make_task("all", dataset->statements()),
                      {.signal = true, .notes = true, .standardisation = {}}, make_backend("cpu"));
      }),
      (folder / "packed").string() + " holds no note embeddings: run cardiograd prepare again");
}

// Lead 0 of records 0 and 1: the samples 1000, missing, 3000, 5000, in mV 1, 3 and 5.
SmallPacked packed_with_gaps() {
  SmallPacked packed(3, 2);
  for (std::int16_t& sample : packed.signal) sample = 700;
  packed.signal[0] = 1000;
  packed.signal[leads] = missing_sample;
  packed.signal[2 * leads] = 3000;
  packed.signal[3 * leads] = 5000;
  return packed;
}

TEST(LeadStatistics, LeaveMissingSamplesAndOtherRecordsOut) {
  Examples examples(packed_with_gaps());
  const Standardisation found = lead_statistics(examples.dataset(), Numbers{0, 1});
  ASSERT_EQ(found.mean.size(), leads);
  EXPECT_FLOAT_EQ(found.mean[0], 3.0F);
  EXPECT_FLOAT_EQ(found.std[0], std::sqrt(8.0F / 3.0F));
  EXPECT_FLOAT_EQ(found.mean[11], 0.7F);
  EXPECT_EQ(found.std[11], 1.0F) << "a lead that never varies";
}

TEST(ExampleSource, StandardisesWithWhatItIsGiven) {
  Examples examples(packed_with_gaps());
  examples.source().set_standardisation(lead_statistics(examples.dataset(), Numbers{0, 1}));
  const std::vector<float> values = examples.source().make(Numbers{0, 1}).signal.to_vector<float>();
  const float deviation = std::sqrt(8.0F / 3.0F);
  EXPECT_NEAR(values[0], -2.0F / deviation, 1e-6);
  EXPECT_EQ(values[leads], 0.0F) << "a missing sample is the mean";
  EXPECT_NEAR(values[2 * leads], 0.0F, 1e-6);
  EXPECT_NEAR(values[3 * leads], 2.0F / deviation, 1e-6);
  EXPECT_NEAR(values[11], 0.0F, 1e-6);
  examples.source().set_standardisation({});
  EXPECT_FLOAT_EQ(examples.source().make(Numbers{1}).signal.to_vector<float>()[0], 3.0F)
      << "mV again";
}

TEST(BatchLoader, HandsOutWhatMakeMakes) {
  Examples examples(SmallPacked(30, 4));
  const Numbers order = shuffled(numbers(20), 0, 1);
  BatchLoader loader(examples.source(), order, 8);
  std::vector<std::int64_t> sizes;
  std::size_t at = 0;
  for (Batch batch; loader.next(batch); at += static_cast<std::size_t>(batch.size)) {
    sizes.push_back(batch.size);
    const Batch direct =
        examples.source().make(std::span(order).subspan(at, static_cast<std::size_t>(batch.size)));
    EXPECT_EQ(batch.signal.to_vector<float>(), direct.signal.to_vector<float>());
    EXPECT_EQ(batch.targets.to_vector<float>(), direct.targets.to_vector<float>());
    EXPECT_EQ(batch.records.to_vector<std::int32_t>(), direct.records.to_vector<std::int32_t>());
  }
  EXPECT_EQ(sizes, (std::vector<std::int64_t>{8, 8, 4})) << "the last one may be smaller";
  Batch none;
  EXPECT_FALSE(loader.next(none)) << "the end stays the end";
}

TEST(BatchLoader, AnEmptyOrderHasNoBatch) {
  Examples examples(SmallPacked(3, 4));
  BatchLoader loader(examples.source(), {}, 8);
  Batch batch;
  EXPECT_FALSE(loader.next(batch));
  EXPECT_THROW(BatchLoader(examples.source(), {}, 0), ShapeError);
}

TEST(BatchLoader, AnErrorOfItsThreadComesOutOfNextAfterTheGoodBatches) {
  Examples examples(SmallPacked(30, 4));
  BatchLoader loader(examples.source(), {0, 1, 2, -1}, 2);
  Batch batch;
  EXPECT_TRUE(loader.next(batch));
  const std::string error = error_of([&] { loader.next(batch); });
  EXPECT_NE(error.find("example -1 of 20"), std::string::npos) << error;
  EXPECT_THROW(loader.next(batch), ShapeError) << "and again";
}

TEST(BatchLoader, MayBeLeftWhileBatchesWait) {
  Examples examples(SmallPacked(300, 4));
  for (const int taken : {0, 1, 3}) {
    BatchLoader loader(examples.source(), numbers(200), 2);
    Batch batch;
    for (int i = 0; i < taken; ++i) EXPECT_TRUE(loader.next(batch));
  }
}

// Resident pages of mapped files in MB; nothing where the system does not tell.
std::optional<double> resident_file_megabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssFile:")) return std::stod(line.substr(8)) / 1024.0;
  }
  return std::nullopt;
}

// The largest growth of resident file memory, in MB, over two shuffled passes; nothing without
// /proc.
std::optional<double> growth_of_passes(const ExampleSource& source, std::int32_t examples) {
  const std::optional<double> before = resident_file_megabytes();
  if (!before) return std::nullopt;
  double most = 0.0;
  for (const std::uint32_t pass : {1U, 2U}) {
    BatchLoader loader(source, shuffled(numbers(examples), 0, pass), 64);
    for (Batch batch; loader.next(batch);) {
      most = std::max(most, *resident_file_megabytes() - *before);
    }
  }
  return most;
}

TEST(BatchLoader, ALargeFileDoesNotStayResident) {
  const std::optional<double> before = resident_file_megabytes();
  if (!before) GTEST_SKIP() << "/proc/self/status with RssFile is missing";
  SmallPacked packed(5100, 1);
  packed.length = 1000;  // 122 MB, and 82 MB of records with a label
  packed.signal.assign(5100 * 1000 * leads, 7);
  Examples examples(packed);
  packed.signal = {};
  EXPECT_LT(*growth_of_passes(examples.source(), 3400), 60.0) << "MB";
  const std::vector<std::int32_t> records = numbers(5100);
  lead_statistics(examples.dataset(), records);
  EXPECT_LT(*resident_file_megabytes() - *before, 60.0) << "MB";
}

TEST(BatchLoader, ManyNotesDoNotStayResident) {
  if (!resident_file_megabytes()) GTEST_SKIP() << "/proc/self/status with RssFile is missing";
  SmallPacked packed(39000, 1);
  packed.notes.assign(39000 * note_dimensions, 0.5F);  // 120 MB
  ExampleSource::Options options;
  options.notes = true;
  Examples examples(packed, options);
  packed.notes = {};
  EXPECT_LT(*growth_of_passes(examples.source(), 26000), 60.0) << "MB";
}

}  // namespace
}  // namespace cardiograd
