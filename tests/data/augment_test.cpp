// The augmentation of batches: statistics of each kind, and on what the draws depend.
#include "kernels/augment.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <numeric>

#include "data/batches.h"
#include "tests/support/small_packed.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::SmallPacked;
using testing::TempFolder;
using Numbers = std::vector<std::int32_t>;
using Values = std::vector<float>;

constexpr std::size_t leads = packed_leads;

// 90 records, of which 60 are examples, of 300 samples.
class AugmentedBatches : public ::testing::Test {
 protected:
  static constexpr std::int64_t records = 90;
  static constexpr std::int32_t examples = 60;
  static constexpr std::size_t samples = 300;

  AugmentedBatches() {
    SmallPacked packed(records, samples);
    for (std::int64_t r = 0; r < records; ++r) {
      for (int i = 0; i < note_dimensions; ++i) packed.notes.push_back(static_cast<float>(r));
    }
    dataset_ = std::make_shared<PackedDataset>(packed.write(folder_ / "packed"));
    source_ = make_source({});
  }

  std::unique_ptr<ExampleSource> make_source(ExampleSource::Options options) const {
    return std::make_unique<ExampleSource>(dataset_,
                                           make_task("superdiagnostic", dataset_->statements()),
                                           std::move(options), make_backend("cpu"));
  }

  static Numbers all_examples() {
    Numbers numbers(examples);
    std::iota(numbers.begin(), numbers.end(), 0);
    return numbers;
  }

  static Augmentation everything() {
    Augmentation augmentation;
    AugmentSpec& spec = augmentation.spec;
    spec.seed = 11;
    spec.epoch = 2;
    spec.shift = spec.amplitude = spec.wander = spec.hum = spec.mask = 0.5;
    spec.shift_most = 30;
    spec.amplitude_high = 2.0;
    spec.wander_mv = spec.hum_mv = 0.5;
    spec.noise = 0.1;
    spec.lead_dropout = 0.1;
    spec.mixup = 0.4;
    augmentation.partners = all_examples();
    return augmentation;
  }

  Values signal(const Numbers& of, const Augmentation& augmentation = {}) const {
    return source_->make(of, augmentation).signal.to_vector<float>();
  }
  // Signals and targets by example, whatever the batches are.
  std::map<std::int32_t, Values> by_example(Numbers order, std::int64_t batch_size,
                                            const Augmentation& augmentation) const {
    std::map<std::int32_t, Values> result;
    BatchLoader loader(*source_, order, batch_size, augmentation);
    auto next = order.begin();
    for (Batch batch; loader.next(batch);) {
      const Values values = batch.signal.to_vector<float>();
      const Values targets = batch.targets.to_vector<float>();
      for (std::ptrdiff_t i = 0; i < batch.size; ++i) {
        constexpr std::ptrdiff_t width = samples * leads;
        Values& one = result[*next++];
        one.assign(values.begin() + i * width, values.begin() + (i + 1) * width);
        one.insert(one.end(), targets.begin() + i * 2, targets.begin() + (i + 1) * 2);
      }
    }
    return result;
  }

  TempFolder folder_;
  std::shared_ptr<const PackedDataset> dataset_;
  std::unique_ptr<ExampleSource> source_;
};

TEST_F(AugmentedBatches, DoNotDependOnBatchSizeOrOrder) {
  const Augmentation augmentation = everything();
  const auto first = by_example(all_examples(), 60, augmentation);
  EXPECT_EQ(by_example(shuffled(all_examples(), 3, 1), 7, augmentation), first);
  EXPECT_EQ(by_example({41}, 1, augmentation).at(41), first.at(41));
}

TEST_F(AugmentedBatches, DependOnSeedAndEpoch) {
  Augmentation augmentation = everything();
  const Values first = signal({5}, augmentation);
  augmentation.spec.epoch = 3;
  EXPECT_NE(signal({5}, augmentation), first);
  augmentation.spec.epoch = 2;
  augmentation.spec.seed += 1ULL << 32;
  EXPECT_NE(signal({5}, augmentation), first) << "all 64 bits of the seed count";
}

// Every augmentation keeps its draws when another one is switched off.
TEST_F(AugmentedBatches, EachDrawsForItself) {
  AugmentSpec spec = everything().spec;
  const RecordPlan both = plan_record(spec, 7, 300, 300);
  for (double AugmentSpec::*off :
       {&AugmentSpec::shift, &AugmentSpec::wander, &AugmentSpec::noise, &AugmentSpec::mask}) {
    AugmentSpec one_less = spec;
    one_less.*off = 0.0;
    const RecordPlan plan = plan_record(one_less, 7, 300, 300);
    EXPECT_EQ(plan.factor, both.factor);
    EXPECT_EQ(plan.hum_mv, both.hum_mv);
    EXPECT_EQ(plan.hum.phase, both.hum.phase);
  }
}

TEST_F(AugmentedBatches, NothingIsTheDefault) {
  EXPECT_EQ(signal({3, 4}, {}), signal({3, 4}));
  EXPECT_FALSE(AugmentSpec().changes_signal());
}

TEST_F(AugmentedBatches, CopiesHaveDrawsOfTheirOwn) {
  const Augmentation augmentation = everything();
  const std::int32_t copy = source_->copy_of(5, 1);
  EXPECT_EQ(copy, 5 + examples);
  EXPECT_EQ(source_->records_of(Numbers{copy}), source_->records_of(Numbers{5}));
  EXPECT_EQ(signal({copy}), signal({5})) << "without augmentation a copy is the record";
  const Values first = signal({copy}, augmentation);
  EXPECT_NE(first, signal({5}, augmentation));
  EXPECT_NE(first, signal({source_->copy_of(5, 2)}, augmentation));
  const Batch batch = source_->make(Numbers{copy, 5});
  const auto record = source_->records_of(Numbers{5})[0];
  EXPECT_EQ(batch.records.to_vector<std::int32_t>(),
            Numbers({record + static_cast<std::int32_t>(records), record}))
      << "dropout too";
  EXPECT_EQ(testing::error_of([&] { source_->copy_of(5, 1LL << 30); }),
            "copy 1073741824 of one of 90 records is one too many");
}

TEST_F(AugmentedBatches, CopiesMayBeAllThatIsAugmented) {
  Augmentation augmentation = everything();
  augmentation.only_copies = true;
  const std::int32_t copy = source_->copy_of(5, 1);
  const Batch batch = source_->make(Numbers{5, copy}, augmentation);
  const Batch plain = source_->make(Numbers{5, copy});
  const Values values = batch.signal.to_vector<float>();
  const Values unchanged = plain.signal.to_vector<float>();
  const auto half = static_cast<std::ptrdiff_t>(samples * leads);
  EXPECT_TRUE(std::equal(values.begin(), values.begin() + half, unchanged.begin()));
  EXPECT_FALSE(std::equal(values.begin() + half, values.end(), unchanged.begin() + half));
  EXPECT_EQ(batch.targets.to_vector<float>()[0], plain.targets.to_vector<float>()[0]);
  augmentation.only_copies = false;
  EXPECT_TRUE(std::equal(values.begin() + half, values.end(), signal({copy}, augmentation).begin()))
      << "the same as when everything is";
}

TEST_F(AugmentedBatches, NoiseHasTheDeviationAskedForInEachLead) {
  Augmentation augmentation;
  augmentation.spec.noise = 0.05;
  const Numbers of = all_examples();
  const Values plain = signal(of);
  const Values noisy = signal(of, augmentation);
  std::vector<double> ratio(leads, 0.0), third(leads, 0.0), mean(leads, 0.0);
  for (std::size_t record = 0; record < of.size(); ++record) {
    for (std::size_t lead = 0; lead < leads; ++lead) {
      double sum = 0.0, squares = 0.0;
      const std::size_t first = record * samples * leads + lead;
      for (std::size_t t = 0; t < samples; ++t) {
        const auto value = static_cast<double>(plain[first + t * leads]);
        sum += value;
        squares += value * value;
      }
      const double variance = squares / samples - std::pow(sum / samples, 2);
      for (std::size_t t = 0; t < samples; ++t) {
        const std::size_t i = first + t * leads;
        const double z = static_cast<double>(noisy[i] - plain[i]) / (0.05 * std::sqrt(variance));
        mean[lead] += z;
        ratio[lead] += z * z;
        third[lead] += z * z * z * z;
      }
    }
  }
  // 18000 values a lead: the standard errors are 0.0075, 0.0105 and 0.073.
  for (std::size_t lead = 0; lead < leads; ++lead) {
    constexpr double count = 60.0 * samples;
    EXPECT_NEAR(mean[lead] / count, 0.0, 0.03);
    EXPECT_NEAR(ratio[lead] / count, 1.0, 0.042);
    EXPECT_NEAR(third[lead] / count, 3.0, 0.3) << "the fourth moment of a normal distribution";
  }
}

TEST_F(AugmentedBatches, MissingSamplesStayZero) {
  SmallPacked packed(3, 50);
  packed.signal[7] = std::numeric_limits<std::int16_t>::min();
  dataset_ = std::make_shared<PackedDataset>(packed.write(folder_ / "gaps"));
  source_ = make_source({});
  Augmentation augmentation;
  augmentation.spec.noise = 0.5;
  augmentation.spec.wander = augmentation.spec.hum = 1.0;
  augmentation.spec.wander_mv = augmentation.spec.hum_mv = 1.0;
  const Values values = signal({0}, augmentation);
  EXPECT_EQ(values[7], 0.0F);
  EXPECT_EQ(std::count(values.begin(), values.end(), 0.0F), 1);
}

// Share of masked records, of masked samples in them, and widths, as the specification says.
TEST(Masks, AreAsFrequentAndAsWideAsAskedFor) {
  AugmentSpec spec;
  spec.seed = 4;
  spec.mask = 0.3;
  constexpr std::uint32_t records = 20000;
  int masked = 0;
  for (std::uint32_t record = 0; record < records; ++record) {
    masked += plan_record(spec, record, 1000, 1000).masked ? 1 : 0;
  }
  EXPECT_NEAR(masked, 6000, 5 * std::sqrt(0.3 * 0.7 * records));
  std::map<std::int64_t, int> widths;
  for (std::int64_t sample = 0; sample < 22000; ++sample) ++widths[spec.mask_width(1, sample)];
  ASSERT_EQ(widths.size(), 11U);
  EXPECT_EQ(widths.begin()->first, 8);
  EXPECT_EQ(widths.rbegin()->first, 18);
  double chi_squared = 0.0;
  for (const auto& [width, count] : widths) chi_squared += std::pow(count - 2000.0, 2) / 2000.0;
  EXPECT_LT(chi_squared, 29.6) << "10 degrees of freedom: once in a thousand";
}

TEST_F(AugmentedBatches, MasksCoverTheShareOfSamplesThatIsExpected) {
  Augmentation augmentation;
  augmentation.spec.mask = 1.0;
  // A sample stays where none of the windows before it reaches it: the window that starts d samples
  // earlier does with p times the chance of being wider than d.
  const double p = 0.15 / 18.0;
  double stays = 1.0;
  for (int d = 0; d < 18; ++d) stays *= 1.0 - p * std::min(1.0, (18.0 - d) / 11.0);
  double zeros = 0.0, count = 0.0;
  for (std::uint32_t epoch = 1; epoch <= 20; ++epoch) {
    augmentation.spec.epoch = epoch;
    const Values values = signal(all_examples(), augmentation);
    const Values plain = signal(all_examples());
    for (std::size_t record = 0; record < 60; ++record) {
      for (std::size_t t = 18; t < samples; ++t) {
        const std::size_t first = (record * samples + t) * leads;
        const auto zero = [&](std::size_t c) { return values[first + c] == 0.0F; };
        bool all = true, as_before = true;
        for (std::size_t c = 0; c < leads; ++c) {
          all = all && zero(c);
          as_before = as_before && values[first + c] == plain[first + c];
        }
        ASSERT_TRUE(all || as_before) << "a window has all leads";
        zeros += all ? 1.0 : 0.0;
        count += 1.0;
      }
    }
  }
  EXPECT_NEAR(zeros / count, 1.0 - stays, 0.006);
}

TEST(LeadDropout, DropsEachLeadAsOftenAsAskedForAndNeverAll) {
  AugmentSpec spec;
  spec.lead_dropout = 0.25;
  constexpr std::uint32_t records = 8000;
  std::vector<int> dropped(leads, 0);
  std::vector<LeadPlan> plans(leads);
  for (std::uint32_t record = 0; record < records; ++record) {
    plan_leads(spec, {}, record, leads, plans.data());
    for (std::size_t c = 0; c < leads; ++c) dropped[c] += plans[c].dropped ? 1 : 0;
  }
  for (const int count : dropped) EXPECT_NEAR(count, 2000, 5 * std::sqrt(0.25 * 0.75 * records));
  spec.lead_dropout = 1.0;
  std::vector<int> kept(leads, 0);
  for (std::uint32_t record = 0; record < records; ++record) {
    plan_leads(spec, {}, record, leads, plans.data());
    int left = 0;
    for (std::size_t c = 0; c < leads; ++c) {
      left += plans[c].dropped ? 0 : 1;
      kept[c] += plans[c].dropped ? 0 : 1;
    }
    ASSERT_EQ(left, 1);
  }
  for (const int count : kept) EXPECT_NEAR(count, records / 12.0, 5 * std::sqrt(records / 12.0));
}

TEST(RecordPlans, AreUniformInTheirRanges) {
  AugmentSpec spec;
  spec.crop = true;
  spec.shift = spec.amplitude = 1.0;
  spec.shift_most = 3;
  spec.amplitude_low = 0.5;
  spec.amplitude_high = 1.5;
  std::map<std::int64_t, int> starts, delays;
  double factors = 0.0;
  for (std::uint32_t record = 0; record < 7000; ++record) {
    const RecordPlan plan = plan_record(spec, record, 16, 10);
    ++starts[plan.start];
    ++delays[plan.delay];
    factors += plan.factor;
    ASSERT_GE(plan.factor, 0.5);
    ASSERT_LT(plan.factor, 1.5);
  }
  EXPECT_EQ(starts.size(), 7U);
  EXPECT_EQ(starts.rbegin()->first, 6);
  EXPECT_EQ(delays.size(), 7U);
  EXPECT_EQ(delays.begin()->first, -3);
  for (const auto* counts : {&starts, &delays}) {
    for (const auto& [value, count] : *counts) EXPECT_NEAR(count, 1000, 160);
  }
  EXPECT_NEAR(factors / 7000, 1.0, 0.02);
  spec.crop = false;
  EXPECT_EQ(plan_record(spec, 0, 16, 10).start, 3) << "the centre";
}

TEST_F(AugmentedBatches, HumAtHalfTheSamplingRateAlternates) {
  Augmentation augmentation;
  augmentation.spec.hum = 1.0;
  augmentation.spec.hum_mv = 1.0;
  const Values plain = signal({9});
  const Values humming = signal({9}, augmentation);
  float largest = 0.0F;
  for (std::size_t i = leads; i < plain.size(); ++i) {
    const float before = humming[i - leads] - plain[i - leads];
    EXPECT_NEAR(humming[i] - plain[i], -before, 1e-5F);
    largest = std::max(largest, std::abs(before));
  }
  EXPECT_GT(largest, 0.01F);
  EXPECT_LT(largest, 1.0F);
}

TEST_F(AugmentedBatches, WanderIsSlow) {
  Augmentation augmentation;
  augmentation.spec.wander = 1.0;
  augmentation.spec.wander_mv = 1.0;
  const Values plain = signal({9});
  const Values wandering = signal({9}, augmentation);
  float largest = 0.0F, step = 0.0F;
  for (std::size_t i = leads; i < plain.size(); ++i) {
    const float before = wandering[i - leads] - plain[i - leads];
    step = std::max(step, std::abs(wandering[i] - plain[i] - before));
    largest = std::max(largest, std::abs(before));
  }
  EXPECT_GT(largest, 0.01F);
  EXPECT_LE(largest, 1.0F);
  EXPECT_LT(step, 0.032F) << "0.5 Hz at 100 Hz: 2 pi / 200 of the amplitude a sample";
}

TEST_F(AugmentedBatches, MixupMixesSignalNotesAndTargetsAlike) {
  source_ = make_source({.signal = true, .notes = true, .standardisation = {}});
  Augmentation augmentation;
  augmentation.spec.mixup = 1.0;
  augmentation.partners = all_examples();
  const Numbers of{4, 5, 6, 7};
  const Numbers rows = source_->records_of(of);
  const Batch plain = source_->make(of);
  const Batch mixed = source_->make(of, augmentation);
  const Values signals = mixed.signal.to_vector<float>();
  const Values targets = mixed.targets.to_vector<float>();
  const Values notes = mixed.notes.to_vector<float>();
  for (std::size_t i = 0; i < of.size(); ++i) {
    const Mixup mixup = draw_mixup(augmentation.spec, static_cast<std::uint32_t>(rows[i]), 60);
    const Batch other = source_->make(Numbers{static_cast<std::int32_t>(mixup.partner)});
    const auto expect_mixed = [&](const Tensor& first, const Tensor& second, const Values& found) {
      const Values a = first.to_vector<float>();
      const Values b = second.to_vector<float>();
      const std::size_t width = b.size();
      for (std::size_t k = 0; k < width; ++k) {
        ASSERT_NEAR(found[i * width + k],
                    mixup.share * a[i * width + k] + (1.0F - mixup.share) * b[k], 1e-4F);
      }
    };
    expect_mixed(plain.signal, other.signal, signals);
    expect_mixed(plain.targets, other.targets, targets);
    expect_mixed(plain.notes, other.notes, notes);
    EXPECT_NEAR(targets[2 * i] + targets[2 * i + 1], 1.0F, 1e-6F);
  }
}

// Beta(alpha, alpha) has mean 1/2 and variance 1 / (4 (2 alpha + 1)).
TEST(Mixup, SharesFollowTheBetaDistribution) {
  for (const double alpha : {0.01, 0.2, 1.0, 4.0}) {
    AugmentSpec spec;
    spec.mixup = alpha;
    double sum = 0.0, squares = 0.0;
    std::map<std::int64_t, int> partners;
    constexpr std::uint32_t count = 20000;
    for (std::uint32_t record = 0; record < count; ++record) {
      const Mixup mixup = draw_mixup(spec, record, 5);
      ASSERT_GE(mixup.share, 0.0F);
      ASSERT_LE(mixup.share, 1.0F);
      const double off = static_cast<double>(mixup.share) - 0.5;
      sum += off;
      squares += off * off;
      ++partners[mixup.partner];
    }
    const double variance = 1.0 / (4.0 * (2.0 * alpha + 1.0));
    EXPECT_NEAR(sum / count, 0.0, 5.0 * std::sqrt(variance / count)) << alpha;
    EXPECT_NEAR(squares / count / variance, 1.0, 0.05) << alpha;
    EXPECT_EQ(partners.size(), 5U);
    for (const auto& [partner, times] : partners) EXPECT_NEAR(times, 4000, 5 * 57) << partner;
  }
}

TEST_F(AugmentedBatches, CropsAreRandomInTrainingAndCentredOtherwise) {
  source_ = make_source({.signal = true, .notes = false, .standardisation = {}, .length = 100});
  EXPECT_EQ(source_->length(), 100);
  const auto record = source_->records_of(Numbers{8})[0];
  const auto window = [&](std::size_t start) {
    Values values;
    for (std::size_t i = 0; i < 100 * leads; ++i) {
      values.push_back(static_cast<float>(dataset_->signal(record)[start * leads + i]) *
                       (1.0F / 1000.0F));
    }
    return values;
  };
  EXPECT_EQ(signal({8}), window(100));
  Augmentation augmentation;
  augmentation.spec.crop = true;
  const RecordPlan plan =
      plan_record(augmentation.spec, static_cast<std::uint32_t>(record), 300, 100);
  EXPECT_NE(plan.start, 100);
  EXPECT_EQ(signal({8}, augmentation), window(static_cast<std::size_t>(plan.start)));
}

}  // namespace
}  // namespace cardiograd
