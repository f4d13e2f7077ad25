#include "kernels/cuda/plan_cache.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "kernels/error.h"

namespace cardiograd::cuda {
namespace {

constexpr int rounds = 5;
// A round lasts about this long, so that the clock's steps do not matter.
constexpr double round_milliseconds = 0.3;
constexpr double most_repetitions = 20.0;

double median(std::vector<double> times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

// One candidate while it is timed.
struct Contestant {
  Candidate candidate;
  int repetitions = 1;
  std::vector<double> times{};
  std::string failure{};
};

// Keeps what `action` throws as the contestant's failure.
template <class Action>
void attempt(Contestant& contestant, const Action& action) {
  if (!contestant.failure.empty()) return;
  try {
    action();
  } catch (const std::exception& error) {
    contestant.failure = error.what();
    if (contestant.failure.empty()) contestant.failure = "it failed without a word";
  }
}

}  // namespace

std::string PlanKey::to_string() const {
  std::string text(operation);
  text.append(" ").append(name_of(dtype));
  text.append(math == MathMode::tf32 ? " tf32" : " exact");
  std::size_t count = sizes.size();
  while (count > 0 && sizes[count - 1] == 0) --count;
  for (std::size_t i = 0; i < count; ++i) text.append(" ").append(std::to_string(sizes[i]));
  return text;
}

std::size_t PlanCache::KeyHash::operator()(const PlanKey& key) const {
  std::size_t hash = std::hash<std::string_view>{}(key.operation);
  const auto mix = [&hash](std::uint64_t value) {
    hash ^= value + 0x9e3779b97f4a7c15U + (hash << 6) + (hash >> 2);
  };
  mix(static_cast<std::uint64_t>(key.dtype) * 256U + static_cast<std::uint64_t>(key.math));
  for (const std::int64_t size : key.sizes) mix(static_cast<std::uint64_t>(size));
  return hash;
}

PlanCache::PlanCache(PlanRules rules, std::unique_ptr<PlanTimer> timer, BlockCache& workspaces,
                     Say say)
    : rules_(std::move(rules)),
      timer_(std::move(timer)),
      workspaces_(workspaces),
      say_(std::move(say)) {}

void PlanCache::remember(PlanRecords records) {
  const std::lock_guard lock(mutex_);
  records_.merge(records);
}

PlanRecords PlanCache::records() const {
  const std::lock_guard lock(mutex_);
  return records_;
}

PlanCache::Plan PlanCache::find(const PlanKey& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = plans_.find(key);
  return found == plans_.end() ? nullptr : found->second;
}

void PlanCache::execute(const Candidate& candidate, PlanOperands operands) const {
  if (candidate.workspace == 0) {
    candidate.run(operands);
    return;
  }
  // The queue's order lets the block be lent out again before the work is done.
  const Scratch<std::byte> workspace(workspaces_, static_cast<std::int64_t>(candidate.workspace));
  operands.workspace = workspace.data();
  candidate.run(operands);
}

PlanCache::Plan PlanCache::keep(const PlanKey& key, Candidate candidate) {
  auto plan = std::make_shared<const Candidate>(std::move(candidate));
  const std::lock_guard lock(mutex_);
  plans_[key] = plan;
  return plan;
}

PlanCache::Plan PlanCache::choose(const PlanKey& key, const PlanOperands& operands,
                                  std::vector<Candidate> candidates) {
  const std::lock_guard lock(choosing_);
  if (Plan plan = find(key)) return plan;  // another thread was first
  if (rules_.deterministic) {
    std::erase_if(candidates, [](const Candidate& each) { return !each.deterministic; });
  }
  if (candidates.empty()) {
    throw DeviceError("there is no deterministic way to compute " + key.to_string() +
                      ": allow others, or use device = \"cpu\"");
  }
  if (candidates.size() == 1) return keep(key, std::move(candidates.front()));
  if (timer_->is_capturing()) {
    if (!std::exchange(said_capture_, true)) {
      say_("the plan of " + key.to_string() +
           " was not chosen before a graph was captured: the graph takes " +
           candidates.front().name + ", untimed, for this and every such operation");
    }
    return std::make_shared<const Candidate>(std::move(candidates.front()));
  }
  if (Plan plan = named(key, operands, candidates)) return plan;
  return fastest(key, operands, candidates);
}

// What the candidate says when it runs on its own; nothing where it does.
std::string PlanCache::failure_of(const Candidate& candidate, const PlanOperands& operands) const {
  Contestant contestant{candidate};
  attempt(contestant, [&] { timer_->milliseconds([&] { execute(candidate, operands); }, 1); });
  return contestant.failure;
}

// The candidate that the rules or a record name; null where there is none that runs.
PlanCache::Plan PlanCache::named(const PlanKey& key, const PlanOperands& operands,
                                 std::vector<Candidate>& candidates) {
  std::string recorded;
  if (rules_.only.empty()) {
    const std::lock_guard lock(mutex_);
    const auto found = records_.find(key.to_string());
    if (found == records_.end()) return nullptr;
    recorded = found->second.candidate;
  }
  for (Candidate& each : candidates) {
    const bool meant =
        rules_.only.empty() ? each.name == recorded : each.name.starts_with(rules_.only);
    if (meant && failure_of(each, operands).empty()) return keep(key, std::move(each));
  }
  return rules_.only.empty() ? nullptr : keep(key, std::move(candidates.front()));
}

PlanCache::Plan PlanCache::fastest(const PlanKey& key, const PlanOperands& operands,
                                   std::vector<Candidate>& candidates) {
  std::vector<Contestant> contestants;
  for (Candidate& each : candidates) contestants.push_back({std::move(each)});
  const auto time = [&](const Contestant& each) {
    return timer_->milliseconds([&] { execute(each.candidate, operands); }, each.repetitions) /
           each.repetitions;
  };
  for (Contestant& each : contestants) {
    attempt(each, [&] {
      static_cast<void>(time(each));  // loads code, sets sizes up
      const double once = std::max(time(each), 1e-6);
      each.repetitions =
          static_cast<int>(std::clamp(round_milliseconds / once, 1.0, most_repetitions));
    });
  }
  // In turns, so that a clock that changes its speed meets all of them.
  for (int round = 0; round < rounds; ++round) {
    for (Contestant& each : contestants) {
      attempt(each, [&] { each.times.push_back(time(each)); });
    }
  }
  PlanRecord record;
  Contestant* winner = nullptr;
  for (Contestant& each : contestants) {
    if (!each.failure.empty()) {
      record.left_out[each.candidate.name] = each.failure;
      continue;
    }
    const double milliseconds = median(each.times);
    if (winner != nullptr && milliseconds >= record.milliseconds) continue;
    winner = &each;
    record.milliseconds = milliseconds;
  }
  // Where nothing runs, the safest candidate says why when it is called.
  if (winner == nullptr) {
    return std::make_shared<const Candidate>(std::move(contestants.front().candidate));
  }
  record.candidate = winner->candidate.name;
  Plan plan = keep(key, std::move(winner->candidate));
  PlanRecords all;
  {
    const std::lock_guard lock(mutex_);
    records_[key.to_string()] = std::move(record);
    all = records_;
  }
  if (changed_) changed_(all);
  return plan;
}

}  // namespace cardiograd::cuda
