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

// A plan of cuDNN behind the permutation of our weights [k, Ci / groups, Co] to its [Co, k,
// Ci / groups], or before the way back: they lie behind its own workspace.
inline Candidate with_permuted_weights(Backend& backend, const ConvolutionPlan& plan,
                                       Candidate inner) {
  const Conv1dShape& shape = plan.shape;
  const std::int64_t inputs = shape.inputs / shape.spec.groups;
  const Dims ours{shape.kernel, inputs, shape.outputs};
  const Dims theirs{shape.outputs, shape.kernel, inputs};
  const std::size_t place = (inner.workspace + 255) / 256 * 256;
  const auto run = [&backend, ours, theirs, place, dtype = plan.dtype, pass = plan.pass,
                    inner = std::move(inner.run)](const PlanOperands& operands) {
    PlanOperands permuted = operands;
    void* weight = static_cast<std::byte*>(operands.workspace) + place;
    if (pass == ConvolutionPass::weight) {
      permuted.out[0] = weight;
      inner(permuted);
      backend.permute({weight, dtype, theirs}, {1, 2, 0}, {operands.out[0], dtype, ours});
      return;
    }
    backend.permute({operands.in[1], dtype, ours}, {2, 0, 1}, {weight, dtype, theirs});
    permuted.in[1] = weight;
    inner(permuted);
  };
  const auto count = static_cast<std::size_t>(ours.numel());
  return {std::move(inner.name), inner.deterministic, place + count * size_of(plan.dtype), run};
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
  for (Candidate& each : planner.convolutions(plan)) {
    all.push_back(with_permuted_weights(backend, plan, std::move(each)));
  }
  if (!plan.bias) return all;
  ConvolutionPlan bare = plan;
  bare.bias = false;
  for (Candidate& each : planner.convolutions(bare)) {
    all.push_back(with_bias(backend, plan, with_permuted_weights(backend, plan, std::move(each))));
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
