// Which of several ways to compute an operation is the fastest for a shape: our own kernel, or a
// plan of a library. Each is timed once on the operands of the first call; the choice is remembered
// and can be kept in a file (plan_file.h). Nothing here knows CUDA: the device's clock is an
// abstract timer.
//
// Every candidate writes the outputs whole and leaves the inputs alone, so that all of them can run
// on the operands of a call; the chosen one runs last.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kernels/cpu/block_cache.h"
#include "kernels/dtype.h"

namespace cardiograd::cuda {

// How products of f32 are computed: in f32, or with factors rounded to 10 bits on tensor cores.
enum class MathMode : std::uint8_t { exact, tf32 };

// What a choice depends on, within one machine.
struct PlanKey {
  std::string_view operation;  // a literal: it outlives the key
  DType dtype = DType::f32;
  MathMode math = MathMode::exact;
  // Shape, spec and alignment, in an order of the operation's own.
  std::array<std::int64_t, 14> sizes{};

  bool operator==(const PlanKey&) const = default;
  // "linear_forward bf16 exact 64 256 128 1 16": without the zeros at the end.
  std::string to_string() const;
};

// The pointers of one call, in an order that the operation's candidates agree on.
struct PlanOperands {
  std::array<const void*, 5> in{};
  std::array<void*, 6> out{};
  void* workspace = nullptr;
};

// The two passes of an operation whose gradient must be computed by the library that computed the
// operation, because what lies between them is the library's own.
struct TrainingPasses {
  std::int64_t saved = 0;  // elements that forward leaves for backward
  std::function<void(const PlanOperands&)> forward;
  std::function<void(const PlanOperands&)> backward;
};

// One way to compute an operation for the shapes of a key, with any operands.
struct Candidate {
  std::string name;           // "own", "cublaslt:3": the library, then which of its plans
  bool deterministic = true;  // the same bits in every run
  std::size_t workspace = 0;  // bytes that run wants in PlanOperands
  // Queues the work. Throws where the library refuses.
  std::function<void(const PlanOperands&)> run;
  std::shared_ptr<const TrainingPasses> passes = nullptr;  // of a candidate for PlanCache::plan
};

// The device's clock.
class PlanTimer {
 public:
  virtual ~PlanTimer() = default;
  // Whether what is queued now goes into a graph: then nothing can be timed.
  virtual bool is_capturing() = 0;
  // Milliseconds from begin to end of `repetitions` calls, once what came before is done. Throws
  // where the device reports an error.
  virtual double milliseconds(const std::function<void()>& run, int repetitions) = 0;
};

struct PlanRules {
  bool deterministic = true;  // candidates that are not are left out
  // Unless empty: the first candidate whose name begins so and that runs is taken without timing,
  // or the first of all where there is none. "own" takes no library's plans.
  std::string only;
};

// What a backend asks of its plans.
struct PlanOptions {
  PlanRules rules;
  MathMode math = MathMode::exact;
  bool keep = false;  // choices are read from the plan file and kept there
  std::string file;   // plan_file_path's
};

// A choice as it is kept.
struct PlanRecord {
  std::string candidate;
  double milliseconds = 0.0;
  std::map<std::string, std::string> left_out;  // candidates that failed, and what they said
};
using PlanRecords = std::map<std::string, PlanRecord>;  // by PlanKey::to_string()

class PlanCache {
 public:
  using Say = std::function<void(const std::string& sentence)>;
  using Changed = std::function<void(const PlanRecords& records)>;

  // `workspaces` lends the candidates' memory. `say` is told what a user should know.
  PlanCache(PlanRules rules, std::unique_ptr<PlanTimer> timer, BlockCache& workspaces, Say say);

  // Runs the plan of `key`, which is chosen at the first call. candidates() gives the ways to
  // compute it, the safest one first: it runs where no other can, and while a graph is captured
  // before the choice was made. Thread-safe.
  template <class MakeCandidates>
  void run(const PlanKey& key, const PlanOperands& operands, const MakeCandidates& candidates) {
    execute(*plan(key, operands, candidates), operands);
  }

  // The plan that run would run. A candidate's `run` is what is timed: it need not be the work.
  template <class MakeCandidates>
  std::shared_ptr<const Candidate> plan(const PlanKey& key, const PlanOperands& operands,
                                        const MakeCandidates& candidates) {
    std::shared_ptr<const Candidate> found = find(key);
    return found ? found : choose(key, operands, candidates());
  }

  // Choices of an earlier run; they count where their candidate is offered again.
  void remember(PlanRecords records);
  PlanRecords records() const;
  // Told all records after each choice that was timed, one call at a time.
  void when_changed(Changed changed) { changed_ = std::move(changed); }

 private:
  struct KeyHash {
    std::size_t operator()(const PlanKey& key) const;
  };
  using Plan = std::shared_ptr<const Candidate>;

  Plan find(const PlanKey& key) const;
  // Throws DeviceError where no candidate may be taken.
  Plan choose(const PlanKey& key, const PlanOperands& operands, std::vector<Candidate> candidates);
  Plan named(const PlanKey& key, const PlanOperands& operands, std::vector<Candidate>& candidates);
  Plan fastest(const PlanKey& key, const PlanOperands& operands,
               std::vector<Candidate>& candidates);
  Plan keep(const PlanKey& key, Candidate candidate);
  void execute(const Candidate& candidate, PlanOperands operands) const;
  std::string failure_of(const Candidate& candidate, const PlanOperands& operands) const;

  const PlanRules rules_;
  const std::unique_ptr<PlanTimer> timer_;
  BlockCache& workspaces_;
  const Say say_;
  Changed changed_;
  std::mutex choosing_;        // one choice at a time; taken before mutex_
  bool said_capture_ = false;  // under choosing_
  mutable std::mutex mutex_;   // of what follows
  std::unordered_map<PlanKey, Plan, KeyHash> plans_;
  PlanRecords records_;
};

}  // namespace cardiograd::cuda
