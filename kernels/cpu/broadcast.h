// Walks a broadcast plan on the CPU.
#pragma once

#include <cstdint>

#include "kernels/cpu/parallel.h"
#include "kernels/plans.h"

namespace cardiograd {

// inner(a_offset, b_offset, y_offset, count, a_step, b_step) for every run of the innermost loop,
// in parallel; steps are 0 or 1.
template <class Inner>
void for_each_run(const BroadcastPlan& plan, const Inner& inner) {
  const int last = plan.loops - 1;
  const auto at = [](int loop) { return static_cast<std::size_t>(loop); };
  const std::int64_t width = plan.size[at(last)];
  if (last == 0) {
    const std::int64_t a_step = plan.a_stride[0];
    const std::int64_t b_step = plan.b_stride[0];
    parallel_for(width, parallel_grain, [&](std::int64_t begin, std::int64_t end) {
      inner(begin * a_step, begin * b_step, begin, end - begin, a_step, b_step);
    });
    return;
  }
  std::int64_t runs = 1;
  for (int loop = 0; loop < last; ++loop) runs *= plan.size[at(loop)];
  parallel_rows(runs, width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t run = begin; run < end; ++run) {
      std::int64_t a_offset = 0;
      std::int64_t b_offset = 0;
      std::int64_t rest = run;
      for (int loop = last - 1; loop >= 0; --loop) {
        const std::int64_t position = rest % plan.size[at(loop)];
        rest /= plan.size[at(loop)];
        a_offset += position * plan.a_stride[at(loop)];
        b_offset += position * plan.b_stride[at(loop)];
      }
      inner(a_offset, b_offset, run * width, width, plan.a_stride[at(last)],
            plan.b_stride[at(last)]);
    }
  });
}

}  // namespace cardiograd
