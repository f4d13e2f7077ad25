// y = x W^T + b, its gradient to x (dy W) and to W (dy^T x): a matrix product in three orders of
// its operands, matrix_product.h's in f32 and tensor_product.h's, on tensor cores, in bf16 and
// TF32. The gradient to b is a column sum, reduce.cu's.
//
// Products with few tiles and great depth (the weight gradient, a classifier on a flattened record)
// are cut along the depth; partials.h adds the parts. Where there is cuBLASLt, the plan cache
// measures which of its algorithms or these kernels a shape gets.
#include <type_traits>

#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/matrix_product.h"
#include "kernels/cuda/partials.h"
#include "kernels/cuda/tensor_product.h"
#include "kernels/linear_shape.h"

namespace cardiograd {
namespace cuda {
namespace {

struct LinearSize {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t depth = 0;
};

// c = a b + bias; bias may be null. rows and columns are positive.
template <bool a_along_depth, bool b_along_depth>
void multiply(const Device& device, BlockCache& blocks, const LinearSize& size, const float* a,
              const float* b, const float* bias, float* c) {
  Product product{size.rows, size.columns, size.depth, 0};
  product.depth_chunk = depth_chunk_of(product);
  const MatrixOperand<a_along_depth, float> left(a, size.rows, size.depth);
  const MatrixOperand<b_along_depth, float> right(b, size.columns, size.depth);
  const std::int64_t chunks = product.chunks();
  if (chunks == 1) {
    multiply_matrices(device, product, left, right, ProductResult<float, float>{bias, nullptr, c});
    return;
  }
  const std::int64_t count = size.rows * size.columns;
  const Scratch<float> partial(blocks, chunks * count);
  multiply_matrices(device, product, left, right,
                    ProductResult<float, float>{nullptr, nullptr, partial.data()});
  sum_partials(device, partial.data(), chunks, count, bias, size.columns, c);
}

// The same on tensor cores: f32 is rounded to TF32.
template <bool a_along_depth, bool b_along_depth, class T>
void tensor_multiply(const Device& device, BlockCache& blocks, const LinearSize& size, const T* a,
                     const T* b, const T* bias, T* c) {
  const auto factor = [&](const T* data, std::int64_t lines, bool along) {
    return TensorFactor<T>{
        along ? plain_matrix(data, lines, size.depth) : plain_matrix(data, size.depth, lines),
        along};
  };
  TensorRows<T> to;
  to.bias = bias;
  to.y = c;
  tensor_product(device, blocks, factor(a, size.rows, a_along_depth),
                 factor(b, size.columns, b_along_depth), to);
}

template <bool on_tensor_cores, bool a_along_depth, bool b_along_depth, class T>
void multiply_by(const Device& device, BlockCache& blocks, const LinearSize& size, const T* a,
                 const T* b, const T* bias, T* c) {
  if constexpr (on_tensor_cores) {
    tensor_multiply<a_along_depth, b_along_depth>(device, blocks, size, a, b, bias, c);
  } else {
    multiply<a_along_depth, b_along_depth>(device, blocks, size, a, b, bias, c);
  }
}

PlanKey key_of(std::string_view operation, const ProductPlan& plan) {
  return {
      operation,
      plan.dtype,
      plan.math,
      {plan.rows, plan.columns, plan.depth, static_cast<std::int64_t>(plan.extra), plan.alignment}};
}

}  // namespace
}  // namespace cuda

// c = a b + bias, by our own kernel or by cuBLASLt. The operands of `call`: a, b, bias (or null);
// c, and what receives a's sums over the depth (or null). `plan` has the sizes.
template <class T, bool a_along_depth, bool b_along_depth>
void CudaBackend::multiply(std::string_view operation, cuda::ProductPlan plan,
                           const cuda::PlanOperands& call) {
  plan.a_along_depth = a_along_depth;
  plan.b_along_depth = b_along_depth;
  plan.dtype = dtype_of<T>;
  plan.alignment =
      cuda::common_alignment({call.in[0], call.in[1], call.in[2], call.out[0], call.out[1]});
  if (planner_) plan.math = planner_->math(plan.dtype);
  if (call.in[2] != nullptr) plan.extra = cuda::ProductExtra::bias;
  if (call.out[1] != nullptr) plan.extra = cuda::ProductExtra::bias_gradient;
  const auto sum_a = [this, plan](const cuda::PlanOperands& o) {
    if (plan.extra != cuda::ProductExtra::bias_gradient) return;
    sum({o.in[0], plan.dtype, {plan.depth, plan.rows}}, 1.0,
        {o.out[1], plan.dtype, {1, plan.rows}});
  };
  const auto own = [this, plan, sum_a](auto on_tensor_cores) {
    return [this, plan, sum_a](const cuda::PlanOperands& o) {
      sum_a(o);
      cuda::multiply_by<decltype(on_tensor_cores)::value, a_along_depth, b_along_depth>(
          device_, blocks_, {plan.rows, plan.columns, plan.depth}, static_cast<const T*>(o.in[0]),
          static_cast<const T*>(o.in[1]), static_cast<const T*>(o.in[2]),
          static_cast<T*>(o.out[0]));
    };
  };
  constexpr std::is_same<T, BFloat16> in_bf16;
  cuda::run_plan(planner_.get(), cuda::key_of(operation, plan), call, own(in_bf16), [&] {
    const bool gradient = plan.extra == cuda::ProductExtra::bias_gradient;
    std::vector<cuda::Candidate> all =
        planner_->products(plan, gradient ? call.out[1] : call.in[2]);
    if (plan.math == cuda::MathMode::tf32) {
      all.push_back({"own-tf32", true, 0, own(std::true_type{})});
    }
    if (!gradient) return all;
    cuda::ProductPlan alone = plan;
    alone.extra = cuda::ProductExtra::none;
    for (cuda::Candidate& each : planner_->products(alone, nullptr)) {
      each.run = [sum_a, product = std::move(each.run)](const cuda::PlanOperands& o) {
        sum_a(o);
        product(o);
      };
      all.push_back(std::move(each));
    }
    return all;
  });
}

void CudaBackend::linear_forward(ConstView x, ConstView weight, ConstView bias, View y) {
  const LinearShape shape = linear_shape(x.dims, weight.dims, y.dims);
  check_bias(shape, bias);
  if (y.numel() == 0) return;
  cuda::dispatch_storage("linear", {y, x, weight, bias}, [&](auto element) {
    multiply<decltype(element), true, true>("linear_forward",
                                            {shape.rows, shape.outputs, shape.inputs},
                                            {{x.data, weight.data, bias.data}, {y.data}});
  });
}

void CudaBackend::linear_backward_data(ConstView dy, ConstView weight, View dx) {
  const LinearShape shape = linear_shape(dx.dims, weight.dims, dy.dims);
  if (dx.numel() == 0) return;
  cuda::dispatch_storage("linear", {dx, dy, weight}, [&](auto element) {
    multiply<decltype(element), true, false>("linear_backward_data",
                                             {shape.rows, shape.inputs, shape.outputs},
                                             {{dy.data, weight.data}, {dx.data}});
  });
}

void CudaBackend::linear_backward_weight(ConstView x, ConstView dy, View dweight, View dbias) {
  const LinearShape shape = linear_shape(x.dims, dweight.dims, dy.dims);
  check_bias(shape, dbias);
  if (dweight.numel() == 0) {
    if (dbias.present()) {
      sum({dy.data, dy.dtype, {shape.rows, shape.outputs}}, 1.0,
          {dbias.data, dbias.dtype, {1, shape.outputs}});
    }
    return;
  }
  cuda::dispatch_storage("linear", {dweight, x, dy, dbias}, [&](auto element) {
    multiply<decltype(element), false, false>("linear_backward_weight",
                                              {shape.outputs, shape.inputs, shape.rows},
                                              {{dy.data, x.data}, {dweight.data, dbias.data}});
  });
}

}  // namespace cardiograd
