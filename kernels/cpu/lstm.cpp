// One direction of an LSTM layer by our own SIMD kernels. Records do not meet inside a layer: a
// thread takes a few of them through the whole sequence, waits for no other, and finds weights and
// state in its own caches. Backward computes the gradients of the gates for a tile of time steps,
// which then serve both products over the tile, for the weights and for x, while they are near;
// they never reach memory. Weight gradients are summed over groups of records that depend on the
// sizes alone, in a fixed order: their bits do not depend on the number of threads.
#include <algorithm>
#include <omp.h>

#include "kernels/cpu/block_cache.h"
#include "kernels/cpu/checks.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/simd.h"
#include "kernels/lstm_saved.h"

namespace cardiograd {

namespace {

constexpr std::int64_t gate_count = 4;

struct LstmShape {
  std::int64_t records = 0;
  std::int64_t length = 0;
  std::int64_t inputs = 0;
  std::int64_t units = 0;
  LstmSpec spec;

  // The time that the direction reaches at its step `step`.
  std::int64_t time(std::int64_t step) const { return spec.reverse ? length - 1 - step : step; }
  std::int64_t chunks() const;
};

// Records that go through time together: enough of them for each vector of weights to be used
// often, few enough for a batch to occupy several threads.
constexpr std::int64_t fewest_records = 16;
constexpr std::int64_t most_records = 32;

std::int64_t LstmShape::chunks() const {
  const std::int64_t most = std::clamp(records / 8, fewest_records, most_records);
  return (records + most - 1) / most;
}

// Throws ShapeError unless the operands fit.
LstmShape lstm_shape(const LstmSpec& spec, const Dims& x, const Dims& weight_ih,
                     const Dims& weight_hh, const Dims& y) {
  CG_CHECK(x.rank() == 3, "lstm needs x [N, L, I], got " + x.to_string());
  CG_CHECK(weight_hh.rank() == 2 && weight_hh[0] == gate_count * weight_hh[1],
           "lstm: weight_hh is [4H, H], got " + weight_hh.to_string());
  const LstmShape shape{x[0], x[1], x[2], weight_hh[1], spec};
  const Dims output = spec.last_step ? Dims{x[0], weight_hh[1]} : Dims{x[0], x[1], weight_hh[1]};
  CG_CHECK(weight_ih == Dims({weight_hh[0], x[2]}) && y == output,
           "lstm: x " + x.to_string() + ", weight_ih " + weight_ih.to_string() + ", weight_hh " +
               weight_hh.to_string() + " and y " + y.to_string() + " do not fit");
  return shape;
}

std::int64_t padded(std::int64_t count) {
  const std::int64_t lanes = simd_kernels().lanes;
  return (count + lanes - 1) / lanes * lanes;
}

// Weights [4H, columns] and [4H] as lstm_forward_step reads them: `rows` is how many rows the
// panel of one vector of units has, `first` this matrix's first.
void pack_gates(const LstmShape& shape, const float* weight, std::int64_t columns,
                std::int64_t first, std::int64_t rows, float* panels) {
  const std::int64_t lanes = simd_kernels().lanes;
  for (std::int64_t unit = 0; unit < shape.units; ++unit) {
    for (std::int64_t gate = 0; gate < gate_count; ++gate) {
      const float* from = weight + (gate * shape.units + unit) * columns;
      float* to = panels + unit / lanes * rows * gate_count * lanes +
                  (first * gate_count + gate) * lanes + unit % lanes;
      for (std::int64_t column = 0; column < columns; ++column) {
        to[column * gate_count * lanes] = from[column];
      }
    }
  }
}

// ---- Forward ------------------------------------------------------------------------------------

struct LstmForwardOperands {
  const float* x;
  float* y;
  float* gates;  // null: nothing is saved
  float* cells;
};

// One chunk of records through all time steps. state: 3 * most_records * padded units floats.
void forward_chunk(const LstmShape& shape, const LstmForwardOperands& operands, const float* panels,
                   const float* bias, std::int64_t first, std::int64_t records, float* state) {
  const SimdKernels& simd = simd_kernels();
  const std::int64_t size = records * padded(shape.units);
  std::fill_n(state, 3 * size, 0.0F);
  LstmForwardStep step{};
  step.rows = records;
  step.inputs = shape.inputs;
  step.units = shape.units;
  step.x_stride = shape.length * shape.inputs;
  step.y_stride = (shape.spec.last_step ? 1 : shape.length) * shape.units;
  step.c = state + 2 * size;
  for (std::int64_t s = 0; s < shape.length; ++s) {
    const std::int64_t t = shape.time(s);
    step.x = operands.x + first * step.x_stride + t * shape.inputs;
    step.h = state + s % 2 * size;
    step.h_next = state + (s + 1) % 2 * size;
    step.y = nullptr;
    if (!shape.spec.last_step) {
      step.y = operands.y + first * step.y_stride + t * shape.units;
    } else if (s + 1 == shape.length) {
      step.y = operands.y + first * step.y_stride;
    }
    if (operands.gates != nullptr) {
      const std::int64_t at = (t * shape.records + first) * shape.units;
      step.gates = operands.gates + gate_count * at;
      step.cells = operands.cells + at;
    }
    simd.lstm_forward_step(step, panels, bias);
  }
}

// ---- Backward -----------------------------------------------------------------------------------

struct LstmBackwardOperands {
  const float* x;
  const float* weight_ih;
  const float* weight_hh;
  const float* gates;
  const float* cells;
  const float* dy;
  float* dx;  // null: not wanted
  float* dweight_ih;
  float* dweight_hh;
  float* dbias_ih;
  float* dbias_hh;
};

class LstmBackward {
 public:
  LstmBackward(BlockCache& blocks, const LstmShape& shape, const LstmBackwardOperands& operands)
      : shape_(shape),
        operands_(operands),
        simd_(simd_kernels()),
        padded_(padded(shape.units)),
        padded_inputs_(padded(shape.inputs)),
        depth_(padded_ + shape.inputs + 1),
        size_(gate_count * depth_ * padded_),
        groups_(std::clamp<std::int64_t>(largest_partial / size_, 1,
                                         std::min<std::int64_t>(64, shape.chunks()))),
        tile_steps_(std::clamp<std::int64_t>(tile_rows / std::min(most_records, shape.records), 1,
                                             shape.length)),
        tile_rows_(tile_steps_ * std::min(most_records, shape.records)),
        thread_size_(tile_rows_ * (gate_count * padded_ + depth_ + padded_inputs_) +
                     3 * most_records * padded_),
        panels_hh_(blocks, gate_count * shape.units * padded_),
        panels_ih_(blocks, operands.dx ? gate_count * shape.units * padded_inputs_ : 0),
        partial_(blocks, groups_ * size_),
        scratch_(blocks, omp_get_max_threads() * thread_size_) {
    pack(operands.weight_hh, shape.units, panels_hh_.data());
    if (operands.dx != nullptr) pack(operands.weight_ih, shape.inputs, panels_ih_.data());
  }

  void run() const {
    const std::int64_t chunks = shape_.chunks();
#pragma omp parallel
    {
      const Thread thread = scratch_of(omp_get_thread_num());
      // The last column of every row: its products are the gradient of the biases.
      for (std::int64_t row = 0; row < tile_rows_; ++row) thread.inputs[(row + 1) * depth_ - 1] = 1;
#pragma omp for schedule(dynamic)
      for (std::int64_t group = 0; group < groups_; ++group) {
        float* gradient = partial_.data() + group * size_;
        std::fill_n(gradient, size_, 0.0F);
        const std::int64_t end = (group + 1) * chunks / groups_;
        for (std::int64_t chunk = group * chunks / groups_; chunk < end; ++chunk) {
          const std::int64_t first = chunk * shape_.records / chunks;
          const std::int64_t records = (chunk + 1) * shape_.records / chunks - first;
          run_chunk({first, records}, thread, gradient);
        }
      }
      add_groups();
    }
  }

 private:
  struct Chunk {
    std::int64_t first;
    std::int64_t records;
  };
  // What a thread works in. Rows of a tile are (step, record).
  struct Thread {
    float* dgates;  // [4, tile rows, padded units]
    float* inputs;  // [tile rows, depth]: h of the step before, x, 1
    float* dx;      // [tile rows, padded inputs]
    float* dh;      // [records, padded units], as the rest
    float* dc;
    float* tanh_cells;
  };

  Thread scratch_of(int number) const {
    float* at = scratch_.data() + number * thread_size_;
    const auto take = [&at](std::int64_t count) {
      float* block = at;
      at += count;
      return block;
    };
    Thread thread{};
    thread.dgates = take(tile_rows_ * gate_count * padded_);
    thread.dx = take(tile_rows_ * padded_inputs_);
    thread.dh = take(most_records * padded_);
    thread.dc = take(most_records * padded_);
    thread.tanh_cells = take(most_records * padded_);
    thread.inputs = take(tile_rows_ * depth_);
    return thread;
  }

  void pack(const float* weight, std::int64_t columns, float* panels) const {
    simd_.pack_panels(
        {weight, gate_count, shape_.units * columns, shape_.units, columns, columns, 1}, panels);
  }

  // The gradients of gates, from row `row` of the tile on, as the left side of a product.
  WindowRows dgates_rows(const Thread& thread, std::int64_t row, std::int64_t rows) const {
    return {thread.dgates + row * padded_, rows,        padded_, gate_count,
            tile_rows_ * padded_,          shape_.units};
  }

  // Saved values of the chunk's records after step `s`.
  const float* gates_at(const Chunk& chunk, std::int64_t s) const {
    return operands_.gates +
           gate_count * (shape_.time(s) * shape_.records + chunk.first) * shape_.units;
  }
  const float* cells_at(const Chunk& chunk, std::int64_t s) const {
    return operands_.cells + (shape_.time(s) * shape_.records + chunk.first) * shape_.units;
  }

  void run_chunk(const Chunk& chunk, const Thread& thread, float* gradient) const {
    std::fill_n(thread.dh, chunk.records * padded_, 0.0F);
    std::fill_n(thread.dc, chunk.records * padded_, 0.0F);
    for (std::int64_t row = 0; shape_.spec.last_step && row < chunk.records; ++row) {
      std::copy_n(operands_.dy + (chunk.first + row) * shape_.units, shape_.units,
                  thread.dh + row * padded_);
    }
    hidden_state(chunk, thread, shape_.length - 1, nullptr);
    for (std::int64_t end = shape_.length; end > 0;) {
      const std::int64_t begin = std::max<std::int64_t>(0, end - tile_steps_);
      for (std::int64_t s = end - 1; s >= begin; --s) run_step(chunk, thread, s, s - begin);
      finish_tile(chunk, thread, begin, end - begin, gradient);
      end = begin;
    }
  }

  void hidden_state(const Chunk& chunk, const Thread& thread, std::int64_t s, float* h) const {
    simd_.lstm_hidden_state({chunk.records, shape_.units, gates_at(chunk, s), cells_at(chunk, s),
                             thread.tanh_cells, h, depth_});
  }

  void run_step(const Chunk& chunk, const Thread& thread, std::int64_t s, std::int64_t slot) const {
    const std::int64_t row = slot * chunk.records;
    LstmBackwardStep step{};
    step.rows = chunk.records;
    step.units = shape_.units;
    step.gates = gates_at(chunk, s);
    step.previous_cells = s > 0 ? cells_at(chunk, s - 1) : nullptr;
    step.tanh_cells = thread.tanh_cells;
    if (!shape_.spec.last_step) {
      step.dy_stride = shape_.length * shape_.units;
      step.dy = operands_.dy + chunk.first * step.dy_stride + shape_.time(s) * shape_.units;
    }
    step.dh = thread.dh;
    step.dc = thread.dc;
    step.dgates = thread.dgates + row * padded_;
    step.gate_stride = tile_rows_ * padded_;
    simd_.lstm_backward_step(step);
    float* h = thread.inputs + row * depth_;
    if (s == 0) {
      for (std::int64_t r = 0; r < chunk.records; ++r) std::fill_n(h + r * depth_, padded_, 0.0F);
      return;
    }
    hidden_state(chunk, thread, s - 1, h);
    simd_.multiply_windows(dgates_rows(thread, row, chunk.records), panels_hh_.data(), shape_.units,
                           nullptr, thread.dh, padded_);
  }

  // gradient += inputs^T dgates of the tile's steps, and their dx.
  void finish_tile(const Chunk& chunk, const Thread& thread, std::int64_t begin, std::int64_t steps,
                   float* gradient) const {
    const std::int64_t rows = steps * chunk.records;
    for (std::int64_t row = 0; row < rows; ++row) {
      std::copy_n(operands_.x + x_offset(chunk, begin, row), shape_.inputs,
                  thread.inputs + row * depth_ + padded_);
    }
    for (std::int64_t gate = 0; gate < gate_count; ++gate) {
      simd_.accumulate_outer(thread.inputs, depth_, depth_,
                             thread.dgates + gate * tile_rows_ * padded_, padded_, shape_.units,
                             rows, gradient + gate * depth_ * padded_, padded_);
    }
    if (operands_.dx == nullptr) return;
    simd_.multiply_windows(dgates_rows(thread, 0, rows), panels_ih_.data(), shape_.inputs, nullptr,
                           thread.dx, padded_inputs_);
    for (std::int64_t row = 0; row < rows; ++row) {
      std::copy_n(thread.dx + row * padded_inputs_, shape_.inputs,
                  operands_.dx + x_offset(chunk, begin, row));
    }
  }

  // Where x, and dx, of a row of the tile that begins at step `begin` lie.
  std::int64_t x_offset(const Chunk& chunk, std::int64_t begin, std::int64_t row) const {
    const std::int64_t record = chunk.first + row % chunk.records;
    return (record * shape_.length + shape_.time(begin + row / chunk.records)) * shape_.inputs;
  }

  // Inside the parallel region: the groups' sums in their order, from [gate, input, unit] to
  // PyTorch's [gate, unit, input].
  void add_groups() const {
#pragma omp for schedule(static)
    for (std::int64_t row = 0; row < gate_count * depth_; ++row) {
      float* sum = partial_.data() + row * padded_;
      for (std::int64_t group = 1; group < groups_; ++group) {
        for (std::int64_t u = 0; u < shape_.units; ++u) sum[u] += sum[group * size_ + u];
      }
      const std::int64_t gate = row / depth_ * shape_.units;
      const std::int64_t input = row % depth_;
      if (input < shape_.units) {
        scatter(sum, operands_.dweight_hh + gate * shape_.units + input, shape_.units);
      } else if (input + 1 == depth_) {
        scatter(sum, operands_.dbias_ih + gate, 1);
        scatter(sum, operands_.dbias_hh + gate, 1);
      } else if (input >= padded_) {
        scatter(sum, operands_.dweight_ih + gate * shape_.inputs + input - padded_, shape_.inputs);
      }
    }
  }

  void scatter(const float* values, float* to, std::int64_t stride) const {
    for (std::int64_t u = 0; u < shape_.units; ++u) to[u * stride] = values[u];
  }

  static constexpr std::int64_t largest_partial = std::int64_t{8} << 20;  // floats, all groups
  static constexpr std::int64_t tile_rows = 256;

  const LstmShape& shape_;
  const LstmBackwardOperands& operands_;
  const SimdKernels& simd_;
  std::int64_t padded_;
  std::int64_t padded_inputs_;
  std::int64_t depth_;  // of the weight gradients' products
  std::int64_t size_;   // of one group's gradients, [4, depth, padded units]
  std::int64_t groups_;
  std::int64_t tile_steps_;
  std::int64_t tile_rows_;
  std::int64_t thread_size_;
  Scratch<float> panels_hh_;
  Scratch<float> panels_ih_;
  Scratch<float> partial_;
  Scratch<float> scratch_;
};

}  // namespace

void CpuBackend::lstm_forward(const LstmSpec& spec, ConstView x, ConstView weight_ih,
                              ConstView weight_hh, ConstView bias_ih, ConstView bias_hh, View y,
                              View saved) {
  require_f32("lstm", {x, weight_ih, weight_hh, bias_ih, bias_hh, y, saved});
  const LstmShape shape = lstm_shape(spec, x.dims, weight_ih.dims, weight_hh.dims, y.dims);
  require_vector("lstm", bias_ih.dims, gate_count * shape.units);
  require_vector("lstm", bias_hh.dims, gate_count * shape.units);
  const LstmParts<View> parts(saved, shape.records, shape.length, shape.units);
  if (y.numel() == 0) return;
  if (shape.length == 0) return fill(y, 0.0);
  const std::int64_t rows = shape.inputs + shape.units;
  const std::int64_t columns = padded(shape.units);
  const Scratch<float> panels(*blocks_, rows * gate_count * columns);
  const Scratch<float> bias(*blocks_, gate_count * columns);
  const Scratch<float> sums(*blocks_, gate_count * shape.units);
  const Scratch<float> states(*blocks_, omp_get_max_threads() * 3 * most_records * columns);
  std::fill_n(panels.data(), rows * gate_count * columns, 0.0F);
  std::fill_n(bias.data(), gate_count * columns, 0.0F);
  for (std::int64_t i = 0; i < gate_count * shape.units; ++i) {
    sums[i] = floats(bias_ih)[i] + floats(bias_hh)[i];
  }
  pack_gates(shape, floats(weight_ih), shape.inputs, 0, rows, panels.data());
  pack_gates(shape, floats(weight_hh), shape.units, shape.inputs, rows, panels.data());
  pack_gates(shape, sums.data(), 1, 0, 1, bias.data());
  const LstmForwardOperands operands{floats(x), floats(y), floats(parts.gates),
                                     floats(parts.cells)};
  const std::int64_t chunks = shape.chunks();
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    const std::int64_t first = chunk * shape.records / chunks;
    forward_chunk(shape, operands, panels.data(), bias.data(), first,
                  (chunk + 1) * shape.records / chunks - first,
                  states.data() + omp_get_thread_num() * 3 * most_records * columns);
  }
}

std::int64_t CpuBackend::lstm_saved_size(const LstmSpec&, ConstView x, std::int64_t units) {
  return lstm_parts_size(x.dims[0], x.dims[1], units);
}

void CpuBackend::lstm_backward(const LstmSpec& spec, ConstView x, ConstView weight_ih,
                               ConstView weight_hh, View saved, ConstView dy, View dx,
                               View dweight_ih, View dweight_hh, View dbias_ih, View dbias_hh) {
  require_f32("lstm",
              {x, weight_ih, weight_hh, saved, dy, dx, dweight_ih, dweight_hh, dbias_ih, dbias_hh});
  const LstmShape shape = lstm_shape(spec, x.dims, weight_ih.dims, weight_hh.dims, dy.dims);
  const LstmParts<ConstView> parts(saved, shape.records, shape.length, shape.units);
  if (dx.present()) require_same_shape("lstm", dx.dims, x.dims);
  require_same_shape("lstm", dweight_ih.dims, weight_ih.dims);
  require_same_shape("lstm", dweight_hh.dims, weight_hh.dims);
  require_vector("lstm", dbias_ih.dims, gate_count * shape.units);
  require_vector("lstm", dbias_hh.dims, gate_count * shape.units);
  if (shape.records * shape.length * shape.units == 0) {
    for (const View& gradient : {dx, dweight_ih, dweight_hh, dbias_ih, dbias_hh}) {
      if (gradient.present()) fill(gradient, 0.0);
    }
    return;
  }
  const LstmBackwardOperands operands{floats(x),           floats(weight_ih),   floats(weight_hh),
                                      floats(parts.gates), floats(parts.cells), floats(dy),
                                      floats(dx),          floats(dweight_ih),  floats(dweight_hh),
                                      floats(dbias_ih),    floats(dbias_hh)};
  LstmBackward(*blocks_, shape, operands).run();
}

}  // namespace cardiograd
