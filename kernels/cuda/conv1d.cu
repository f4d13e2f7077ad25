// 1-D convolution and its gradients: without groups, in tiles in f32 (conv1d_tile.h,
// conv1d_weight.h) and on tensor cores in bf16 and TF32 (conv1d_tensor.h); channel by channel
// (conv1d_grouped.h) with groups. The gradient to the bias is a column sum,
// reduce.cu's. Their headers give bytes, operations and bounds. Where there are cuDNN and cuBLASLt
// (for kernels of one tap), the plan cache measures which of their plans or our kernels a shape
// gets.
#include "kernels/cuda/conv1d_grouped.h"
#include "kernels/cuda/conv1d_plans.h"
#include "kernels/cuda/conv1d_tensor.h"
#include "kernels/cuda/conv1d_tile.h"
#include "kernels/cuda/conv1d_weight.h"
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {
namespace cuda {
namespace {

// y (bias may be null), or x's gradient at the steps of one phase. On tensor cores without groups
// alone; f32 is rounded to TF32 there.
template <bool on_tensor_cores, bool backward, class T>
void convolve(const Device& device, BlockCache& blocks, const Convolution<backward>& convolution,
              const T* x, const T* weight, const T* bias, T* y) {
  if (convolution.shape.spec.groups > 1) {
    convolve_groups(device, convolution, x, weight, bias, y);
  } else if constexpr (on_tensor_cores) {
    tensor_convolve(device, blocks, convolution, x, weight, bias, y);
  } else {
    convolve_tiles(device, convolution, 1,
                   Rows<T>(x, convolution.in_length(), convolution.in_channels()), weight,
                   WriteRows<T>{bias, y, fours_fit(y, convolution.out_channels())});
  }
}

template <bool on_tensor_cores, class T>
void weight_gradient(const Device& device, BlockCache& blocks, const Conv1dShape& shape, const T* x,
                     const T* dy, T* dweight) {
  if (shape.spec.groups > 1) {
    grouped_weight_gradient(device, blocks, shape, x, dy, dweight);
  } else if constexpr (on_tensor_cores) {
    tensor_weight_gradient(device, blocks, shape, x, dy, dweight);
  } else {
    conv_weight_gradient(device, blocks, shape, Rows<T>(x, shape.length, shape.inputs),
                         Rows<T>(dy, shape.output_length, shape.outputs), dweight);
  }
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
    const auto own = [this, shape](auto tensor_cores, const cuda::PlanOperands& o) {
      const cuda::Convolution<false> convolution{shape,
                                                 cuda::forward_walk(shape, shape.output_length)};
      cuda::convolve<tensor_cores.value>(device_, blocks_, convolution,
                                         static_cast<const T*>(o.in[0]),
                                         static_cast<const T*>(o.in[1]),
                                         static_cast<const T*>(o.in[2]), static_cast<T*>(o.out[0]));
    };
    cuda::run_convolution<T>(planner_.get(), cuda::key_of("conv1d_forward", plan, call), plan, call,
                             own, [&] { return cuda::offers_of(*this, *planner_, plan, call); });
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
    const auto own = [this, shape](auto tensor_cores, const cuda::PlanOperands& o) {
      cuda::for_each_phase(shape, [&](const cuda::Convolution<true>& convolution) {
        cuda::convolve<tensor_cores.value>(
            device_, blocks_, convolution, static_cast<const T*>(o.in[0]),
            static_cast<const T*>(o.in[1]), static_cast<const T*>(nullptr),
            static_cast<T*>(o.out[0]));
      });
    };
    cuda::run_convolution<T>(planner_.get(), cuda::key_of("conv1d_backward_data", plan, call), plan,
                             call, own, [&] {
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
    const auto own = [this, shape](auto tensor_cores, const cuda::PlanOperands& o) {
      cuda::weight_gradient<tensor_cores.value>(
          device_, blocks_, shape, static_cast<const T*>(o.in[0]), static_cast<const T*>(o.in[1]),
          static_cast<T*>(o.out[0]));
    };
    cuda::run_convolution<T>(planner_.get(), cuda::key_of("conv1d_backward_weight", plan, call),
                             plan, call, own,
                             [&] { return cuda::offers_of(*this, *planner_, plan, call); });
  });
}

}  // namespace cardiograd
