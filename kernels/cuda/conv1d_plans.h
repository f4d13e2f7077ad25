// The ways to compute a convolution that the plan cache chooses from: our kernels, cuDNN's plans,
// and cuBLASLt's where the kernel has one tap. No kernels here.
#pragma once

#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/planner.h"
#include "kernels/dtype.h"

namespace cardiograd::cuda {

// The operands of `call`: cudnn.h's, for each pass.
inline ConvolutionPlan plan_of(Planner* planner, ConvolutionPass pass, const Conv1dShape& shape,
                               DType dtype, const PlanOperands& call) {
  ConvolutionPlan plan{pass, shape, call.in[2] != nullptr, false, dtype};
  plan.alignment =
      common_alignment({call.in[0], pass == ConvolutionPass::weight ? call.in[1] : call.out[0]});
  plan.bias_alignment = common_alignment({call.in[2]});
  if (planner != nullptr) plan.math = planner->math(dtype);
  return plan;
}

inline int alignment_of_all(const PlanOperands& call) {
  return common_alignment({call.in[0], call.in[1], call.in[2], call.out[0]});
}

inline PlanKey key_of(std::string_view operation, const ConvolutionPlan& plan,
                      const PlanOperands& call, std::int64_t pool = 0) {
  const Conv1dShape& shape = plan.shape;
  return {operation,
          plan.dtype,
          plan.math,
          {shape.records, shape.length, shape.inputs, shape.kernel, shape.outputs,
           shape.spec.stride, shape.spec.padding, shape.spec.dilation, shape.spec.groups,
           plan.bias ? 1 : 0, plan.alignment, plan.bias_alignment, alignment_of_all(call), pool}};
}

// An operand in cuDNN's order instead of ours; it lies in the workspace, at `place`.
struct Rearranged {
  Dims ours;
  std::vector<int> axes;  // cuDNN's axis i is our axis axes[i]
  bool output = false;
  std::size_t index = 0;  // of PlanOperands' in or out
  std::size_t place = 0;

  Dims theirs() const { return {ours[axes[0]], ours[axes[1]], ours[axes[2]]}; }
  std::vector<int> back() const {
    std::vector<int> inverse(axes.size());
    for (std::size_t i = 0; i < axes.size(); ++i) {
      inverse[static_cast<std::size_t>(axes[i])] = static_cast<int>(i);
    }
    return inverse;
  }
};

// What lies otherwise in the plan's layout than in ours: weights [k, Ci / groups, Co] always, x and
// y [N, L, C] with channels first.
inline std::vector<Rearranged> rearranged_operands(const ConvolutionPlan& plan) {
  const Conv1dShape& s = plan.shape;
  const bool is_weight = plan.pass == ConvolutionPass::weight;
  const bool channels_first = plan.layout == ConvolutionLayout::channels_first;
  const Dims weight{s.kernel, s.inputs / s.spec.groups, s.outputs};
  const std::vector<int> weight_axes =
      channels_first ? std::vector<int>{2, 1, 0} : std::vector<int>{2, 0, 1};
  std::vector<Rearranged> all{{weight, weight_axes, is_weight, is_weight ? 0U : 1U}};
  if (!channels_first) return all;
  const std::vector<int> signal_axes{0, 2, 1};
  all.push_back({{s.records, s.length, s.inputs}, signal_axes, plan.pass == ConvolutionPass::data});
  all.push_back({{s.records, s.output_length, s.outputs},
                 signal_axes,
                 plan.pass == ConvolutionPass::forward,
                 is_weight ? 1U : 0U});
  return all;
}

// A plan of cuDNN between the permutations of our operands to its layout and back. What is permuted
// lies behind the plan's own workspace.
inline Candidate with_our_operands(Backend& backend, const ConvolutionPlan& plan, Candidate inner) {
  std::vector<Rearranged> all = rearranged_operands(plan);
  std::size_t end = inner.workspace;
  for (Rearranged& each : all) {
    each.place = (end + 255) / 256 * 256;
    end = each.place + static_cast<std::size_t>(each.ours.numel()) * size_of(plan.dtype);
  }
  const auto run = [&backend, all, dtype = plan.dtype,
                    inner = std::move(inner.run)](const PlanOperands& operands) {
    PlanOperands permuted = operands;
    for (const Rearranged& each : all) {
      void* data = static_cast<std::byte*>(operands.workspace) + each.place;
      if (each.output) {
        permuted.out[each.index] = data;
        continue;
      }
      backend.permute({operands.in[each.index], dtype, each.ours}, each.axes,
                      {data, dtype, each.theirs()});
      permuted.in[each.index] = data;
    }
    inner(permuted);
    for (const Rearranged& each : all) {
      if (!each.output) continue;
      backend.permute({permuted.out[each.index], dtype, each.theirs()}, each.back(),
                      {operands.out[each.index], dtype, each.ours});
    }
  };
  return {std::move(inner.name), inner.deterministic, end, run};
}

// cuDNN's plans of both layouts, on operands of ours.
inline std::vector<Candidate> convolutions_of(Backend& backend, Planner& planner,
                                              const ConvolutionPlan& plan) {
  ConvolutionPlan channels_first = plan;
  channels_first.layout = ConvolutionLayout::channels_first;
  channels_first.alignment = 16;  // of copies
  std::vector<Candidate> all;
  for (const ConvolutionPlan& each : {plan, channels_first}) {
    for (Candidate& candidate : planner.convolutions(each)) {
      all.push_back(with_our_operands(backend, each, std::move(candidate)));
    }
  }
  return all;
}

// The same, and a bias that is added by our own kernel.
inline Candidate with_bias(Backend& backend, const ConvolutionPlan& plan, Candidate inner) {
  const Dims y{plan.shape.records, plan.shape.output_length, plan.shape.outputs};
  inner.run = [&backend, y, dtype = plan.dtype,
               convolve = std::move(inner.run)](const PlanOperands& operands) {
    convolve(operands);
    const View sum{operands.out[0], dtype, y};
    backend.add(sum, {operands.in[2], dtype, {y[2]}}, sum);
  };
  return inner;
}

// A kernel of one tap that moves by one step is a matrix product.
inline std::vector<Candidate> as_products(Planner& planner, const ConvolutionPlan& plan,
                                          const PlanOperands& call) {
  const Conv1dShape& shape = plan.shape;
  const Conv1dSpec& spec = shape.spec;
  if (shape.kernel != 1 || spec.stride != 1 || spec.padding != 0 || spec.groups != 1) return {};
  const std::int64_t steps = shape.records * shape.length;
  ProductPlan product;
  switch (plan.pass) {
    case ConvolutionPass::forward:  // x W
      product = {steps, shape.outputs, shape.inputs, true, false};
      break;
    case ConvolutionPass::data:  // dy W^T
      product = {steps, shape.inputs, shape.outputs, true, true};
      break;
    case ConvolutionPass::weight:  // x^T dy
      product = {shape.inputs, shape.outputs, steps, false, false};
      break;
  }
  product.dtype = plan.dtype;
  product.math = plan.math;
  product.extra = plan.bias ? ProductExtra::bias : ProductExtra::none;
  product.alignment = alignment_of_all(call);
  return planner.products(product, call.in[2]);
}

// What the libraries offer. They and `backend` outlive the plans.
inline std::vector<Candidate> offers_of(Backend& backend, Planner& planner,
                                        const ConvolutionPlan& plan, const PlanOperands& call) {
  std::vector<Candidate> all = as_products(planner, plan, call);
  for (Candidate& each : convolutions_of(backend, planner, plan)) all.push_back(std::move(each));
  if (!plan.bias) return all;
  ConvolutionPlan bare = plan;
  bare.bias = false;
  for (Candidate& each : convolutions_of(backend, planner, bare)) {
    all.push_back(with_bias(backend, plan, std::move(each)));
  }
  return all;
}

// One convolution of storage T, by our kernel or one of offers(). own(std::bool_constant, operands)
// is our kernel, on tensor cores or not.
template <class T, class Own, class Offers>
void run_convolution(Planner* planner, const PlanKey& key, const ConvolutionPlan& plan,
                     const PlanOperands& call, const Own& own, const Offers& offers) {
  const auto usual = [own](const PlanOperands& operands) {
    own(std::is_same<T, BFloat16>{}, operands);
  };
  run_plan(planner, key, call, usual, [&] {
    std::vector<Candidate> all = offers();
    if constexpr (std::is_same_v<T, float>) {
      if (plan.math == MathMode::tf32 && plan.shape.spec.groups == 1) {
        all.push_back({"own-tf32", true, 0,
                       [own](const PlanOperands& operands) { own(std::true_type{}, operands); }});
      }
    }
    return all;
  });
}

}  // namespace cardiograd::cuda
