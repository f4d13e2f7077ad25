#include "trainer/training_set.h"

#include <algorithm>

#include "data/balance.h"
#include "kernels/text.h"

namespace cardiograd {

AugmentSpec augment_spec(const RunConfig& config) {
  const RunConfig::Augment& augment = config.augment;
  AugmentSpec spec;
  spec.seed = static_cast<std::uint64_t>(config.train.seed);
  spec.rate = static_cast<double>(config.data.rate);
  spec.crop = augment.crop > 0.0;
  spec.shift = augment.shift;
  spec.shift_most = config.samples_in(augment.shift_seconds);
  spec.amplitude = augment.amplitude;
  spec.amplitude_low = augment.amplitude_low;
  spec.amplitude_high = augment.amplitude_high;
  spec.wander = augment.wander;
  spec.wander_mv = augment.wander_mv;
  spec.hum = augment.hum;
  spec.hum_mv = augment.hum_mv;
  spec.hum_hz = static_cast<double>(augment.hum_hz);
  spec.noise = augment.noise;
  spec.lead_dropout = augment.lead_dropout;
  spec.mask = augment.mask;
  spec.mask_share = augment.mask_share;
  spec.mask_shortest = std::max<std::int64_t>(config.samples_in(augment.mask_shortest), 1);
  spec.mask_longest = std::max(config.samples_in(augment.mask_longest), spec.mask_shortest);
  spec.mixup = augment.mixup;
  return spec;
}

TrainingSet open_training_set(const Session& session, const RunConfig& config) {
  const ExampleSource& source = *session.source;
  const auto seed = static_cast<std::uint64_t>(config.train.seed);
  TrainingSet set;
  set.originals = examples_of(session, config.data.train_folds, "data.train_folds");
  if (const std::string& name = config.data.undersample; !name.empty()) {
    const std::int64_t only = class_named(session.task, name, "data.undersample");
    const std::size_t before = set.originals.size();
    set.originals = undersampled(source, set.originals, only, seed);
    set.remarks.push_back("undersampling left out " +
                          std::to_string(before - set.originals.size()) +
                          " records with no class but " + name);
  }
  set.examples = set.originals;
  if (const std::string& name = config.augment.copies_of; !name.empty()) {
    const std::int64_t copied = class_named(session.task, name, "augment.copies_of");
    const ExtraCopies copies = extra_copies(source, set.originals, copied, seed);
    set.examples.insert(set.examples.end(), copies.examples.begin(), copies.examples.end());
    set.remarks.push_back(std::to_string(copies.examples.size()) + " extra copies of " + name +
                          ", drawn between " + std::to_string(copies.least) + " and " +
                          std::to_string(copies.most));
  }
  set.augmentation.spec = augment_spec(config);
  set.augmentation.only_copies = config.augment.only_copies;
  set.augmentation.partners = set.originals;
  return set;
}

Standardisation training_statistics(const Session& session, const TrainingSet& training,
                                    const RunConfig& config) {
  if (config.data.standardize != "lead" || !config.reads("signal")) return {};
  return lead_statistics(*session.dataset, session.source->records_of(training.originals));
}

std::vector<float> positive_weights(const Session& session, const TrainingSet& training,
                                    const RunConfig& config) {
  if (config.train.pos_weight != "balanced") return {};
  std::vector<double> positives(static_cast<std::size_t>(session.source->classes()), 0.0);
  for (std::int32_t example : training.examples) {
    const std::span<const float> row = session.source->targets(example);
    for (std::size_t c = 0; c < positives.size(); ++c) positives[c] += double{row[c]};
  }
  std::vector<float> weights;
  for (double count : positives) {
    const double negatives = static_cast<double>(training.examples.size()) - count;
    weights.push_back(count > 0.0 ? static_cast<float>(negatives / count) : 1.0F);
  }
  return weights;
}

bool next_batches(BatchLoader& loader, std::int64_t accumulate, std::vector<Batch>& batches) {
  batches.clear();
  Batch batch;
  while (static_cast<std::int64_t>(batches.size()) < accumulate && loader.next(batch)) {
    batches.push_back(std::move(batch));
  }
  return !batches.empty();
}

std::string describe_augmentation(const RunConfig::Augment& augment) {
  std::vector<std::string> on;
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, double>>{{"noise", augment.noise},
                                                   {"mask", augment.mask},
                                                   {"amplitude", augment.amplitude},
                                                   {"wander", augment.wander},
                                                   {"hum", augment.hum},
                                                   {"lead_dropout", augment.lead_dropout},
                                                   {"crop", augment.crop},
                                                   {"shift", augment.shift},
                                                   {"mixup", augment.mixup}}) {
    if (value > 0.0) on.push_back(name + " " + shortest_number(value));
  }
  return join(on) + (augment.only_copies && !on.empty() ? ", of the copies alone" : "");
}

}  // namespace cardiograd
