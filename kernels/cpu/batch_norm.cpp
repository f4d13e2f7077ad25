// BatchNorm over rows of [..., C] (Ioffe & Szegedy 2015).
//
// Statistics are sums in double of x and x^2 after the column's first value is taken away, over a
// fixed partition of the rows: one pass over memory, and no cancellation where the mean is far
// greater than the deviation. Residual and ReLU meet a tile of rows while the first-level cache has
// it, one loop after the other: the bits are those of the operations apart.
#include <cmath>

#include "kernels/cpu/checks.h"
#include "kernels/cpu/clones.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"

namespace cardiograd {
namespace {

// What a loop over rows needs to know: rows of `width` columns, `pitch` apart.
struct Block {
  std::int64_t rows = 0;
  std::int64_t width = 0;
  std::int64_t pitch = 0;
};

// As one row where nothing lies between the rows: for loops that are the same in every column.
Block joined(const Block& block) {
  const std::int64_t count = block.rows * block.width;
  return block.width == block.pitch ? Block{1, count, count} : block;
}

// sums[c] += sum of x - shift, sums[width + c] += sum of its square.
CARDIOGRAD_CLONES
void add_moments(const Block& block, const float* __restrict x, const float* __restrict shift,
                 double* __restrict sums) {
  const std::int64_t width = block.width;
  const std::int64_t pitch = block.pitch;
  double* __restrict squares = sums + width;
  std::int64_t row = 0;
  for (; row + 2 <= block.rows; row += 2) {
    const float* r = x + row * pitch;
    for (std::int64_t c = 0; c < width; ++c) {
      const double s = static_cast<double>(shift[c]);
      const double d0 = static_cast<double>(r[c]) - s;
      const double d1 = static_cast<double>(r[c + pitch]) - s;
      sums[c] += d0 + d1;
      squares[c] += d0 * d0 + d1 * d1;
    }
  }
  for (; row < block.rows; ++row) {
    const float* r = x + row * pitch;
    for (std::int64_t c = 0; c < width; ++c) {
      const double d = static_cast<double>(r[c]) - static_cast<double>(shift[c]);
      sums[c] += d;
      squares[c] += d * d;
    }
  }
}

// sums[c] += sum of dy, sums[width + c] += sum of dy (x - mean).
CARDIOGRAD_CLONES
void add_gradients(const Block& block, const float* __restrict x, const float* __restrict dy,
                   const float* __restrict mean, double* __restrict sums) {
  const std::int64_t width = block.width;
  const std::int64_t pitch = block.pitch;
  double* __restrict products = sums + width;
  std::int64_t row = 0;
  for (; row + 2 <= block.rows; row += 2) {
    const float* g = dy + row * pitch;
    const float* r = x + row * pitch;
    for (std::int64_t c = 0; c < width; ++c) {
      const double g0 = static_cast<double>(g[c]);
      const double g1 = static_cast<double>(g[c + pitch]);
      sums[c] += g0 + g1;
      products[c] += g0 * (static_cast<double>(r[c]) - static_cast<double>(mean[c])) +
                     g1 * (static_cast<double>(r[c + pitch]) - static_cast<double>(mean[c]));
    }
  }
  for (; row < block.rows; ++row) {
    for (std::int64_t c = 0; c < width; ++c) {
      const double g = static_cast<double>(dy[row * pitch + c]);
      sums[c] += g;
      products[c] += g * (static_cast<double>(x[row * pitch + c]) - static_cast<double>(mean[c]));
    }
  }
}

// y = (x - mean) factor + beta.
CARDIOGRAD_CLONES
void normalise(const Block& block, const float* __restrict x, const float* __restrict mean,
               const float* __restrict factor, const float* __restrict beta, float* __restrict y) {
  for (std::int64_t row = 0; row < block.rows; ++row) {
    const float* from = x + row * block.pitch;
    float* to = y + row * block.pitch;
    for (std::int64_t c = 0; c < block.width; ++c) {
      to[c] = (from[c] - mean[c]) * factor[c] + beta[c];
    }
  }
}

CARDIOGRAD_CLONES
void add_residual(const float* __restrict residual, float* __restrict y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] += residual[i];
}

CARDIOGRAD_CLONES
void cut_values(float* __restrict y, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = y[i] <= 0.0F ? 0.0F : y[i];
}

// left = what ReLU leaves of dy.
CARDIOGRAD_CLONES
void cut_gradients(const Block& block, const float* __restrict y, const float* __restrict dy,
                   float* __restrict left) {
  for (std::int64_t row = 0; row < block.rows; ++row) {
    const std::int64_t at = row * block.pitch;
#pragma omp simd
    for (std::int64_t c = at; c < at + block.width; ++c) left[c] = y[c] <= 0.0F ? 0.0F : dy[c];
  }
}

// dx = factor ((dy - dy_mean) - (x - mean) slope), in double: the terms cancel where rows are few.
// dx may be dy's memory.
CARDIOGRAD_CLONES
void backward_rows(const Block& block, const float* __restrict x, const float* dy,
                   const float* __restrict mean, const double* __restrict factor,
                   const double* __restrict dy_mean, const double* __restrict slope, float* dx) {
  for (std::int64_t row = 0; row < block.rows; ++row) {
    const float* from = x + row * block.pitch;
    const float* gradient = dy + row * block.pitch;
    float* to = dx + row * block.pitch;
#pragma omp simd
    for (std::int64_t c = 0; c < block.width; ++c) {
      const double centred = static_cast<double>(from[c]) - static_cast<double>(mean[c]);
      const double g = static_cast<double>(gradient[c]) - dy_mean[c];
      to[c] = static_cast<float>(factor[c] * (g - centred * slope[c]));
    }
  }
}

// dx = factor dy: the statistics are constants. dx may be dy's memory.
CARDIOGRAD_CLONES
void scale_rows(const Block& block, const float* dy, const float* __restrict factor, float* dx) {
  for (std::int64_t row = 0; row < block.rows; ++row) {
    const float* from = dy + row * block.pitch;
    float* to = dx + row * block.pitch;
#pragma omp simd
    for (std::int64_t c = 0; c < block.width; ++c) to[c] = factor[c] * from[c];
  }
}

struct Shape {
  std::int64_t rows = 0;
  std::int64_t channels = 0;
};

// The shape of x, and the checks that all calls share: every vector in `vectors` is [C], and
// `optional` has x's shape where it is there.
Shape check(const ConstView& x, std::initializer_list<ConstView> same, const ConstView& optional,
            std::initializer_list<ConstView> vectors) {
  require_f32("batch_norm", {x, optional});
  require_f32("batch_norm", same);
  require_f32("batch_norm", vectors);
  CG_CHECK(x.dims.rank() >= 1, "batch_norm needs a channel axis, got a scalar");
  const std::int64_t channels = x.dims[-1];
  for (const ConstView& view : same) require_same_shape("batch_norm", x.dims, view.dims);
  if (optional.present()) require_same_shape("batch_norm", x.dims, optional.dims);
  for (const ConstView& view : vectors) require_vector("batch_norm", view.dims, channels);
  return {channels == 0 ? 0 : x.numel() / channels, channels};
}

// run(block, offset of its first element) over blocks of whole rows.
template <class Run>
void for_each_block(const Shape& shape, const Run& run) {
  parallel_rows(shape.rows, shape.channels, [&](std::int64_t begin, std::int64_t end) {
    run(Block{end - begin, shape.channels, shape.channels}, begin * shape.channels);
  });
}

// Rows of `width` elements that several loops in turn find in the first-level cache. Even, because
// sums take rows in pairs: their bits do not depend on the tiles.
std::int64_t tile_rows(std::int64_t width) {
  return std::max<std::int64_t>(2, 2048 / std::max<std::int64_t>(1, width) / 2 * 2);
}

// y = (x - mean) factor + beta, and what follows.
void normalise_all(const BatchNormSpec& spec, const Shape& shape, const ConstView& x,
                   const float* mean, const float* factor, const ConstView& beta,
                   const ConstView& residual, const View& y) {
  const std::int64_t step = tile_rows(shape.channels);
  for_each_block(shape, [&](const Block& block, std::int64_t begin) {
    for (std::int64_t row = 0; row < block.rows; row += step) {
      const Block tile{std::min(step, block.rows - row), block.width, block.pitch};
      const std::int64_t at = begin + row * block.pitch;
      const std::int64_t count = tile.rows * tile.width;
      normalise(tile, floats(x) + at, mean, factor, floats(beta), floats(y) + at);
      if (residual.present()) add_residual(floats(residual) + at, floats(y) + at, count);
      if (spec.relu) cut_values(floats(y) + at, count);
    }
  });
}

// What both passes of backward read as the gradient of the normalised x: dy, or what ReLU leaves of
// it, which the first pass writes into dresidual, or into dx where nobody wants dresidual.
struct GradientSource {
  const float* y = nullptr;  // null without ReLU
  const float* dy = nullptr;
  float* left = nullptr;

  GradientSource(const BatchNormSpec& spec, const ConstView& output, const ConstView& gradient,
                 const View& dx, const View& dresidual)
      : y(spec.relu ? floats(output) : nullptr),
        dy(floats(gradient)),
        left(spec.relu ? floats(dresidual.present() ? dresidual : dx) : nullptr) {}
  const float* data() const { return left != nullptr ? left : dy; }
};

// sums[0 .. C-1] = sum of the gradient g, sums[C .. 2C-1] = sum of g (x - mean).
void gradient_sums(BlockCache& blocks, const Shape& shape, const ConstView& x,
                   const GradientSource& gradient, const float* mean, double* sums) {
  column_sums<2>(
      blocks, shape.rows, shape.channels, sums,
      [&](std::int64_t row_begin, std::int64_t row_end, std::int64_t begin, std::int64_t end,
          double* accumulators) {
        const std::int64_t step = tile_rows(end - begin);
        for (std::int64_t row = row_begin; row < row_end; row += step) {
          const Block tile{std::min(step, row_end - row), end - begin, shape.channels};
          const std::int64_t at = row * shape.channels + begin;
          if (gradient.left != nullptr) {
            cut_gradients(joined(tile), gradient.y + at, gradient.dy + at, gradient.left + at);
          }
          add_gradients(tile, floats(x) + at, gradient.data() + at, mean + begin, accumulators);
        }
      });
}

}  // namespace

void CpuBackend::batch_norm_training_forward(const BatchNormSpec& spec, ConstView x,
                                             ConstView gamma, ConstView beta, ConstView residual,
                                             View running_mean, View running_var, View y, View mean,
                                             View inv_std) {
  const Shape shape =
      check(x, {y}, residual, {gamma, beta, running_mean, running_var, mean, inv_std});
  const std::int64_t channels = shape.channels;
  const Scratch<double> sums(*blocks_, 2 * channels);
  const Scratch<float> factor(*blocks_, channels);
  const float* shift = floats(x);  // the first row
  column_sums<2>(*blocks_, shape.rows, channels, sums.data(),
                 [&](std::int64_t row_begin, std::int64_t row_end, std::int64_t begin,
                     std::int64_t end, double* accumulators) {
                   add_moments({row_end - row_begin, end - begin, channels},
                               shift + row_begin * channels + begin, shift + begin, accumulators);
                 });
  const auto count = static_cast<double>(std::max<std::int64_t>(shape.rows, 1));
  const double unbiased = count / std::max(count - 1.0, 1.0);
  for (std::int64_t c = 0; c < channels; ++c) {
    const double shifted_mean = sums[c] / count;
    const double centre = shape.rows > 0 ? static_cast<double>(shift[c]) + shifted_mean : 0.0;
    double variance = sums[channels + c] / count - shifted_mean * shifted_mean;
    variance = variance < 0.0 ? 0.0 : variance;
    const double inverse = 1.0 / std::sqrt(variance + spec.eps);
    floats(mean)[c] = static_cast<float>(centre);
    floats(inv_std)[c] = static_cast<float>(inverse);
    factor[c] = static_cast<float>(inverse * static_cast<double>(floats(gamma)[c]));
    if (shape.rows == 0) continue;
    const auto update = [momentum = spec.momentum](float& running, double batch) {
      running =
          static_cast<float>((1.0 - momentum) * static_cast<double>(running) + momentum * batch);
    };
    update(floats(running_mean)[c], centre);
    update(floats(running_var)[c], variance * unbiased);
  }
  normalise_all(spec, shape, x, floats(mean), factor.data(), beta, residual, y);
}

void CpuBackend::batch_norm_training_backward(const BatchNormSpec& spec, ConstView x,
                                              ConstView gamma, ConstView mean, ConstView inv_std,
                                              ConstView y, ConstView dy, View dx, View dresidual,
                                              View dgamma, View dbeta) {
  const Shape shape =
      check(x, {dy, dx, spec.relu ? y : dy}, dresidual, {gamma, mean, inv_std, dgamma, dbeta});
  const std::int64_t channels = shape.channels;
  const Scratch<double> sums(*blocks_, 2 * channels);
  const Scratch<double> coefficients(*blocks_, 3 * channels);
  const GradientSource gradient(spec, y, dy, dx, dresidual);
  if (dresidual.present() && !spec.relu) copy(dy, dresidual);
  gradient_sums(*blocks_, shape, x, gradient, floats(mean), sums.data());
  double* factor = coefficients.data();
  double* dy_mean = factor + channels;
  double* slope = dy_mean + channels;
  const auto count = static_cast<double>(std::max<std::int64_t>(shape.rows, 1));
  for (std::int64_t c = 0; c < channels; ++c) {
    const auto inverse = static_cast<double>(floats(inv_std)[c]);
    const double product = sums[channels + c] * inverse;  // the sum of dy times normalised x
    floats(dbeta)[c] = static_cast<float>(sums[c]);
    floats(dgamma)[c] = static_cast<float>(product);
    factor[c] = inverse * static_cast<double>(floats(gamma)[c]);
    dy_mean[c] = sums[c] / count;
    slope[c] = inverse * product / count;
  }
  for_each_block(shape, [&](const Block& block, std::int64_t at) {
    backward_rows(block, floats(x) + at, gradient.data() + at, floats(mean), factor, dy_mean, slope,
                  floats(dx) + at);
  });
}

void CpuBackend::batch_norm_inference_forward(const BatchNormSpec& spec, ConstView x,
                                              ConstView gamma, ConstView beta, ConstView residual,
                                              ConstView running_mean, ConstView running_var,
                                              View y) {
  const Shape shape = check(x, {y}, residual, {gamma, beta, running_mean, running_var});
  const Scratch<float> factor(*blocks_, shape.channels);
  for (std::int64_t c = 0; c < shape.channels; ++c) {
    factor[c] =
        static_cast<float>(static_cast<double>(floats(gamma)[c]) /
                           std::sqrt(static_cast<double>(floats(running_var)[c]) + spec.eps));
  }
  normalise_all(spec, shape, x, floats(running_mean), factor.data(), beta, residual, y);
}

void CpuBackend::batch_norm_inference_backward(const BatchNormSpec& spec, ConstView x,
                                               ConstView gamma, ConstView running_mean,
                                               ConstView running_var, ConstView y, ConstView dy,
                                               View dx, View dresidual, View dgamma, View dbeta) {
  const Shape shape = check(x, {dy, dx, spec.relu ? y : dy}, dresidual,
                            {gamma, running_mean, running_var, dgamma, dbeta});
  const std::int64_t channels = shape.channels;
  const Scratch<double> sums(*blocks_, 2 * channels);
  const Scratch<float> factor(*blocks_, channels);
  const GradientSource gradient(spec, y, dy, dx, dresidual);
  if (dresidual.present() && !spec.relu) copy(dy, dresidual);
  gradient_sums(*blocks_, shape, x, gradient, floats(running_mean), sums.data());
  for (std::int64_t c = 0; c < channels; ++c) {
    const double inverse = 1.0 / std::sqrt(static_cast<double>(floats(running_var)[c]) + spec.eps);
    floats(dbeta)[c] = static_cast<float>(sums[c]);
    floats(dgamma)[c] = static_cast<float>(sums[channels + c] * inverse);
    factor[c] = static_cast<float>(inverse * static_cast<double>(floats(gamma)[c]));
  }
  for_each_block(shape, [&](const Block& block, std::int64_t at) {
    scale_rows(block, gradient.data() + at, factor.data(), floats(dx) + at);
  });
}

}  // namespace cardiograd
