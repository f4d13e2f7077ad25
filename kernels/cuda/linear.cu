// y = x W^T + b, its gradient to x (dy W) and to W (dy^T x): a matrix product in three orders of
// its operands, matrix_product.h's in f32 and tensor_product.h's, on tensor cores, in bf16. The
// gradient to b is a column sum, reduce.cu's.
//
// Products with few tiles and great depth (the weight gradient, a classifier on a flattened record)
// are cut along the depth; partials.h adds the parts.
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

template <bool a_along_depth, bool b_along_depth>
void multiply(const Device& device, BlockCache& blocks, const LinearSize& size, const BFloat16* a,
              const BFloat16* b, const BFloat16* bias, BFloat16* c) {
  const auto factor = [&](const BFloat16* data, std::int64_t lines, bool along) {
    return TensorFactor{
        along ? plain_matrix(data, lines, size.depth) : plain_matrix(data, size.depth, lines),
        along};
  };
  TensorRows to;
  to.bias = bias;
  to.y = c;
  tensor_product(device, blocks, factor(a, size.rows, a_along_depth),
                 factor(b, size.columns, b_along_depth), to);
}

}  // namespace
}  // namespace cuda

void CudaBackend::linear_forward(ConstView x, ConstView weight, ConstView bias, View y) {
  const LinearShape shape = linear_shape(x.dims, weight.dims, y.dims);
  check_bias(shape, bias);
  if (y.numel() == 0) return;
  cuda::dispatch_storage("linear", {y, x, weight, bias}, [&](auto element) {
    using T = decltype(element);
    cuda::multiply<true, true>(device_, blocks_, {shape.rows, shape.outputs, shape.inputs},
                               cuda::elements<T>(x), cuda::elements<T>(weight),
                               cuda::elements<T>(bias), cuda::elements<T>(y));
  });
}

void CudaBackend::linear_backward_data(ConstView dy, ConstView weight, View dx) {
  const LinearShape shape = linear_shape(dx.dims, weight.dims, dy.dims);
  if (dx.numel() == 0) return;
  cuda::dispatch_storage("linear", {dx, dy, weight}, [&](auto element) {
    using T = decltype(element);
    cuda::multiply<true, false>(device_, blocks_, {shape.rows, shape.inputs, shape.outputs},
                                cuda::elements<T>(dy), cuda::elements<T>(weight),
                                static_cast<const T*>(nullptr), cuda::elements<T>(dx));
  });
}

void CudaBackend::linear_backward_weight(ConstView x, ConstView dy, View dweight, View dbias) {
  const LinearShape shape = linear_shape(x.dims, dweight.dims, dy.dims);
  check_bias(shape, dbias);
  if (dbias.present()) {
    sum({dy.data, dy.dtype, {shape.rows, shape.outputs}}, 1.0,
        {dbias.data, dbias.dtype, {1, shape.outputs}});
  }
  if (dweight.numel() == 0) return;
  cuda::dispatch_storage("linear", {dweight, x, dy}, [&](auto element) {
    using T = decltype(element);
    cuda::multiply<false, false>(device_, blocks_, {shape.outputs, shape.inputs, shape.rows},
                                 cuda::elements<T>(dy), cuda::elements<T>(x),
                                 static_cast<const T*>(nullptr), cuda::elements<T>(dweight));
  });
}

}  // namespace cardiograd
