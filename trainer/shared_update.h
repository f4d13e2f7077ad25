// The optimizer step of ranks that reach into each other's memory: each adds up the gradients of
// one part of the parameters, steps that part, and writes its new values into every rank's
// parameters. So the first stage of ZeRO (Rajbhandari et al. 2020) shares out the step, here
// without messages. The bits are those of sums in rank order and a whole step on every rank; what
// is read and written for them is less.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/flat_parameters.h"
#include "nn/optimizer.h"
#include "trainer/ranks.h"

namespace cardiograd {

class SharedUpdate {
 public:
  // Whether the ranks share the memory of all that a step reads and writes: the same on all ranks.
  static bool is_possible(const FlatParameters& parameters, const Optimizer& optimizer,
                          const Ranks& ranks);
  // Becomes the optimizer's collector. All three must outlive it.
  SharedUpdate(FlatParameters& parameters, Optimizer& optimizer, const Ranks& ranks);
  SharedUpdate(const SharedUpdate&) = delete;
  SharedUpdate& operator=(const SharedUpdate&) = delete;

  // Between begin_step and the next backward pass, in place of the optimizer's update and of all
  // sums of gradients: those of gradients() stay this rank's own, but for its part. `guard`: as
  // there, a sum over the ranks that may be under way. `step`: "step 7".
  void run(const Tensor& guard, const std::string& step);

 private:
  // One buffer of each rank, in rank order.
  using Places = std::vector<Tensor>;
  Places places_of(const Tensor& flat) const;
  // Elements [first, first + count) that a rank steps.
  struct Part {
    std::int64_t first = 0;
    std::int64_t count = 0;
  };
  Part part_of(int rank) const;
  void add_up(std::int64_t first, std::int64_t count);
  void collect() const;

  FlatParameters& parameters_;
  Optimizer& optimizer_;
  const Ranks& ranks_;
  Places gradients_, values_;
  std::vector<Places> kept_;
  Tensor before_;  // the sum of the ranks before this one, of the elements at hand
};

}  // namespace cardiograd
