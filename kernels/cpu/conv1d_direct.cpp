#include "kernels/cpu/conv1d_direct.h"

#include <algorithm>
#include <omp.h>

#include "kernels/cpu/simd.h"

namespace cardiograd {

namespace {

std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// Input steps that one output step sees.
std::int64_t reach(const Conv1dShape& shape) {
  return shape.spec.dilation * (shape.kernel - 1) + 1;
}

// The convolution that gives the gradient to x: dy convolved with the mirrored weights.
Conv1dShape mirrored(const Conv1dShape& shape) {
  Conv1dShape result = shape;
  std::swap(result.length, result.output_length);
  std::swap(result.inputs, result.outputs);
  result.spec.padding = reach(shape) - 1 - shape.spec.padding;  // may be negative: it crops
  return result;
}

PanelSource forward_weights(const Conv1dShape& shape, const float* weight) {
  return {weight,
          shape.kernel,
          shape.inputs * shape.outputs,
          shape.inputs,
          shape.outputs,
          shape.outputs,
          1};
}

// weight as `shape`'s mirrored convolution reads it: taps backwards, outputs and inputs swapped.
PanelSource mirrored_weights(const Conv1dShape& shape, const float* weight) {
  const std::int64_t tap = shape.inputs * shape.outputs;
  return {weight + (shape.kernel - 1) * tap,
          shape.kernel,
          -tap,
          shape.outputs,
          1,
          shape.inputs,
          shape.outputs};
}

// A dense row of `channels`-strided steps, so that taps need not be told apart.
WindowRows windows(const Conv1dShape& shape, const float* data, std::int64_t rows,
                   std::int64_t step_stride) {
  const std::int64_t tap_stride = shape.spec.dilation * step_stride;
  if (tap_stride == shape.inputs) {
    return {data, rows, shape.spec.stride * step_stride, 1, 0, shape.kernel * shape.inputs};
  }
  return {data, rows, shape.spec.stride * step_stride, shape.kernel, tap_stride, shape.inputs};
}

// The input of a convolution, tile by tile of its output.
class TiledInput {
 public:
  TiledInput(BlockCache& blocks, const Conv1dShape& shape, std::int64_t tile)
      : shape_(shape),
        tile_(tile),
        span_count_(((tile - 1) * shape.spec.stride + reach(shape)) * shape.inputs),
        spans_(blocks, omp_get_max_threads() * span_count_) {}

  // body(record, first output step, steps, what the first one sees) for every tile of
  // `used_length` output steps, from many threads.
  template <class Body>
  void run(const float* x, std::int64_t used_length, const Body& body) const {
    const std::int64_t tiles = (used_length + tile_ - 1) / tile_;
    const std::int64_t items = shape_.records * tiles;
#pragma omp parallel for schedule(static)
    for (std::int64_t item = 0; item < items; ++item) {
      const std::int64_t record = item / tiles;
      const std::int64_t first = item % tiles * tile_;
      const std::int64_t steps = std::min(tile_, used_length - first);
      body(record, first, steps, span(x + record * shape_.length * shape_.inputs, first, steps));
    }
  }

 private:
  // The input steps of `steps` outputs from `first`: in place, or copied between zeros where they
  // hang over an end of the record.
  const float* span(const float* record, std::int64_t first, std::int64_t steps) const {
    const std::int64_t begin = first * shape_.spec.stride - shape_.spec.padding;
    const std::int64_t count = (steps - 1) * shape_.spec.stride + reach(shape_);
    if (begin >= 0 && begin + count <= shape_.length) return record + begin * shape_.inputs;
    float* copy = spans_.data() + omp_get_thread_num() * span_count_;
    const std::int64_t from = std::clamp<std::int64_t>(begin, 0, shape_.length);
    const std::int64_t to = std::clamp<std::int64_t>(begin + count, from, shape_.length);
    float* end = std::fill_n(copy, std::min(from - begin, count) * shape_.inputs, 0.0F);
    end = std::copy(record + from * shape_.inputs, record + to * shape_.inputs, end);
    std::fill(end, copy + count * shape_.inputs, 0.0F);
    return copy;
  }

  const Conv1dShape& shape_;
  std::int64_t tile_;
  std::int64_t span_count_;
  Scratch<float> spans_;
};

// Weights and bias as the kernels read them, and one tile of output a thread.
class DenseForward {
 public:
  DenseForward(BlockCache& blocks, const Conv1dShape& shape, const PanelSource& weight,
               const float* bias, std::int64_t tile)
      : shape_(shape),
        simd_(simd_kernels()),
        tile_(tile),
        columns_(round_up(shape.outputs, simd_.lanes)),
        input_(blocks, shape, tile),
        panels_(blocks, shape.kernel * shape.inputs * columns_),
        bias_(blocks, columns_),
        tiles_(blocks, omp_get_max_threads() * tile * columns_) {
    simd_.pack_panels(weight, panels_.data());
    std::fill_n(bias_.data(), columns_, 0.0F);
    if (bias != nullptr) std::copy_n(bias, shape.outputs, bias_.data());
  }

  // sink(record, first output step, steps, values) for every tile; values are rows of
  // value_stride() floats.
  template <class Sink>
  void run(const float* x, std::int64_t used_length, const Sink& sink) const {
    input_.run(
        x, used_length,
        [&](std::int64_t record, std::int64_t first, std::int64_t steps, const float* input) {
          float* values = tiles_.data() + omp_get_thread_num() * tile_ * columns_;
          multiply(input, steps, values);
          sink(record, first, steps, values);
        });
  }

  // Straight to y, which must need no padding.
  void run_in_place(const float* x, float* y) const {
    input_.run(
        x, shape_.output_length,
        [&](std::int64_t record, std::int64_t first, std::int64_t steps, const float* input) {
          multiply(input, steps, y + (record * shape_.output_length + first) * columns_);
        });
  }

  std::int64_t value_stride() const { return columns_; }
  const SimdKernels& simd() const { return simd_; }

 private:
  void multiply(const float* input, std::int64_t steps, float* out) const {
    simd_.multiply_windows(windows(shape_, input, steps, shape_.inputs), panels_.data(),
                           shape_.outputs, bias_.data(), out, columns_);
  }

  const Conv1dShape& shape_;
  const SimdKernels& simd_;
  std::int64_t tile_;
  std::int64_t columns_;
  TiledInput input_;
  Scratch<float> panels_;
  Scratch<float> bias_;
  Scratch<float> tiles_;
};

constexpr std::int64_t tile_steps = 96;

void convolve(BlockCache& blocks, const Conv1dShape& shape, const PanelSource& weight,
              const float* x, const float* bias, float* y) {
  const DenseForward plan(blocks, shape, weight, bias, tile_steps);
  if (plan.value_stride() == shape.outputs) {
    plan.run_in_place(x, y);
    return;
  }
  plan.run(x, shape.output_length,
           [&](std::int64_t record, std::int64_t first, std::int64_t steps, const float* values) {
             float* out = y + (record * shape.output_length + first) * shape.outputs;
             for (std::int64_t t = 0; t < steps; ++t) {
               std::copy_n(values + t * plan.value_stride(), shape.outputs,
                           out + t * shape.outputs);
             }
           });
}

// Depthwise over whole vectors of channels.
bool is_depthwise(const Conv1dShape& shape) {
  return shape.spec.groups == shape.inputs && shape.inputs == shape.outputs &&
         shape.inputs % simd_kernels().lanes == 0;
}

// Depthwise: every channel by itself. weight: the first tap's row, weight_stride to the next.
WindowRows channel_windows(const Conv1dShape& shape, const float* input, std::int64_t steps) {
  return {input,
          steps,
          shape.spec.stride * shape.inputs,
          shape.kernel,
          shape.spec.dilation * shape.inputs,
          shape.inputs};
}

void convolve_channels(BlockCache& blocks, const Conv1dShape& shape, const float* weight,
                       std::int64_t weight_stride, const float* x, const float* bias, float* y) {
  const TiledInput input(blocks, shape, tile_steps);
  const SimdKernels& simd = simd_kernels();
  input.run(x, shape.output_length,
            [&](std::int64_t record, std::int64_t first, std::int64_t steps, const float* from) {
              simd.multiply_channels(channel_windows(shape, from, steps), weight, weight_stride,
                                     bias,
                                     y + (record * shape.output_length + first) * shape.outputs);
            });
}

// One weight gradient a chunk of the batch, and what a thread needs to compute it.
class WeightGradient {
 public:
  WeightGradient(BlockCache& blocks, const Conv1dShape& shape, std::int64_t margin)
      : shape_(shape),
        simd_(simd_kernels()),
        columns_(round_up(shape.outputs, simd_.lanes)),
        rows_(shape.kernel * shape.inputs / shape.spec.groups),
        size_((rows_ + 1) * columns_),
        margin_(margin),
        chunks_(std::clamp<std::int64_t>(largest_partial / size_, 1,
                                         std::min<std::int64_t>(64, shape.records))),
        x_count_((shape.length + 2 * shape.spec.padding) * shape.inputs),
        dy_count_((shape.output_length + 2 * margin) * columns_),
        partial_(blocks, chunks_ * size_),
        x_(blocks, shape.spec.padding > 0 ? omp_get_max_threads() * x_count_ : 0),
        dy_(blocks, omp_get_max_threads() * dy_count_) {}

  std::int64_t columns() const { return columns_; }
  const SimdKernels& simd() const { return simd_; }

  // body(record, gradient, bias gradient, the thread's dy rows) for every record; then the sums.
  template <class Body>
  void run(float* dweight, float* dbias, const Body& body) const {
#pragma omp parallel
    {
      float* rows = dy_.data() + omp_get_thread_num() * dy_count_;
      std::fill_n(rows, dy_count_, 0.0F);
#pragma omp for schedule(static)
      for (std::int64_t chunk = 0; chunk < chunks_; ++chunk) {
        float* gradient = partial_.data() + chunk * size_;
        std::fill_n(gradient, size_, 0.0F);
        const std::int64_t end = (chunk + 1) * shape_.records / chunks_;
        for (std::int64_t record = chunk * shape_.records / chunks_; record < end; ++record) {
          body(record, gradient, gradient + size_ - columns_, rows + margin_ * columns_);
        }
      }
      add_chunks(dweight, dbias);
    }
  }

  // gradient += what this record adds. dy: rows of dy_stride floats, columns padded; depthwise, of
  // as many floats as there are channels.
  void add(const float* x, const float* dy, std::int64_t dy_stride, float* gradient) const {
    const float* input = padded(x);
    if (shape_.spec.groups > 1) {
      simd_.accumulate_channels(channel_windows(shape_, input, shape_.output_length), dy, gradient,
                                columns_);
      return;
    }
    const std::int64_t step = shape_.spec.stride * shape_.inputs;
    const bool dense = shape_.spec.dilation == 1;
    const std::int64_t rows = dense ? shape_.kernel * shape_.inputs : shape_.inputs;
    const std::int64_t taps = dense ? 1 : shape_.kernel;
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      simd_.accumulate_outer(input + tap * shape_.spec.dilation * shape_.inputs, step, rows, dy,
                             dy_stride, shape_.outputs, shape_.output_length,
                             gradient + tap * shape_.inputs * columns_, columns_);
    }
  }

 private:
  const float* padded(const float* x) const {
    if (shape_.spec.padding == 0) return x;
    const std::int64_t margin = shape_.spec.padding * shape_.inputs;
    float* copy = x_.data() + omp_get_thread_num() * x_count_;
    float* end = std::fill_n(copy, margin, 0.0F);
    end = std::copy_n(x, shape_.length * shape_.inputs, end);
    std::fill_n(end, margin, 0.0F);
    return copy;
  }

  // Inside the parallel region: every element is the sum over the chunks in their order.
  void add_chunks(float* dweight, float* dbias) const {
#pragma omp for schedule(static)
    for (std::int64_t row = 0; row <= rows_; ++row) {
      float* out = row < rows_ ? dweight + row * shape_.outputs : dbias;
      if (out == nullptr) continue;
      std::copy_n(partial_.data() + row * columns_, shape_.outputs, out);
      for (std::int64_t chunk = 1; chunk < chunks_; ++chunk) {
        const float* part = partial_.data() + chunk * size_ + row * columns_;
        for (std::int64_t c = 0; c < shape_.outputs; ++c) out[c] += part[c];
      }
    }
  }

  static constexpr std::int64_t largest_partial = std::int64_t{8} << 20;  // floats, all chunks

  const Conv1dShape& shape_;
  const SimdKernels& simd_;
  std::int64_t columns_;
  std::int64_t rows_;
  std::int64_t size_;
  std::int64_t margin_;
  std::int64_t chunks_;
  std::int64_t x_count_;
  std::int64_t dy_count_;
  Scratch<float> partial_;
  Scratch<float> x_;
  Scratch<float> dy_;
};

}  // namespace

bool direct_forward_fits(const Conv1dShape& shape) {
  return shape.spec.groups == 1 || is_depthwise(shape);
}

bool direct_backward_data_fits(const Conv1dShape& shape) {
  return direct_forward_fits(shape) && shape.spec.stride == 1;
}

bool direct_relu_pool_forward_fits(const Conv1dShape& shape) { return shape.spec.groups == 1; }

bool direct_relu_pool_backward_fits(const Conv1dShape& shape) {
  return shape.spec.groups == 1 && shape.spec.stride == 1;
}

void direct_forward(BlockCache& blocks, const Conv1dShape& shape, const float* x,
                    const float* weight, const float* bias, float* y) {
  if (shape.spec.groups > 1) {
    convolve_channels(blocks, shape, weight, shape.outputs, x, bias, y);
  } else {
    convolve(blocks, shape, forward_weights(shape, weight), x, bias, y);
  }
}

void direct_backward_data(BlockCache& blocks, const Conv1dShape& shape, const float* dy,
                          const float* weight, float* dx) {
  if (shape.spec.groups > 1) {
    convolve_channels(blocks, mirrored(shape), weight + (shape.kernel - 1) * shape.outputs,
                      -shape.outputs, dy, nullptr, dx);
  } else {
    convolve(blocks, mirrored(shape), mirrored_weights(shape, weight), dy, nullptr, dx);
  }
}

void direct_backward_weight(BlockCache& blocks, const Conv1dShape& shape, const float* x,
                            const float* dy, float* dweight, float* dbias) {
  const WeightGradient plan(blocks, shape, 0);
  const bool in_place = shape.spec.groups > 1 || plan.columns() == shape.outputs;
  plan.run(dweight, dbias,
           [&](std::int64_t record, float* gradient, float* bias_gradient, float* rows) {
             const float* input = x + record * shape.length * shape.inputs;
             const float* output = dy + record * shape.output_length * shape.outputs;
             plan.simd().sum_rows(output, shape.output_length, shape.outputs, bias_gradient);
             if (in_place) {
               plan.add(input, output, shape.outputs, gradient);
               return;
             }
             for (std::int64_t t = 0; t < shape.output_length; ++t) {
               std::copy_n(output + t * shape.outputs, shape.outputs, rows + t * plan.columns());
             }
             plan.add(input, rows, plan.columns(), gradient);
           });
}

void direct_relu_pool_forward(BlockCache& blocks, const Conv1dShape& shape, std::int64_t pool,
                              const float* x, const float* weight, const float* bias, float* y,
                              std::uint8_t* winner) {
  const DenseForward plan(blocks, shape, forward_weights(shape, weight), bias,
                          round_up(tile_steps, pool));
  const std::int64_t pooled = shape.output_length / pool;
  plan.run(x, pooled * pool,
           [&](std::int64_t record, std::int64_t first, std::int64_t steps, const float* values) {
             const std::int64_t at = (record * pooled + first / pool) * shape.outputs;
             plan.simd().relu_pool(values, plan.value_stride(), steps / pool, pool, shape.outputs,
                                   Backend::conv_relu_pool_dead, y + at, winner + at);
           });
}

void direct_relu_pool_backward(BlockCache& blocks, const Conv1dShape& shape, std::int64_t pool,
                               const float* x, const float* weight, const std::uint8_t* winner,
                               const float* dy, float* dx, float* dweight, float* dbias) {
  // Zeros around a record's dy stand for the steps that the convolution never produced.
  const std::int64_t margin = reach(shape) - 1;
  const WeightGradient plan(blocks, shape, margin);
  const SimdKernels& simd = plan.simd();
  const Conv1dShape back = mirrored(shape);
  const std::int64_t dx_columns = round_up(shape.inputs, simd.lanes);
  const bool in_place = dx_columns == shape.inputs;
  const Scratch<float> panels(blocks, shape.kernel * shape.outputs * dx_columns);
  const Scratch<float> dx_rows(blocks,
                               in_place ? 0 : omp_get_max_threads() * shape.length * dx_columns);
  if (dx != nullptr) simd.pack_panels(mirrored_weights(shape, weight), panels.data());
  const std::int64_t pooled = shape.output_length / pool;
  plan.run(
      dweight, dbias, [&](std::int64_t record, float* gradient, float* bias_gradient, float* rows) {
        const std::int64_t at = record * pooled * shape.outputs;
        simd.relu_unpool(dy + at, winner + at, pooled, pool, shape.outputs, rows, plan.columns(),
                         bias_gradient);
        plan.add(x + record * shape.length * shape.inputs, rows, plan.columns(), gradient);
        if (dx == nullptr) return;
        float* out = dx + record * shape.length * shape.inputs;
        float* target =
            in_place ? out : dx_rows.data() + omp_get_thread_num() * shape.length * dx_columns;
        simd.multiply_windows(
            windows(back, rows - back.spec.padding * plan.columns(), shape.length, plan.columns()),
            panels.data(), shape.inputs, nullptr, target, dx_columns);
        for (std::int64_t t = 0; t < shape.length && !in_place; ++t) {
          std::copy_n(target + t * dx_columns, shape.inputs, out + t * shape.inputs);
        }
      });
}

}  // namespace cardiograd
