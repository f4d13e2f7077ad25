// The inner loops of the LSTM, part of simd_kernels.inl: inside each instruction set's namespace.

// ---- Gate functions -----------------------------------------------------------------------------

// 2^n and e^r - 1 for x = n ln 2 + r, |r| <= ln 2 / 2; the polynomial is vector_math.h's. |x| must
// stay below 88. The difference from 1 is kept, so that tanh is accurate near zero.
struct ExpParts {
  Vector power;
  Vector rest;
};
inline ExpParts exp_parts(Vector x) {
  constexpr float to_integer = 12582912.0F;  // 1.5 * 2^23: adding it rounds to the nearest integer
  const Vector shifted = x * 1.44269504F + to_integer;
  const Vector n = shifted - to_integer;
  const Vector r = (x - n * 0.693145752F) - n * 1.42860677e-6F;
  Vector p = Vector{} + 1.3814309e-3F;
  p = p * r + 8.368856e-3F;
  p = p * r + 4.16684e-2F;
  p = p * r + 0.1666652F;
  p = p * r + 0.49999994F;
  // The low bits of `shifted` are n: shifted to the exponent, the rest of to_integer falls off.
  const IntVector exponent = ((IntVector)shifted << 23) + (127 << 23);
  return {(Vector)exponent, (p * r) * r + r};
}

inline Vector clamp(Vector x, float bound) {
  const Vector high = Vector{} + bound;
  x = x > high ? high : x;
  return x < -high ? -high : x;  // NaN stays
}

inline Vector sigmoid(Vector x) {
  const ExpParts e = exp_parts(clamp(-x, 87.0F));
  return 1.0F / (1.0F + (e.power * e.rest + e.power));
}

// (e^2x - 1) / (e^2x + 1); it rounds to 1 beyond 9.02.
inline Vector tanh(Vector x) {
  const ExpParts e = exp_parts(clamp(x, 10.0F) * 2.0F);
  const Vector difference = e.power * e.rest + (e.power - 1.0F);
  return difference / (difference + 2.0F);
}

// ---- Vectors that may hang over the end of a row ------------------------------------------------

inline Vector load_some(const float* p, ptrdiff_t count) {
  if (count >= lanes) return load(p);
  Vector v{};
  for (ptrdiff_t i = 0; i < count; ++i) v[i] = p[i];
  return v;
}

inline void store_some(float* p, ptrdiff_t count, Vector v) {
  if (count >= lanes) return store(p, v);
  for (ptrdiff_t i = 0; i < count; ++i) p[i] = v[i];
}

// ---- One time step ------------------------------------------------------------------------------

constexpr int gates = 4;

// sums[r][gate] += a[r * stride + k] * panel[k][gate] over k < depth; returns the panel's end.
template <int R>
const float* multiply_gates(const float* a, ptrdiff_t stride, ptrdiff_t depth, const float* panel,
                            Vector (&sums)[R][gates]) {
  for (ptrdiff_t k = 0; k < depth; ++k) {
    Vector weights[gates];
#pragma GCC unroll 4
    for (int g = 0; g < gates; ++g) weights[g] = load(panel + g * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const float value = a[r * stride + k];
#pragma GCC unroll 4
      for (int g = 0; g < gates; ++g) sums[r][g] += weights[g] * value;
    }
    panel += gates * lanes;
  }
  return panel;
}

// R records from `row`, the vector of units from `unit`: all four gates stay in registers.
template <int R>
void lstm_forward_block(const LstmForwardStep& step, ptrdiff_t row, ptrdiff_t unit,
                        const float* panel, const float* bias) {
  const ptrdiff_t padded = round_up(step.units);
  Vector sums[R][gates];
#pragma GCC unroll 4
  for (int g = 0; g < gates; ++g) {
    const Vector start = load(bias + g * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) sums[r][g] = start;
  }
  panel = multiply_gates<R>(step.x + row * step.x_stride, step.x_stride, step.inputs, panel, sums);
  multiply_gates<R>(step.h + row * padded, padded, step.units, panel, sums);
  const ptrdiff_t count = step.units - unit;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const ptrdiff_t at = (row + r) * padded + unit;
    const Vector input = sigmoid(sums[r][0]);
    const Vector forget = sigmoid(sums[r][1]);
    const Vector candidate = tanh(sums[r][2]);
    const Vector output = sigmoid(sums[r][3]);
    const Vector cell = forget * load(step.c + at) + input * candidate;
    const Vector hidden = output * tanh(cell);
    store(step.c + at, cell);
    store(step.h_next + at, hidden);
    if (step.y) store_some(step.y + (row + r) * step.y_stride + unit, count, hidden);
    if (step.gates == nullptr) continue;
    float* saved = step.gates + (row + r) * gates * step.units + unit;
    store_some(saved, count, input);
    store_some(saved + step.units, count, forget);
    store_some(saved + 2 * step.units, count, candidate);
    store_some(saved + 3 * step.units, count, output);
    store_some(step.cells + (row + r) * step.units + unit, count, cell);
  }
}

template <int R>
void lstm_forward_rows(ptrdiff_t rows, const LstmForwardStep& step, ptrdiff_t row, ptrdiff_t unit,
                       const float* panel, const float* bias) {
  if constexpr (R > 1) {
    if (rows < R) return lstm_forward_rows<R - 1>(rows, step, row, unit, panel, bias);
  }
  lstm_forward_block<R>(step, row, unit, panel, bias);
}

// All records meet one panel before the next, so that it stays in the first-level cache.
void lstm_forward_step(const LstmForwardStep& step, const float* panels, const float* bias) {
  constexpr int most = CARDIOGRAD_SIMD_ROWS_4;
  for (ptrdiff_t unit = 0; unit < step.units; unit += lanes) {
    ptrdiff_t blocks = (step.rows + most - 1) / most;
    for (ptrdiff_t row = 0; row < step.rows; --blocks) {
      const ptrdiff_t rows = (step.rows - row + blocks - 1) / blocks;
      lstm_forward_rows<most>(rows, step, row, unit, panels, bias);
      row += rows;
    }
    panels += (step.inputs + step.units) * gates * lanes;
    bias += gates * lanes;
  }
}

void lstm_hidden_state(const LstmHiddenState& state) {
  const ptrdiff_t padded = round_up(state.units);
  for (ptrdiff_t row = 0; row < state.rows; ++row) {
    for (ptrdiff_t unit = 0; unit < state.units; unit += lanes) {
      const ptrdiff_t count = state.units - unit;
      const Vector squashed = tanh(load_some(state.cells + row * state.units + unit, count));
      store(state.tanh_cells + row * padded + unit, squashed);
      if (state.h == nullptr) continue;
      const float* output = state.gates + (row * gates + 3) * state.units + unit;
      store(state.h + row * state.h_stride + unit, load_some(output, count) * squashed);
    }
  }
}

void lstm_backward_step(const LstmBackwardStep& step) {
  const ptrdiff_t padded = round_up(step.units);
  for (ptrdiff_t row = 0; row < step.rows; ++row) {
    for (ptrdiff_t unit = 0; unit < step.units; unit += lanes) {
      const ptrdiff_t count = step.units - unit;
      const ptrdiff_t at = row * padded + unit;
      const float* saved = step.gates + row * gates * step.units + unit;
      const Vector input = load_some(saved, count);
      const Vector forget = load_some(saved + step.units, count);
      const Vector candidate = load_some(saved + 2 * step.units, count);
      const Vector output = load_some(saved + 3 * step.units, count);
      const Vector squashed = load(step.tanh_cells + at);
      Vector dh = load(step.dh + at);
      if (step.dy) dh += load_some(step.dy + row * step.dy_stride + unit, count);
      const Vector dc = load(step.dc + at) + dh * output * (1.0F - squashed * squashed);
      Vector previous{};
      if (step.previous_cells) {
        previous = load_some(step.previous_cells + row * step.units + unit, count);
      }
      float* dgates = step.dgates + at;
      store(dgates, dc * candidate * (input * (1.0F - input)));
      store(dgates + step.gate_stride, dc * previous * (forget * (1.0F - forget)));
      store(dgates + 2 * step.gate_stride, dc * input * (1.0F - candidate * candidate));
      store(dgates + 3 * step.gate_stride, dh * squashed * (output * (1.0F - output)));
      store(step.dc + at, dc * forget);
    }
  }
}
