// 1-D convolution and its gradients: without groups, in tiles in f32 (conv1d_tile.h,
// conv1d_weight.h) and on tensor cores in bf16 (conv1d_tensor.h); channel by channel
// (conv1d_grouped.h) with groups. The gradient to the bias is a column sum,
// reduce.cu's. Their headers give bytes, operations and bounds. Where there are cuDNN and cuBLASLt
// (for kernels of one tap), the plan cache measures which of their plans or our kernels a shape
// gets.
#include "kernels/cuda/conv1d_grouped.h"
#include "kernels/cuda/conv1d_tensor.h"
#include "kernels/cuda/conv1d_tile.h"
#include "kernels/cuda/conv1d_weight.h"
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {
namespace cuda {
namespace {

// y (bias may be null), or x's gradient at the steps of one phase.
template <bool backward, class T>
void convolve(const Device& device, BlockCache& blocks, const Convolution<backward>& convolution,
              const T* x, const T* weight, const T* bias, T* y) {
  if (convolution.shape.spec.groups > 1) {
    convolve_groups(device, convolution, x, weight, bias, y);
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    tensor_convolve(device, blocks, convolution, x, weight, bias, y);
  } else {
    convolve_tiles(device, convolution, 1,
                   Rows<T>(x, convolution.in_length(), convolution.in_channels()), weight,
                   WriteRows<T>{bias, y, fours_fit(y, convolution.out_channels())});
  }
}

template <class T>
void weight_gradient(const Device& device, BlockCache& blocks, const Conv1dShape& shape, const T* x,
                     const T* dy, T* dweight) {
  if (shape.spec.groups > 1) {
    grouped_weight_gradient(device, blocks, shape, x, dy, dweight);
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    tensor_weight_gradient(device, blocks, shape, x, dy, dweight);
  } else {
    conv_weight_gradient(device, blocks, shape, Rows<T>(x, shape.length, shape.inputs),
                         Rows<T>(dy, shape.output_length, shape.outputs), dweight);
  }
}

// The operands of `call`: cudnn.h's, for each pass.
ConvolutionPlan plan_of(Planner* planner, ConvolutionPass pass, const Conv1dShape& shape,
                        DType dtype, const PlanOperands& call) {
  ConvolutionPlan plan{pass, shape, call.in[2] != nullptr, dtype};
  plan.alignment =
      common_alignment({call.in[0], pass == ConvolutionPass::weight ? call.in[1] : call.out[0]});
  plan.bias_alignment = common_alignment({call.in[2]});
  if (planner != nullptr) plan.math = planner->math(dtype);
  return plan;
}

int alignment_of_all(const PlanOperands& call) {
  return common_alignment({call.in[0], call.in[1], call.in[2], call.out[0]});
}

PlanKey key_of(std::string_view operation, const ConvolutionPlan& plan, const PlanOperands& call) {
  const Conv1dShape& shape = plan.shape;
  return {operation,
          plan.dtype,
          plan.math,
          {shape.records, shape.length, shape.inputs, shape.kernel, shape.outputs,
           shape.spec.stride, shape.spec.padding, shape.spec.dilation, shape.spec.groups,
           plan.bias ? 1 : 0, plan.alignment, plan.bias_alignment, alignment_of_all(call)}};
}

// A plan of cuDNN behind the permutation of our weights [k, Ci / groups, Co] to its [Co, k,
// Ci / groups], or before the way back: they lie behind its own workspace.
Candidate with_permuted_weights(Backend& backend, const ConvolutionPlan& plan, Candidate inner) {
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
Candidate with_bias(Backend& backend, const ConvolutionPlan& plan, Candidate inner) {
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
std::vector<Candidate> as_products(Planner& planner, const ConvolutionPlan& plan,
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
std::vector<Candidate> offers_of(Backend& backend, Planner& planner, const ConvolutionPlan& plan,
                                 const PlanOperands& call) {
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

}  // namespace
}  // namespace cuda

void CudaBackend::conv1d_forward(const Conv1dSpec& spec, ConstView x, ConstView weight,
                                 ConstView bias, View y) {
  const Conv1dShape shape = conv1d_shape(spec, x.dims, weight.dims, y.dims);
  check_bias(shape, bias);
  if (y.numel() == 0) return;
  cuda::dispatch_storage("conv1d", {y, x, weight, bias}, [&](auto element) {
    using T = decltype(element);
    const cuda::PlanOperands call{{x.data, weight.data, bias.data}, {y.data}};
    const cuda::ConvolutionPlan plan =
        cuda::plan_of(planner_.get(), cuda::ConvolutionPass::forward, shape, y.dtype, call);
    const auto own = [this, shape](const cuda::PlanOperands& o) {
      const cuda::Convolution<false> convolution{shape,
                                                 cuda::forward_walk(shape, shape.output_length)};
      cuda::convolve(device_, blocks_, convolution, static_cast<const T*>(o.in[0]),
                     static_cast<const T*>(o.in[1]), static_cast<const T*>(o.in[2]),
                     static_cast<T*>(o.out[0]));
    };
    cuda::run_plan(planner_.get(), cuda::key_of("conv1d_forward", plan, call), call, own,
                   [&] { return cuda::offers_of(*this, *planner_, plan, call); });
  });
}

void CudaBackend::conv1d_backward_data(const Conv1dSpec& spec, ConstView dy, ConstView weight,
                                       View dx) {
  const Conv1dShape shape = conv1d_shape(spec, dx.dims, weight.dims, dy.dims);
  if (dx.numel() == 0) return;
  cuda::dispatch_storage("conv1d", {dx, dy, weight}, [&](auto element) {
    using T = decltype(element);
    const cuda::PlanOperands call{{dy.data, weight.data}, {dx.data}};
    const cuda::ConvolutionPlan plan =
        cuda::plan_of(planner_.get(), cuda::ConvolutionPass::data, shape, dx.dtype, call);
    const auto own = [this, shape](const cuda::PlanOperands& o) {
      cuda::for_each_phase(shape, [&](const cuda::Convolution<true>& convolution) {
        cuda::convolve(device_, blocks_, convolution, static_cast<const T*>(o.in[0]),
                       static_cast<const T*>(o.in[1]), static_cast<const T*>(nullptr),
                       static_cast<T*>(o.out[0]));
      });
    };
    cuda::run_plan(planner_.get(), cuda::key_of("conv1d_backward_data", plan, call), call, own,
                   [&] {
                     if (dy.numel() == 0) return std::vector<cuda::Candidate>{};
                     return cuda::offers_of(*this, *planner_, plan, call);
                   });
  });
}

void CudaBackend::conv1d_backward_weight(const Conv1dSpec& spec, ConstView x, ConstView dy,
                                         View dweight, View dbias) {
  const Conv1dShape shape = conv1d_shape(spec, x.dims, dweight.dims, dy.dims);
  check_bias(shape, dbias);
  if (dbias.present()) {
    sum(dy, 1.0, {dbias.data, dbias.dtype, {1, 1, shape.outputs}});
  }
  if (dy.numel() == 0 || dweight.numel() == 0) {
    fill(dweight, 0.0);
    return;
  }
  cuda::dispatch_storage("conv1d", {dweight, x, dy}, [&](auto element) {
    using T = decltype(element);
    const cuda::PlanOperands call{{x.data, dy.data}, {dweight.data}};
    const cuda::ConvolutionPlan plan =
        cuda::plan_of(planner_.get(), cuda::ConvolutionPass::weight, shape, dweight.dtype, call);
    const auto own = [this, shape](const cuda::PlanOperands& o) {
      cuda::weight_gradient(device_, blocks_, shape, static_cast<const T*>(o.in[0]),
                            static_cast<const T*>(o.in[1]), static_cast<T*>(o.out[0]));
    };
    cuda::run_plan(planner_.get(), cuda::key_of("conv1d_backward_weight", plan, call), call, own,
                   [&] { return cuda::offers_of(*this, *planner_, plan, call); });
  });
}

}  // namespace cardiograd
