// The LSTM's inner loops of each instruction set against plain loops in double, and what the CPU's
// LSTM promises beyond its values.
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <omp.h>
#include <random>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/simd.h"
#include "kernels/lstm_saved.h"

namespace cardiograd {
namespace {

using Floats = std::vector<float>;

Floats random_floats(std::ptrdiff_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  Floats values(static_cast<std::size_t>(count));
  for (float& value : values) value = uniform(generator);
  return values;
}

std::size_t at(std::ptrdiff_t i) { return static_cast<std::size_t>(i); }
double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

class SimdLstm : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    kernels_ = find_simd_kernels(GetParam());
    if (kernels_ == nullptr) GTEST_SKIP() << GetParam() << " is missing on this CPU";
  }
  std::ptrdiff_t padded(std::ptrdiff_t units) const {
    return (units + kernels_->lanes - 1) / kernels_->lanes * kernels_->lanes;
  }
  // One unit of one record without inputs: its gates' sums are the biases. Returns h.
  float lone_unit(const std::vector<float>& sums, float& cell) const {
    Floats bias(at(4 * kernels_->lanes));
    for (std::size_t gate = 0; gate < 4; ++gate) bias[gate * at(kernels_->lanes)] = sums[gate];
    Floats c(at(kernels_->lanes)), h(c), h_next(c), panel(bias.size());
    c[0] = cell;
    LstmForwardStep step{};
    step.rows = step.units = 1;
    step.x = h.data();
    step.h = h.data();
    step.h_next = h_next.data();
    step.c = c.data();
    kernels_->lstm_forward_step(step, panel.data(), bias.data());
    cell = c[0];
    return h_next[0];
  }
  const SimdKernels* kernels_ = nullptr;
};

TEST_P(SimdLstm, StepsForward) {
  const std::ptrdiff_t lanes = kernels_->lanes;
  for (const std::ptrdiff_t units : {std::ptrdiff_t{1}, lanes, 2 * lanes + 3}) {
    for (const std::ptrdiff_t rows : {1, 2, 7, 13}) {
      const std::ptrdiff_t inputs = rows % 4;
      const std::ptrdiff_t wide = padded(units);
      const Floats panels = random_floats((inputs + units) * 4 * wide, 1);
      const Floats bias = random_floats(4 * wide, 2);
      const Floats x = random_floats(rows * (inputs + 2), 3);
      const Floats h = random_floats(rows * wide, 4);
      const Floats before = random_floats(rows * wide, 5);
      Floats c = before, h_next(h.size()), y(at(rows * (units + 1)), 7.0F);
      Floats gates(at(rows * 4 * units)), cells(at(rows * units));
      kernels_->lstm_forward_step(
          {rows, inputs, units, x.data(), inputs + 2, h.data(), h_next.data(), c.data(), y.data(),
           units + 1, gates.data(), cells.data()},
          panels.data(), bias.data());
      for (std::ptrdiff_t i = 0; i < rows * units; ++i) {
        const std::ptrdiff_t row = i / units;
        const std::ptrdiff_t unit = i % units;
        double sums[4];
        for (std::ptrdiff_t gate = 0; gate < 4; ++gate) {
          const std::ptrdiff_t column = gate * lanes + unit % lanes;
          const std::ptrdiff_t vector = unit / lanes;
          sums[gate] = bias[at(vector * 4 * lanes + column)];
          for (std::ptrdiff_t k = 0; k < inputs + units; ++k) {
            const double value =
                k < inputs ? x[at(row * (inputs + 2) + k)] : h[at(row * wide + k - inputs)];
            sums[gate] += value * panels[at((vector * (inputs + units) + k) * 4 * lanes + column)];
          }
          sums[gate] = gate == 2 ? std::tanh(sums[gate]) : sigmoid(sums[gate]);
          ASSERT_NEAR(gates[at((row * 4 + gate) * units + unit)], sums[gate], 2e-6);
        }
        const double cell = sums[1] * before[at(row * wide + unit)] + sums[0] * sums[2];
        ASSERT_NEAR(cells[at(i)], cell, 4e-6);
        ASSERT_EQ(c[at(row * wide + unit)], cells[at(i)]);
        ASSERT_NEAR(y[at(row * (units + 1) + unit)], sums[3] * std::tanh(cell), 4e-6);
        ASSERT_EQ(h_next[at(row * wide + unit)], y[at(row * (units + 1) + unit)]);
        ASSERT_EQ(y[at(row * (units + 1) + units)], 7.0F) << "a row's neighbour was written to";
      }
    }
  }
}

TEST_P(SimdLstm, StepsBackward) {
  for (const std::ptrdiff_t units : {std::ptrdiff_t{1}, kernels_->lanes, kernels_->lanes + 3}) {
    const std::ptrdiff_t rows = 3;
    const std::ptrdiff_t wide = padded(units);
    const Floats gates = random_floats(rows * 4 * units, 6);
    const Floats cells = random_floats(rows * units, 7);
    const Floats previous = random_floats(rows * units, 8);
    const Floats dy = random_floats(rows * units, 9);
    const Floats dh = random_floats(rows * wide, 10);
    const Floats dc_before = random_floats(rows * wide, 11);
    Floats tanh_cells(at(rows * wide)), h(tanh_cells), dc = dc_before, d(at(4 * rows * wide));
    kernels_->lstm_hidden_state(
        {rows, units, gates.data(), cells.data(), tanh_cells.data(), h.data(), wide});
    kernels_->lstm_backward_step({rows, units, gates.data(), previous.data(), tanh_cells.data(),
                                  dy.data(), units, dh.data(), dc.data(), d.data(), rows * wide});
    for (std::ptrdiff_t n = 0; n < rows * units; ++n) {
      const std::ptrdiff_t row = n / units;
      const std::ptrdiff_t unit = n % units;
      const std::ptrdiff_t at_padded = row * wide + unit;
      const auto gate = [&](std::ptrdiff_t g) {
        return static_cast<double>(gates[at((row * 4 + g) * units + unit)]);
      };
      const double i = gate(0), f = gate(1), g = gate(2), o = gate(3);
      const double squashed = std::tanh(static_cast<double>(cells[at(n)]));
      const double dh_all = static_cast<double>(dh[at(at_padded)]) + dy[at(n)];
      const double dc_all = dc_before[at(at_padded)] + dh_all * o * (1.0 - squashed * squashed);
      const double expected[4] = {dc_all * g * i * (1.0 - i),
                                  dc_all * previous[at(n)] * f * (1.0 - f),
                                  dc_all * i * (1.0 - g * g), dh_all * squashed * o * (1.0 - o)};
      for (std::ptrdiff_t each = 0; each < 4; ++each) {
        ASSERT_NEAR(d[at(each * rows * wide + at_padded)], expected[each], 4e-6) << each;
      }
      ASSERT_NEAR(h[at(at_padded)], o * squashed, 1e-6);
      ASSERT_NEAR(dc[at(at_padded)], dc_all * f, 2e-6);
    }
  }
}

TEST_P(SimdLstm, GateFunctionsKeepTheirRelativeAccuracy) {
  for (const float z : {-20.0F, -3.0F, -0.4F, -1e-3F, 1e-30F, 1e-6F, 0.3F, 0.36F, 1.0F, 5.0F}) {
    float cell = 0.0F;
    lone_unit({40.0F, 0.0F, z, 0.0F}, cell);  // the candidate alone
    EXPECT_NEAR(cell / std::tanh(static_cast<double>(z)), 1.0, 4e-7) << z;
    cell = 1.0F;
    lone_unit({0.0F, z, 0.0F, 0.0F}, cell);  // the forget gate alone
    EXPECT_NEAR(cell / sigmoid(z), 1.0, 4e-7) << z;
  }
}

TEST_P(SimdLstm, GatesBearInfinityAndPassNaNOn) {
  const float infinity = std::numeric_limits<float>::infinity();
  float cell = 0.5F;
  EXPECT_FLOAT_EQ(lone_unit({infinity, infinity, infinity, infinity}, cell),
                  static_cast<float>(std::tanh(1.5)));
  EXPECT_EQ(cell, 1.5F);
  EXPECT_NEAR(lone_unit({-infinity, -infinity, -infinity, -infinity}, cell), 0.0F, 1e-30F);
  for (std::size_t gate = 0; gate < 4; ++gate) {
    std::vector<float> sums(4);
    sums[gate] = std::nanf("");
    cell = 0.5F;
    EXPECT_TRUE(std::isnan(lone_unit(sums, cell))) << gate;
  }
}

INSTANTIATE_TEST_SUITE_P(Each, SimdLstm, testing::Values("baseline", "avx2", "avx512"),
                         [](const auto& test) { return std::string(test.param); });

// Output and gradients for one fixed input, with so many threads.
std::vector<Floats> step(int threads) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(threads);
  const auto backend = make_backend("cpu");
  std::vector<Floats> memory;
  memory.reserve(12);
  const auto make = [&](const Dims& dims) {
    memory.push_back(random_floats(dims.numel(), static_cast<unsigned>(memory.size())));
    return View{memory.back().data(), DType::f32, dims};
  };
  const View x = make({67, 19, 12}), weight_ih = make({80, 12}), weight_hh = make({80, 20});
  const View bias_ih = make({80}), bias_hh = make({80}), y = make({67, 19, 20});
  const View saved = make({lstm_parts_size(67, 19, 20)}), dx = make(x.dims);
  const View dweight_ih = make(weight_ih.dims), dweight_hh = make(weight_hh.dims);
  const View dbias_ih = make(bias_ih.dims), dbias_hh = make(bias_hh.dims);
  backend->lstm_forward({}, x, weight_ih, weight_hh, bias_ih, bias_hh, y, saved);
  backend->lstm_backward({}, x, weight_ih, weight_hh, saved, y, dx, dweight_ih, dweight_hh,
                         dbias_ih, dbias_hh);
  omp_set_num_threads(before);
  return memory;
}

TEST(CpuLstm, BitsDoNotDependOnTheThreadCount) {
  const std::vector<Floats> one = step(1);
  for (const int threads : {2, 3, 8}) EXPECT_EQ(step(threads), one) << threads;
}

TEST(CpuLstm, NamesShapesThatDoNotFit) {
  const auto backend = make_backend("cpu");
  Floats memory(64);
  const auto view = [&](const Dims& dims) { return View{memory.data(), DType::f32, dims}; };
  const auto error_of = [&](const Dims& weight_ih, const Dims& y, const Dims& saved) {
    try {
      backend->lstm_forward({}, view({2, 3, 2}), view(weight_ih), view({4, 1}), view({4}),
                            view({4}), view(y), view(saved));
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(error_of({4, 2}, {2, 3, 1}, {30}), "no error");
  EXPECT_NE(error_of({4, 3}, {2, 3, 1}, {30})
                .find("lstm: x [2, 3, 2], weight_ih [4, 3], weight_hh [4, 1] and y [2, 3, 1] do "
                      "not fit"),
            std::string::npos);
  EXPECT_NE(error_of({4, 2}, {2, 1}, {30}).find("do not fit"), std::string::npos);
  EXPECT_NE(error_of({4, 2}, {2, 3, 1}, {24}).find("saved has 5 L N H elements, 30, got [24]"),
            std::string::npos);
}

}  // namespace
}  // namespace cardiograd
