// Our own SIMD kernels, compiled once for each instruction set from simd_kernels.inl and picked at
// run time. This header is included where wider instructions are switched on, so it must stay plain
// C-like code: an inline function from the standard library, compiled there, could replace its
// portable copy at link time and crash on an older CPU.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace cardiograd {

// Rows of a matrix that may overlap in memory: element (row, tap, c) is
// data[row * row_stride + tap * tap_stride + c], for c < depth. A convolution's receptive fields in
// N-L-C layout are such rows.
struct WindowRows {
  const float* data;
  ptrdiff_t rows;
  ptrdiff_t row_stride;
  ptrdiff_t taps;
  ptrdiff_t tap_stride;
  ptrdiff_t depth;
};

// A matrix [taps * depth, columns] with arbitrary strides.
struct PanelSource {
  const float* data;
  ptrdiff_t taps;
  ptrdiff_t tap_stride;
  ptrdiff_t depth;
  ptrdiff_t depth_stride;
  ptrdiff_t columns;
  ptrdiff_t column_stride;
};

// One time step of one direction of an LSTM layer for `rows` records: backend.h has the equations.
// "padded" units are rounded up to a multiple of `lanes`.
struct LstmForwardStep {
  ptrdiff_t rows;
  ptrdiff_t inputs;
  ptrdiff_t units;
  const float* x;  // [rows, inputs], x_stride floats from one record to the next
  ptrdiff_t x_stride;
  const float* h;  // [rows, padded units]: of the step before
  float* h_next;   // the same, of this step
  float* c;        // [rows, padded units]: of the step before, then of this one
  float* y;        // [rows, units] with y_stride, or null: another copy of h_next
  ptrdiff_t y_stride;
  float* gates;  // [rows, 4, units], or null where nothing is saved
  float* cells;  // [rows, units]
};

// tanh of a step's cells, [rows, padded units], and its hidden state, which was not saved.
struct LstmHiddenState {
  ptrdiff_t rows;
  ptrdiff_t units;
  const float* gates;  // as saved
  const float* cells;
  float* tanh_cells;
  float* h;  // [rows, padded units] with h_stride, or null
  ptrdiff_t h_stride;
};

// The gradients of the four gates before their functions.
struct LstmBackwardStep {
  ptrdiff_t rows;
  ptrdiff_t units;
  const float* gates;           // as saved
  const float* previous_cells;  // of the step before in the direction's order; null: zeros
  const float* tanh_cells;
  const float* dy;  // [rows, units] with dy_stride, or null
  ptrdiff_t dy_stride;
  const float* dh;  // [rows, padded units]: what the later steps say
  float* dc;        // the same; then what this step says to the one before
  float* dgates;    // four times [rows, padded units], gate_stride apart
  ptrdiff_t gate_stride;
};

// "padded" columns are rounded up to a multiple of `lanes`.
struct SimdKernels {
  const char* name;
  ptrdiff_t lanes;
  // Writes b as panels of a few vectors' width, zero-padded: taps * depth * padded columns floats.
  void (*pack_panels)(const PanelSource& b, float* panels);
  // c[rows, padded columns] = a * panels + bias. bias: padded columns floats, or null for zeros.
  void (*multiply_windows)(const WindowRows& a, const float* panels, ptrdiff_t columns,
                           const float* bias, float* c, ptrdiff_t c_stride);
  // c[row, column] += sum over t < steps of a[t * a_stride + row] * b[t * b_stride + column], for
  // padded columns.
  void (*accumulate_outer)(const float* a, ptrdiff_t a_stride, ptrdiff_t rows, const float* b,
                           ptrdiff_t b_stride, ptrdiff_t columns, ptrdiff_t steps, float* c,
                           ptrdiff_t c_stride);
  // Channel by channel: c[row, i] = bias[i] + sum over taps of a(row, tap, i) * weight[tap *
  // weight_stride + i], for i < a.depth, a multiple of lanes. bias may be null.
  void (*multiply_channels)(const WindowRows& a, const float* weight, ptrdiff_t weight_stride,
                            const float* bias, float* c);
  // gradient[tap * gradient_stride + i] += sum over rows of a(row, tap, i) * dy[row, i]; the same
  // a.depth.
  void (*accumulate_channels)(const WindowRows& a, const float* dy, float* gradient,
                              ptrdiff_t gradient_stride);
  // y[i, c] = max(0, x[i * pool + j, c] over j < pool); winner: that j, the first among equals, or
  // `dead` where ReLU gives 0. The first NaN wins over every number. x: rows of x_stride floats.
  void (*relu_pool)(const float* x, ptrdiff_t x_stride, ptrdiff_t rows, ptrdiff_t pool,
                    ptrdiff_t columns, uint8_t dead, float* y, uint8_t* winner);
  // Its dual: dx[i * pool + j, c] = dy[i, c] where j is the winner, else 0, also in the columns of
  // dx's padding; bias_gradient[c] += dy[i, c] where alive.
  void (*relu_unpool)(const float* dy, const uint8_t* winner, ptrdiff_t rows, ptrdiff_t pool,
                      ptrdiff_t columns, float* dx, ptrdiff_t dx_stride, float* bias_gradient);
  // sum[c] += sum of x[i, c] over rows.
  void (*sum_rows)(const float* x, ptrdiff_t rows, ptrdiff_t columns, float* sum);
  // panels: for each vector of units (inputs + units) rows [4, lanes] of weights, input's first;
  // bias: [4, lanes] for each vector of units. Beyond the last unit both hold zeros.
  void (*lstm_forward_step)(const LstmForwardStep& step, const float* panels, const float* bias);
  void (*lstm_hidden_state)(const LstmHiddenState& state);
  void (*lstm_backward_step)(const LstmBackwardStep& step);
  // `rounds` times as many independent multiply-adds as the registers hold: the arithmetic peak
  // that a kernel's speed is measured against. *flops receives how many operations they were; the
  // returned value keeps them from being optimised away.
  float (*spin_multiply_add)(ptrdiff_t rounds, double* flops);
};

// The instruction sets that the kernels exist for, narrowest first. Null where the compiler's
// target has no such set.
extern const SimdKernels* const simd_baseline;
extern const SimdKernels* const simd_avx2;
extern const SimdKernels* const simd_avx512;

// What the kernels run with: the widest set that this CPU has, unless the environment variable
// CARDIOGRAD_SIMD names a narrower one (baseline, avx2, avx512).
const SimdKernels& simd_kernels();

// The set of that name, or null where this CPU or this build lacks it.
const SimdKernels* find_simd_kernels(const char* name);

}  // namespace cardiograd
