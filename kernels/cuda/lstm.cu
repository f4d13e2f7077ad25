// One direction of an LSTM layer. A first product makes the inputs' part of all steps at once; then
// a block takes two records through all steps without leaving its multiprocessor: a thread has one
// row of the recurrent weights, up to 64 columns of it in registers and the rest (up to 128 units)
// in shared memory. Backward walks the other way with the transposed weights, keeps the gradients
// of the gates, and leaves the gradients of weights and inputs to two products at the end.
//
// FLOPs a record and step: 8 H (I + H) forward, three times that backward. Bytes: x and y once, 4 H
// floats of partial sums written and read, and what is saved, 5 H. Bound: the latency of a step (H
// fused multiply-adds, two barriers), because batches have no more than a few records for each
// multiprocessor. Above 128 units the weights are read from the second-level cache at every step:
// right, but not fast. Sums over records are cut into parts that depend on the sizes alone.
#include <algorithm>
#include <type_traits>

#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/grid.h"
#include "kernels/cuda/lstm_shape.h"
#include "kernels/cuda/matrix_product.h"
#include "kernels/cuda/tensor_product.h"

namespace cardiograd {
namespace cuda {
namespace {

CG_DEVICE float sigmoid(float x) { return 1.0F / (1.0F + math::exp(-x)); }

// ---- Products -----------------------------------------------------------------------------------

// The inputs' part of the gates' arguments: sums [N, L, 4H] of x [N, L, I].
template <class T>
void input_product(const Device& device, BlockCache& blocks, const Lstm& shape, const T* x,
                   const T* weight, const T* bias_ih, const T* bias_hh, float* sums) {
  const std::int64_t rows = shape.length * shape.records;
  const std::int64_t columns = 4 * shape.units;
  if constexpr (std::is_same_v<T, BFloat16>) {
    TensorRows<BFloat16> to;
    to.bias = bias_ih;
    to.more_bias = bias_hh;
    to.sums = sums;
    tensor_product(device, blocks, {plain_matrix(x, rows, shape.inputs), true},
                   {plain_matrix(weight, columns, shape.inputs), true}, to);
  } else {
    multiply_matrices(device, {rows, columns, shape.inputs, shape.inputs},
                      MatrixOperand<true, T>(x, rows, shape.inputs),
                      MatrixOperand<true, T>(weight, columns, shape.inputs),
                      ProductResult<T, float>{bias_ih, bias_hh, sums});
  }
}

// dx [N, L, I] of the gates' gradients [N, L, 4H].
template <class T>
void input_gradient(const Device& device, const Lstm& shape, const float* dgates, const T* weight,
                    T* dx) {
  const std::int64_t rows = shape.length * shape.records;
  const std::int64_t depth = 4 * shape.units;
  multiply_matrices(device, {rows, shape.inputs, depth, depth},
                    MatrixOperand<true, float>(dgates, rows, depth),
                    MatrixOperand<false, T>(weight, shape.inputs, depth),
                    ProductResult<T, T>{nullptr, nullptr, dx});
}

// Lines (h of the step before, x, 1) of all records and steps, which are the depth: what the gates'
// gradients are multiplied by for the weights' gradients.
template <class T>
struct WeightOperand {
  static constexpr bool along = false;
  Lstm shape;
  const T* x;
  const T* gates;
  const T* cells;

  CG_HOST_DEVICE std::int64_t lines() const { return shape.units + shape.inputs + 1; }

  CG_DEVICE Pack<float, 4> four(std::int64_t line, std::int64_t at, std::int64_t end) const {
    Pack<float, 4> values{};
    if (at >= end) return values;
    const std::int64_t n = at / shape.length;
    const std::int64_t t = at % shape.length;
    const std::int64_t before = shape.reverse ? t + 1 : t - 1;
    const bool starts = before < 0 || before >= shape.length;
    const std::int64_t cell = (before * shape.records + n) * shape.units;
    CG_UNROLL
    for (int j = 0; j < 4; ++j) {
      const std::int64_t i = line + j;
      if (i >= lines()) continue;
      if (i + 1 == lines()) {
        values[j] = 1.0F;
      } else if (i >= shape.units) {
        values[j] = to_float(x[at * shape.inputs + i - shape.units]);
      } else if (!starts) {
        values[j] =
            to_float(gates[cell * 4 + 3 * shape.units + i]) * math::tanh(to_float(cells[cell + i]));
      }
    }
    return values;
  }
};

// The parts' sums, in their order, to where they belong.
template <class T>
CG_KERNEL(block_threads)
void lstm_weight_sum_kernel(const float* __restrict__ partial, Lstm shape, std::int64_t splits,
                            T* dweight_ih, T* dweight_hh, T* dbias_ih, T* dbias_hh) {
  const std::int64_t columns = shape.units + shape.inputs + 1;
  const std::int64_t size = 4 * shape.units * columns;
  for (std::int64_t i = first_item(); i < size; i += item_step()) {
    float total = 0.0F;
    for (std::int64_t split = 0; split < splits; ++split) total += partial[split * size + i];
    const T value = from_float<T>(total);
    const std::int64_t row = i / columns;
    const std::int64_t column = i % columns;
    if (column < shape.units) {
      dweight_hh[row * shape.units + column] = value;
    } else if (column + 1 < columns) {
      dweight_ih[row * shape.inputs + column - shape.units] = value;
    } else {
      dbias_ih[row] = value;
      dbias_hh[row] = value;
    }
  }
}

// ---- Recurrence ---------------------------------------------------------------------------------

constexpr int together = 2;        // records of a block
constexpr int most_threads = 512;  // 4 x 128 rows, with 128 registers a thread
constexpr int most_held = 64;      // columns of a row in registers
constexpr std::int64_t most_shared = 200 * 1024;

// The recurrent weights, one row a thread: element j of the row lies at row[j * stride].
template <class T, int held>
struct Weights {
  float in_registers[held > 0 ? held : 1];
  const float* in_shared;  // [units - held, rows]; null: they are read from `row`
  const T* row;
  std::int64_t stride;
  std::int64_t units;

  // Every thread of the block must call it, those without a row with null.
  CG_DEVICE void load(const T* from, std::int64_t step, std::int64_t count, float* shared) {
    row = from;
    stride = step;
    units = count;
    in_shared = held > 0 ? shared : nullptr;
    CG_UNROLL
    for (int j = 0; j < held; ++j) {
      in_registers[j] = from != nullptr && j < count ? to_float(from[j * step]) : 0.0F;
    }
    for (std::int64_t j = held; held > 0 && from != nullptr && j < count; ++j) {
      shared[(j - held) * 4 * count + threadIdx.x] = to_float(from[j * step]);
    }
  }

  // sums[r] += the row times vector r; vectors lie `pitch` floats apart, padded with zeros.
  CG_DEVICE void multiply(const float* vectors, std::int64_t pitch, float (&sums)[together]) const {
    CG_UNROLL
    for (int j = 0; j < held; j += 4) {
      CG_UNROLL
      for (int r = 0; r < together; ++r) {
        const Pack<float, 4> four = load_pack<4>(vectors + r * pitch + j);
        CG_UNROLL
        for (int i = 0; i < 4; ++i) sums[r] += in_registers[j + i] * four[i];
      }
    }
    for (std::int64_t j = held; j < units; ++j) {
      const float weight = in_shared != nullptr ? in_shared[(j - held) * 4 * units + threadIdx.x]
                                                : to_float(row[j * stride]);
      CG_UNROLL
      for (int r = 0; r < together; ++r) sums[r] += weight * vectors[r * pitch + j];
    }
  }
};

// Floats of a vector of units, whole packs of four and at least what the registers hold.
CG_HOST_DEVICE std::int64_t padded_units(std::int64_t units, int held) {
  const std::int64_t four = (units + 3) / 4 * 4;
  return four < held ? held : four;
}

// y, gates and cells of `together` records a block. sums: the inputs' part. gates and cells may be
// null.
template <class T, int held>
CG_KERNEL(most_threads)
void lstm_forward_kernel(Lstm shape, const float* __restrict__ sums, const T* __restrict__ weight,
                         T* __restrict__ y, T* __restrict__ gates, T* __restrict__ cells) {
  const std::int64_t units = shape.units;
  const std::int64_t rows = 4 * units;
  const std::int64_t pitch = padded_units(units, held);
  CG_DYNAMIC_SHARED(float, shared);
  float* const h = shared;                  // [together, pitch]
  float* const c = h + together * pitch;    // [together, pitch]
  float* const act = c + together * pitch;  // [together, rows]
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * together;
  for (std::int64_t i = threadIdx.x; i < 2 * together * pitch; i += blockDim.x) h[i] = 0.0F;
  Weights<T, held> mine;
  if constexpr (held > 0) {
    mine.load(threadIdx.x < rows ? weight + threadIdx.x * units : nullptr, 1, units,
              act + together * rows);
  }
  sync_block();
  for (std::int64_t step = 0; step < shape.length; ++step) {
    const std::int64_t t = shape.time(step);
    for (std::int64_t row = threadIdx.x; row < rows; row += blockDim.x) {
      if constexpr (held == 0) mine.load(weight + row * units, 1, units, nullptr);
      float total[together] = {};
      CG_UNROLL
      for (int r = 0; r < together; ++r) {
        if (first + r < shape.records)
          total[r] = sums[((first + r) * shape.length + t) * rows + row];
      }
      mine.multiply(h, pitch, total);
      const bool candidate = row / units == 2;
      CG_UNROLL
      for (int r = 0; r < together; ++r) {
        const float value = candidate ? math::tanh(total[r]) : sigmoid(total[r]);
        act[r * rows + row] = value;
        if (gates != nullptr && first + r < shape.records) {
          gates[(t * shape.records + first + r) * rows + row] = from_float<T>(value);
        }
      }
    }
    sync_block();
    for (std::int64_t i = threadIdx.x; i < together * units; i += blockDim.x) {
      const std::int64_t r = i / units;
      const std::int64_t u = i % units;
      const std::int64_t n = first + r;
      const float* a = act + r * rows + u;
      const float cell = a[units] * c[r * pitch + u] + a[0] * a[2 * units];
      const float hidden = a[3 * units] * math::tanh(cell);
      c[r * pitch + u] = cell;
      h[r * pitch + u] = hidden;
      if (n >= shape.records) continue;
      if (cells != nullptr) cells[(t * shape.records + n) * units + u] = from_float<T>(cell);
      if (!shape.last_step) y[(n * shape.length + t) * units + u] = from_float<T>(hidden);
      if (shape.last_step && step + 1 == shape.length) y[n * units + u] = from_float<T>(hidden);
    }
    sync_block();
  }
}

// The gradients of the gates' arguments, dgates [N, L, 4H]. Thread gate * H + k sums over that
// gate's units what step s tells unit k of the step before.
template <class T, int held>
CG_KERNEL(most_threads)
void lstm_backward_kernel(Lstm shape, const T* __restrict__ weight, const T* __restrict__ gates,
                          const T* __restrict__ cells, const T* __restrict__ dy,
                          float* __restrict__ dgates) {
  const std::int64_t units = shape.units;
  const std::int64_t rows = 4 * units;
  const std::int64_t pitch = padded_units(units, held);
  CG_DYNAMIC_SHARED(float, shared);
  float* const dg = shared;                     // [together, 4, pitch]
  float* const dc = dg + together * 4 * pitch;  // [together, pitch]
  float* const dh = dc + together * pitch;      // [together, rows]: to be summed over gates
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * together;
  for (std::int64_t i = threadIdx.x; i < together * (5 * pitch + rows); i += blockDim.x) {
    dg[i] = 0.0F;
  }
  const auto column_of = [&](std::int64_t row) {
    return weight + row / units * units * units + row % units;
  };
  Weights<T, held> mine;
  if constexpr (held > 0) {
    mine.load(threadIdx.x < rows ? column_of(threadIdx.x) : nullptr, units, units,
              dh + together * rows);
  }
  sync_block();
  for (std::int64_t step = shape.length - 1; step >= 0; --step) {
    const std::int64_t t = shape.time(step);
    for (std::int64_t i = threadIdx.x; i < together * units; i += blockDim.x) {
      const std::int64_t r = i / units;
      const std::int64_t u = i % units;
      const std::int64_t n = first + r;
      if (n >= shape.records) continue;
      const std::int64_t at = t * shape.records + n;
      const T* gate = gates + at * rows + u;
      const float in = to_float(gate[0]);
      const float forget = to_float(gate[units]);
      const float candidate = to_float(gate[2 * units]);
      const float out = to_float(gate[3 * units]);
      const float squashed = math::tanh(to_float(cells[at * units + u]));
      const float before =
          step > 0 ? to_float(cells[(shape.time(step - 1) * shape.records + n) * units + u]) : 0.0F;
      const float* parts = dh + r * rows + u;
      float dhidden = parts[0] + parts[units] + parts[2 * units] + parts[3 * units];
      if (!shape.last_step) dhidden += to_float(dy[(n * shape.length + t) * units + u]);
      if (shape.last_step && step + 1 == shape.length) dhidden += to_float(dy[n * units + u]);
      const float dcell = dc[r * pitch + u] + dhidden * out * (1.0F - squashed * squashed);
      const float gradient[4] = {
          dcell * candidate * (in * (1.0F - in)), dcell * before * (forget * (1.0F - forget)),
          dcell * in * (1.0F - candidate * candidate), dhidden * squashed * (out * (1.0F - out))};
      dc[r * pitch + u] = dcell * forget;
      CG_UNROLL
      for (int g = 0; g < 4; ++g) {
        dg[(r * 4 + g) * pitch + u] = gradient[g];
        dgates[(n * shape.length + t) * rows + g * units + u] = gradient[g];
      }
    }
    sync_block();
    for (std::int64_t row = threadIdx.x; row < rows; row += blockDim.x) {
      if constexpr (held == 0) mine.load(column_of(row), units, units, nullptr);
      float total[together] = {};
      mine.multiply(dg + row / units * pitch, 4 * pitch, total);
      CG_UNROLL
      for (int r = 0; r < together; ++r) dh[r * rows + row] = total[r];
    }
    sync_block();
  }
}

// Calls run(held, threads, shared bytes) for `floats` of shared memory besides weights, which
// depend on held.
template <class Floats, class Run>
void on_chip(const Lstm& shape, const Floats& floats, const Run& run) {
  const auto launch_with = [&](auto held) {
    constexpr int columns = decltype(held)::value;
    const std::int64_t rest =
        columns > 0 ? std::max<std::int64_t>(0, shape.units - columns) * 4 * shape.units : 0;
    const std::int64_t bytes = 4 * (floats(padded_units(shape.units, columns)) + rest);
    if (bytes > most_shared) {
      throw DeviceError("lstm on cuda: " + std::to_string(shape.units) +
                        " units are too many, use fewer or device = \"cpu\"");
    }
    const auto threads = static_cast<unsigned>(
        std::min<std::int64_t>((4 * shape.units + 31) / 32 * 32, most_threads));
    run(held, threads, static_cast<std::size_t>(bytes));
  };
  if (shape.units <= 16) return launch_with(std::integral_constant<int, 16>{});
  if (4 * shape.units <= most_threads) return launch_with(std::integral_constant<int, most_held>{});
  launch_with(std::integral_constant<int, 0>{});
}

unsigned blocks_of(const Lstm& shape) {
  return static_cast<unsigned>((shape.records + together - 1) / together);
}

// Throws ShapeError unless the operands fit.
Lstm lstm_shape(const LstmSpec& spec, const Dims& x, const Dims& weight_ih, const Dims& weight_hh,
                const Dims& y) {
  CG_CHECK(x.rank() == 3, "lstm needs x [N, L, I], got " + x.to_string());
  CG_CHECK(weight_hh.rank() == 2 && weight_hh[0] == 4 * weight_hh[1],
           "lstm: weight_hh is [4H, H], got " + weight_hh.to_string());
  const Dims output = spec.last_step ? Dims{x[0], weight_hh[1]} : Dims{x[0], x[1], weight_hh[1]};
  CG_CHECK(weight_ih == Dims({weight_hh[0], x[2]}) && y == output,
           "lstm: x " + x.to_string() + ", weight_ih " + weight_ih.to_string() + ", weight_hh " +
               weight_hh.to_string() + " and y " + y.to_string() + " do not fit");
  return {x[0], x[1], x[2], weight_hh[1], spec.reverse, spec.last_step};
}

}  // namespace
}  // namespace cuda

// Operands in the order of cuda_backend_impl.h; all of `dtype`, of sizes that were checked.
void CudaBackend::lstm_forward_by_kernels(const cuda::Lstm& shape, DType dtype,
                                          const cuda::PlanOperands& o) {
  const ConstView x{o.in[0], dtype, {shape.records, shape.length, shape.inputs}};
  cuda::dispatch_storage("lstm", {x}, [&](auto element) {
    using T = decltype(element);
    const auto in = [&](std::size_t i) { return static_cast<const T*>(o.in[i]); };
    const std::int64_t cells = shape.length * shape.records * shape.units;
    auto* gates = static_cast<T*>(o.out[1]);
    const Scratch<float> sums(blocks_, 4 * cells);
    cuda::input_product(device_, blocks_, shape, in(0), in(1), in(3), in(4), sums.data());
    const auto floats = [&](std::int64_t pitch) {
      return cuda::together * (2 * pitch + 4 * shape.units);
    };
    cuda::on_chip(shape, floats, [&](auto held, unsigned threads, std::size_t shared) {
      cuda::launch<cuda::lstm_forward_kernel<T, decltype(held)::value>>(
          cuda::blocks_of(shape), threads, shared, device_.stream, shape, sums.data(), in(2),
          static_cast<T*>(o.out[0]), gates, gates == nullptr ? nullptr : gates + 4 * cells);
    });
  });
}

void CudaBackend::lstm_backward_by_kernels(const cuda::Lstm& shape, DType dtype,
                                           const cuda::PlanOperands& o) {
  const ConstView x{o.in[0], dtype, {shape.records, shape.length, shape.inputs}};
  cuda::dispatch_storage("lstm", {x}, [&](auto element) {
    using T = decltype(element);
    const auto in = [&](std::size_t i) { return static_cast<const T*>(o.in[i]); };
    const auto out = [&](std::size_t i) { return static_cast<T*>(o.out[i]); };
    const std::int64_t steps = shape.length * shape.records;
    const std::int64_t rows = 4 * shape.units;
    const T* gates = out(5);
    const T* cells = gates + steps * rows;
    const Scratch<float> dgates(blocks_, steps * rows);
    const auto floats = [&](std::int64_t pitch) { return cuda::together * (5 * pitch + rows); };
    cuda::on_chip(shape, floats, [&](auto held, unsigned threads, std::size_t shared) {
      cuda::launch<cuda::lstm_backward_kernel<T, decltype(held)::value>>(
          cuda::blocks_of(shape), threads, shared, device_.stream, shape, in(2), gates, cells,
          in(4), dgates.data());
    });
    if (out(0) != nullptr && shape.inputs > 0) {
      cuda::input_gradient(device_, shape, dgates.data(), in(1), out(0));
    }
    const cuda::WeightOperand<T> operand{shape, in(0), gates, cells};
    cuda::Product product{rows, operand.lines(), steps, 0};
    product.depth_chunk = cuda::depth_chunk_of(product);
    const Scratch<float> partial(blocks_, product.chunks() * rows * operand.lines());
    cuda::multiply_matrices(device_, product,
                            cuda::MatrixOperand<false, float>(dgates.data(), rows, steps), operand,
                            cuda::ProductResult<T, float>{nullptr, nullptr, partial.data()});
    cuda::launch<cuda::lstm_weight_sum_kernel<T>>(
        device_.blocks_for(rows * operand.lines()), cuda::block_threads, 0, device_.stream,
        partial.data(), shape, product.chunks(), out(1), out(2), out(3), out(4));
  });
}

void CudaBackend::lstm_forward(const LstmSpec& spec, ConstView x, ConstView weight_ih,
                               ConstView weight_hh, ConstView bias_ih, ConstView bias_hh, View y,
                               View saved) {
  const cuda::Lstm shape = cuda::lstm_shape(spec, x.dims, weight_ih.dims, weight_hh.dims, y.dims);
  require_vector("lstm", bias_ih.dims, 4 * shape.units);
  require_vector("lstm", bias_hh.dims, 4 * shape.units);
  const auto passes = saved.present() ? lstm_passes_of(shape, saved) : nullptr;
  if (y.numel() == 0) return;
  if (shape.length == 0) return fill(y, 0.0);
  cuda::require_dtype("lstm", y.dtype, {x, weight_ih, weight_hh, bias_ih, bias_hh, saved});
  const cuda::PlanOperands call{
      {x.data, weight_ih.data, weight_hh.data, bias_ih.data, bias_hh.data}, {y.data, saved.data}};
  if (!saved.present()) return plan_lstm_inference(shape, y.dtype, call);
  if (passes) return passes->forward(call);
  lstm_forward_by_kernels(shape, y.dtype, call);
}

void CudaBackend::lstm_backward(const LstmSpec& spec, ConstView x, ConstView weight_ih,
                                ConstView weight_hh, View saved, ConstView dy, View dx,
                                View dweight_ih, View dweight_hh, View dbias_ih, View dbias_hh) {
  const cuda::Lstm shape = cuda::lstm_shape(spec, x.dims, weight_ih.dims, weight_hh.dims, dy.dims);
  const auto passes = lstm_passes_of(shape, saved);
  if (dx.present()) require_same_shape("lstm", dx.dims, x.dims);
  require_same_shape("lstm", dweight_ih.dims, weight_ih.dims);
  require_same_shape("lstm", dweight_hh.dims, weight_hh.dims);
  require_vector("lstm", dbias_ih.dims, 4 * shape.units);
  require_vector("lstm", dbias_hh.dims, 4 * shape.units);
  if (shape.records * shape.length * shape.units == 0) {
    for (const View& gradient : {dx, dweight_ih, dweight_hh, dbias_ih, dbias_hh}) {
      if (gradient.present()) fill(gradient, 0.0);
    }
    return;
  }
  cuda::require_dtype(
      "lstm", x.dtype,
      {weight_ih, weight_hh, saved, dy, dx, dweight_ih, dweight_hh, dbias_ih, dbias_hh});
  const cuda::PlanOperands call{
      {x.data, weight_ih.data, weight_hh.data, nullptr, dy.data},
      {dx.data, dweight_ih.data, dweight_hh.data, dbias_ih.data, dbias_hh.data, saved.data}};
  if (passes) return passes->backward(call);
  lstm_backward_by_kernels(shape, x.dtype, call);
}

// The plan that asked for memory of this size; null: our own kernels. Throws ShapeError where it is
// neither's.
std::shared_ptr<const cuda::TrainingPasses> CudaBackend::lstm_passes_of(const cuda::Lstm& shape,
                                                                        const View& saved) {
  const Dims own{lstm_parts_size(shape.records, shape.length, shape.units)};
  if (saved.dims == own) return nullptr;
  auto passes = plan_lstm_training(shape, saved.dtype);
  CG_CHECK(passes && saved.dims == Dims({passes->saved}),
           "lstm: saved is " + saved.dims.to_string() + ", which lstm_saved_size did not say");
  return passes;
}

}  // namespace cardiograd
