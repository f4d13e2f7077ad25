// Shape operations and reductions.
#include "nn/ops.h"
#include "nn/tape.h"

namespace cardiograd {

namespace {

struct ReshapeOp {
  static constexpr std::string_view name = "reshape";
  Dims dims;
  void backward(const Tensor& dy, Gradients& gradients) { gradients.give(0, dy.window(0, dims)); }
};

struct PermuteOp {
  static constexpr std::string_view name = "permute";
  std::vector<int> inverse;
  void backward(const Tensor& dy, Gradients& gradients) {
    dy.backend()->permute(dy.view(), inverse, gradients.target(0).view());
  }
};

struct SliceOp {
  static constexpr std::string_view name = "slice";
  int axis = 0;
  std::int64_t start = 0;
  void backward(const Tensor& dy, Gradients& gradients) {
    const View dx = gradients.target(0).view();
    dy.backend()->fill(dx, 0.0);
    dy.backend()->place(dy.view(), axis, start, dx);
  }
};

struct ConcatenateOp {
  static constexpr std::string_view name = "concatenate";
  int axis = 0;
  std::vector<std::int64_t> lengths;
  void backward(const Tensor& dy, Gradients& gradients) {
    std::int64_t start = 0;
    for (std::size_t part = 0; part < lengths.size(); ++part) {
      if (gradients.wanted(static_cast<int>(part))) {
        dy.backend()->slice(dy.view(), axis, start,
                            gradients.target(static_cast<int>(part)).view());
      }
      start += lengths[part];
    }
  }
};

struct SumOp {
  static constexpr std::string_view name = "sum";
  Dims kept;  // the result's dims with the reduced axes as 1
  double alpha = 1.0;
  void backward(const Tensor& dy, Gradients& gradients) {
    dy.backend()->expand(dy.window(0, kept).view(), alpha, gradients.target(0).view());
  }
};

struct MaxOp {
  static constexpr std::string_view name = "max";
  Dims kept;
  Tensor index;
  void backward(const Tensor& dy, Gradients& gradients) {
    dy.backend()->max_backward(dy.window(0, kept).view(), index.view(), gradients.target(0).view());
  }
};

int normalised(int axis, const Tensor& x) {
  const int rank = x.dims().rank();
  CG_CHECK(axis >= -rank && axis < rank,
           "axis " + std::to_string(axis) + " does not exist in shape " + x.dims().to_string());
  return axis < 0 ? axis + rank : axis;
}

struct ReducedDims {
  Dims kept;     // reduced axes as 1
  Dims dropped;  // without them
};
ReducedDims reduced_dims(const Tensor& x, const std::vector<int>& axes) {
  std::vector<bool> reduce(static_cast<std::size_t>(x.dims().rank()), axes.empty());
  for (int axis : axes) reduce[static_cast<std::size_t>(normalised(axis, x))] = true;
  ReducedDims result;
  for (int axis = 0; axis < x.dims().rank(); ++axis) {
    if (reduce[static_cast<std::size_t>(axis)]) {
      result.kept.push_back(1);
    } else {
      result.kept.push_back(x.size(axis));
      result.dropped.push_back(x.size(axis));
    }
  }
  return result;
}

Tensor sum_scaled(const Tensor& x, const std::vector<int>& axes, bool keepdim, double alpha) {
  const ReducedDims dims = reduced_dims(x, axes);
  Tensor y = Tensor::empty(x.backend(), keepdim ? dims.kept : dims.dropped, x.dtype());
  View kept = y.view();
  kept.dims = dims.kept;
  x.backend()->sum(x.view(), alpha, kept);
  record(y, {x}, SumOp{dims.kept, alpha});
  return y;
}

}  // namespace

Tensor reshape(const Tensor& x, const std::vector<std::int64_t>& sizes) {
  std::int64_t known = 1;
  int free_axes = 0;
  for (std::int64_t size : sizes) {
    if (size == -1) {
      ++free_axes;
    } else {
      known *= size;
    }
  }
  Dims dims;
  for (std::int64_t size : sizes) {
    dims.push_back(size == -1 ? (known == 0 ? 0 : x.numel() / known) : size);
  }
  CG_CHECK(
      free_axes <= 1 && dims.numel() == x.numel(),
      "a tensor of shape " + x.dims().to_string() + " cannot be reshaped to " + dims.to_string());
  Tensor y = x.window(0, dims);
  record(y, {x}, ReshapeOp{x.dims()});
  return y;
}

Tensor flatten(const Tensor& x) {
  std::int64_t width = 1;
  for (int axis = 1; axis < x.dims().rank(); ++axis) width *= x.size(axis);
  return reshape(x, {x.size(0), width});
}

Tensor permute(const Tensor& x, const std::vector<int>& axes) {
  CG_CHECK(static_cast<int>(axes.size()) == x.dims().rank(),
           "permute needs one axis for each dimension of shape " + x.dims().to_string());
  Dims dims;
  std::vector<int> inverse(axes.size(), -1);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const int axis = normalised(axes[i], x);
    CG_CHECK(inverse[static_cast<std::size_t>(axis)] == -1, "permute names an axis twice");
    inverse[static_cast<std::size_t>(axis)] = static_cast<int>(i);
    dims.push_back(x.size(axis));
  }
  std::vector<int> forward(axes.size());
  for (std::size_t i = 0; i < axes.size(); ++i) forward[i] = normalised(axes[i], x);
  Tensor y = Tensor::empty(x.backend(), dims, x.dtype());
  x.backend()->permute(x.view(), forward, y.view());
  record(y, {x}, PermuteOp{std::move(inverse)});
  return y;
}

Tensor slice(const Tensor& x, int axis, std::int64_t start, std::int64_t length) {
  const int at = normalised(axis, x);
  CG_CHECK(start >= 0 && length >= 0 && start + length <= x.size(at),
           "elements " + std::to_string(start) + " .. " + std::to_string(start + length) +
               " of axis " + std::to_string(at) + " lie outside shape " + x.dims().to_string());
  Dims dims = x.dims();
  dims[at] = length;
  Tensor y = Tensor::empty(x.backend(), dims, x.dtype());
  x.backend()->slice(x.view(), at, start, y.view());
  record(y, {x}, SliceOp{at, start});
  return y;
}

Tensor concatenate(const std::vector<Tensor>& parts, int axis) {
  CG_CHECK(!parts.empty(), "concatenate needs at least one tensor");
  const int at = normalised(axis, parts.front());
  Dims dims = parts.front().dims();
  std::vector<std::int64_t> lengths;
  std::int64_t total = 0;
  for (const Tensor& part : parts) {
    Dims same = part.dims();
    CG_CHECK(same.rank() == dims.rank() && part.dtype() == parts.front().dtype(),
             "concatenate needs tensors of one rank and dtype, got " + dims.to_string() + " and " +
                 part.dims().to_string());
    same[at] = dims[at];
    CG_CHECK(same == dims, "concatenate along axis " + std::to_string(at) +
                               " needs equal other sizes, got " + dims.to_string() + " and " +
                               part.dims().to_string());
    lengths.push_back(part.size(at));
    total += part.size(at);
  }
  dims[at] = total;
  Tensor y = Tensor::empty(parts.front().backend(), dims, parts.front().dtype());
  std::int64_t start = 0;
  for (const Tensor& part : parts) {
    y.backend()->place(part.view(), at, start, y.view());
    start += part.size(at);
  }
  record(y, parts, ConcatenateOp{at, std::move(lengths)});
  return y;
}

Tensor sum(const Tensor& x, const std::vector<int>& axes, bool keepdim) {
  return sum_scaled(x, axes, keepdim, 1.0);
}

Tensor mean(const Tensor& x, const std::vector<int>& axes, bool keepdim) {
  const std::int64_t outputs = reduced_dims(x, axes).kept.numel();
  const double alpha =
      x.numel() == 0 ? 0.0 : static_cast<double>(outputs) / static_cast<double>(x.numel());
  return sum_scaled(x, axes, keepdim, alpha);
}

Tensor max(const Tensor& x, int axis, bool keepdim) {
  const ReducedDims dims = reduced_dims(x, {axis});
  Tensor y = Tensor::empty(x.backend(), keepdim ? dims.kept : dims.dropped, x.dtype());
  Tensor index = Tensor::empty(x.backend(), dims.kept, DType::i32);
  View kept = y.view();
  kept.dims = dims.kept;
  x.backend()->max_forward(x.view(), kept, index.view());
  record(y, {x}, MaxOp{dims.kept, index});
  return y;
}

}  // namespace cardiograd
