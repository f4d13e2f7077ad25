// Stand-ins for cuBLASLt and cuDNN on the emulator, whose memory is the host's: naive loops with
// the libraries' own orders of operands, and a plan of cuDNN's that is not deterministic. They show
// that the backend asks a library for the right thing and gives it the right operands; not that the
// real ones obey.
#include <algorithm>
#include <bit>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/cudnn.h"
#include "tests/emulator/device.h"
#include "tests/emulator/machine_state.h"

namespace cardiograd::cuda {
namespace {

// Storage whose values are rounded to TF32 when they are read.
struct Tf32 {
  float value;
  explicit Tf32(float v) : value(v) {}
  explicit operator float() const { return std::bit_cast<float>(tf32_bits(value)); }
};
// What is added but not multiplied is not rounded.
template <class T>
using Summand = std::conditional_t<std::is_same_v<T, Tf32>, float, T>;

// Calls f with the element type of a plan's factors.
template <class Plan, class F>
void with_factors(const Plan& plan, const F& f) {
  if (plan.dtype == DType::bf16) return f(BFloat16{});
  if (plan.math == MathMode::tf32) return f(Tf32(0.0F));
  f(0.0F);
}

// A value of any storage by its number; null stands for zeros.
template <class T>
double at(const void* data, std::int64_t i) {
  return data == nullptr ? 0.0
                         : static_cast<double>(static_cast<float>(static_cast<const T*>(data)[i]));
}
template <class T>
void put(void* data, std::int64_t i, double value) {
  static_cast<T*>(data)[i] = T(static_cast<float>(value));
}

template <class T>
void multiply(const ProductPlan& plan, const PlanOperands& o) {
  const auto place_of_a = [&](std::int64_t row, std::int64_t k) {
    return plan.a_along_depth ? row * plan.depth + k : k * plan.rows + row;
  };
  const auto b = [&](std::int64_t k, std::int64_t column) {
    return at<T>(o.in[1], plan.b_along_depth ? column * plan.depth + k : k * plan.columns + column);
  };
  const void* bias = plan.extra == ProductExtra::bias ? o.in[2] : nullptr;
  for (std::int64_t row = 0; row < plan.rows; ++row) {
    double sum_of_a = 0.0;
    for (std::int64_t k = 0; k < plan.depth; ++k) {
      sum_of_a += at<Summand<T>>(o.in[0], place_of_a(row, k));
    }
    if (plan.extra == ProductExtra::bias_gradient) put<T>(o.out[1], row, sum_of_a);
    for (std::int64_t column = 0; column < plan.columns; ++column) {
      double sum = at<Summand<T>>(bias, column);
      for (std::int64_t k = 0; k < plan.depth; ++k) {
        sum += at<T>(o.in[0], place_of_a(row, k)) * b(k, column);
      }
      put<T>(o.out[0], row * plan.columns + column, sum);
    }
  }
}

// Where elements lie in a plan's layout.
struct Places {
  const Conv1dShape& shape;
  bool channels_first;
  std::int64_t inputs = shape.inputs / shape.spec.groups;

  std::int64_t signal(std::int64_t record, std::int64_t step, std::int64_t channel,
                      std::int64_t steps, std::int64_t channels) const {
    const std::int64_t within = channels_first ? channel * steps + step : step * channels + channel;
    return record * steps * channels + within;
  }
  std::int64_t weight(std::int64_t out, std::int64_t tap, std::int64_t in) const {
    const std::int64_t within = channels_first ? in * shape.kernel + tap : tap * inputs + in;
    return out * shape.kernel * inputs + within;
  }
  std::int64_t channel_of_output(std::int64_t place) const {
    return channels_first ? place / shape.output_length % shape.outputs : place % shape.outputs;
  }
};

// Calls f with the places of x, weight and y that meet in a convolution.
template <class F>
void for_each_product(const Places& places, const F& f) {
  const Conv1dShape& shape = places.shape;
  const Conv1dSpec& spec = shape.spec;
  const std::int64_t outputs = shape.outputs / spec.groups;
  for (std::int64_t row = 0; row < shape.records * shape.output_length; ++row) {
    const std::int64_t record = row / shape.output_length, step = row % shape.output_length;
    for (std::int64_t out = 0; out < shape.outputs; ++out) {
      for (std::int64_t tap = 0; tap < shape.kernel; ++tap) {
        const std::int64_t from = step * spec.stride + tap * spec.dilation - spec.padding;
        if (from < 0 || from >= shape.length) continue;
        for (std::int64_t in = 0; in < places.inputs; ++in) {
          f(places.signal(record, from, out / outputs * places.inputs + in, shape.length,
                          shape.inputs),
            places.weight(out, tap, in),
            places.signal(record, step, out, shape.output_length, shape.outputs));
        }
      }
    }
  }
}

template <class T>
void convolve(const ConvolutionPlan& plan, const PlanOperands& o, double factor) {
  const Conv1dShape& shape = plan.shape;
  const Places places{shape, plan.layout == ConvolutionLayout::channels_first};
  const std::int64_t outputs = shape.records * shape.output_length * shape.outputs;
  std::vector<double> sums;
  switch (plan.pass) {
    case ConvolutionPass::forward:
      sums.resize(static_cast<std::size_t>(outputs));
      for (std::int64_t i = 0; i < outputs; ++i) {
        sums[static_cast<std::size_t>(i)] =
            at<Summand<T>>(plan.bias ? o.in[2] : nullptr, places.channel_of_output(i));
      }
      for_each_product(places, [&](auto x, auto w, auto y) {
        sums[static_cast<std::size_t>(y)] += at<T>(o.in[0], x) * at<T>(o.in[1], w);
      });
      break;
    case ConvolutionPass::data:
      sums.resize(static_cast<std::size_t>(shape.records * shape.length * shape.inputs));
      for_each_product(places, [&](auto x, auto w, auto y) {
        sums[static_cast<std::size_t>(x)] += at<T>(o.in[0], y) * at<T>(o.in[1], w);
      });
      break;
    case ConvolutionPass::weight:
      sums.resize(static_cast<std::size_t>(shape.outputs * shape.kernel * shape.inputs /
                                           shape.spec.groups));
      for_each_product(places, [&](auto x, auto w, auto y) {
        sums[static_cast<std::size_t>(w)] += at<T>(o.in[0], x) * at<T>(o.in[1], y);
      });
      break;
  }
  for (std::size_t i = 0; i < sums.size(); ++i) {
    if (plan.relu) sums[i] = std::max(sums[i], 0.0);
    put<T>(o.out[0], static_cast<std::int64_t>(i), factor * sums[i]);
  }
}

// A candidate that keeps its workspace to itself, as libraries do.
Candidate candidate(const std::string& name, std::function<void(const PlanOperands&)> run) {
  constexpr std::size_t bytes = 100;
  return {name, true, bytes, [run = std::move(run)](const PlanOperands& operands) {
            emulator::run_or_record([run, operands] {
              auto* workspace = static_cast<unsigned char*>(operands.workspace);
              std::fill(workspace, workspace + bytes, static_cast<unsigned char>(0xFF));
              run(operands);
              std::fill(workspace, workspace + bytes, static_cast<unsigned char>(0xFF));
            });
          }};
}

class NaiveProducts final : public CublasLt {
 public:
  std::vector<Candidate> products(const ProductPlan& plan, const void*) override {
    const std::string name =
        plan.extra == ProductExtra::bias_gradient ? "cublaslt-bgrad:0" : "cublaslt:0";
    return {candidate(name, [plan](const PlanOperands& operands) {
      with_factors(plan, [&](auto factor) { multiply<decltype(factor)>(plan, operands); });
    })};
  }
};

// Its second plan gives a little more at every call.
class NaiveConvolutions final : public Cudnn {
 public:
  std::vector<Candidate> convolutions(const ConvolutionPlan& plan) override {
    const auto run = [plan](const PlanOperands& operands, double factor) {
      with_factors(plan, [&](auto f) { convolve<decltype(f)>(plan, operands, factor); });
    };
    const std::string family = family_of(plan) + ":";
    Candidate loose = candidate(
        family + "1:engine1",
        [run, calls = std::make_shared<int>(0)](const auto& o) { run(o, 1.0 + 1e-5 * ++*calls); });
    loose.deterministic = false;
    return {candidate(family + "0:engine0", [run](const auto& o) { run(o, 1.0); }), loose};
  }
};

}  // namespace

std::unique_ptr<CublasLt> make_cublaslt(Stream) { return std::make_unique<NaiveProducts>(); }
std::unique_ptr<Cudnn> make_cudnn(Stream) { return std::make_unique<NaiveConvolutions>(); }

std::string cublaslt_version(std::string& why) {
  why = "the emulator has a stand-in for cuBLASLt";
  return "";
}
std::string cudnn_version(std::string& why) {
  why = "the emulator has a stand-in for cuDNN";
  return "";
}

}  // namespace cardiograd::cuda
