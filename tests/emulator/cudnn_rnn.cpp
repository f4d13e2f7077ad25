// A stand-in for cuDNN's recurrent layers on the emulator, whose memory is the host's: naive loops
// over a block of weights with gaps, in an order of its own, and a reserve that nobody else can
// read. One of its two plans refuses the gradient, as an algorithm may.
#include "kernels/cuda/cudnn_rnn.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <initializer_list>

#include "kernels/error.h"
#include "tests/emulator/machine_state.h"

namespace cardiograd::cuda {
namespace {

using Values = std::vector<double>;

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

RnnWeights spread_weights(const RnnShape& shape) {
  RnnWeights map;
  constexpr std::int64_t gap = 3;
  for (int gate = 3; gate >= 0; --gate) {
    const auto place = [&](std::int64_t& first, std::int64_t count) {
      first = map.size + gap;
      map.size = first + count;
    };
    place(map.bias_hh[gate], shape.units);
    place(map.hh[gate], shape.units * shape.units);
    place(map.bias_ih[gate], shape.units);
    place(map.ih[gate], shape.units * shape.inputs);
  }
  map.size += gap;
  return map;
}

void require_aligned(std::initializer_list<const void*> addresses) {
  for (const void* each : addresses) {
    if (std::bit_cast<std::uintptr_t>(each) % 16 != 0) {
      throw DeviceError("the stand-in for cuDNN was given an address that is not aligned");
    }
  }
}

template <class T>
class NaivePlan final : public RnnPlan {
 public:
  NaivePlan(const RnnShape& shape, bool has_gradient) : shape_(shape), has_gradient_(has_gradient) {
    name = has_gradient ? "cudnn:naive" : "cudnn:without-gradient";
    deterministic = true;
    weights = spread_weights(shape);
    workspace = 200;
    inference_workspace = 100;
    reserve = static_cast<std::size_t>(5 * shape.records * shape.length * shape.units) * 8;
  }

  void forward(const RnnForward& o) const override {
    emulator::run_or_record([this, o] { compute_forward(o); });
  }

  void backward(const RnnBackward& o) const override {
    if (!has_gradient_) throw DeviceError("the stand-in for cuDNN has no such gradient");
    emulator::run_or_record([this, o] { compute_backward(o); });
  }

 private:
  void compute_forward(const RnnForward& o) const {
    require_aligned({o.lengths, o.x, o.weights, o.y, o.last, o.workspace, o.reserve});
    require_lengths(o.lengths);
    scribble(o.workspace, o.reserve == nullptr ? inference_workspace : workspace);
    Values memory(o.reserve == nullptr ? reserve / 8 : 0);
    double* gates = o.reserve == nullptr ? memory.data() : static_cast<double*>(o.reserve);
    const auto w = [&](std::int64_t i) { return at(o.weights, i); };
    for (std::int64_t n = 0; n < shape_.records; ++n) {
      for (std::int64_t t = 0; t < shape_.length; ++t) {
        for (std::int64_t u = 0; u < shape_.units; ++u) {
          std::array<double, 4> sums{};
          for (int g = 0; g < 4; ++g) {
            double& sum = sums[static_cast<std::size_t>(g)];
            sum = w(weights.bias_ih[g] + u) + w(weights.bias_hh[g] + u);
            for (std::int64_t i = 0; i < shape_.inputs; ++i) {
              sum += w(weights.ih[g] + u * shape_.inputs + i) * at(o.x, x_at(n, t) + i);
            }
            for (std::int64_t j = 0; t > 0 && j < shape_.units; ++j) {
              sum += w(weights.hh[g] + u * shape_.units + j) * hidden(gates, n, t - 1, j);
            }
          }
          double* part = gates + 5 * (y_at(n, t) + u);
          for (int g = 0; g < 4; ++g) {
            const double sum = sums[static_cast<std::size_t>(g)];
            part[g] = g == 2 ? std::tanh(sum) : sigmoid(sum);
          }
          const double before = t > 0 ? gates[5 * (y_at(n, t - 1) + u) + 4] : 0.0;
          part[4] = part[1] * before + part[0] * part[2];
          put(o.y, y_at(n, t) + u, hidden(gates, n, t, u));
          if (o.last != nullptr) put(o.last, n * shape_.units + u, hidden(gates, n, t, u));
        }
      }
    }
  }

  void compute_backward(const RnnBackward& o) const {
    require_aligned(
        {o.lengths, o.x, o.y, o.dy, o.dlast, o.weights, o.dx, o.dweights, o.workspace, o.reserve});
    require_lengths(o.lengths);
    scribble(o.workspace, workspace);
    const auto* gates = static_cast<const double*>(o.reserve);
    Values sums(static_cast<std::size_t>(weights.size));
    for (std::int64_t i = 0; i < weights.size; ++i) {
      sums[static_cast<std::size_t>(i)] = at(o.dweights, i);
    }
    for (std::int64_t n = 0; n < shape_.records; ++n) backward_record(o, gates, n, sums);
    for (std::int64_t i = 0; i < weights.size; ++i) {
      put(o.dweights, i, sums[static_cast<std::size_t>(i)]);
    }
    scribble(o.reserve, reserve);
  }

  static double at(const void* data, std::int64_t i) {
    return static_cast<double>(static_cast<float>(static_cast<const T*>(data)[i]));
  }
  static void put(void* data, std::int64_t i, double value) {
    static_cast<T*>(data)[i] = T(static_cast<float>(value));
  }
  static void scribble(void* data, std::size_t bytes) {
    std::fill_n(static_cast<unsigned char*>(data), bytes, static_cast<unsigned char>(0xFF));
  }
  void require_lengths(const void* lengths) const {
    const auto* each = static_cast<const std::int32_t*>(lengths);
    if (std::count(each, each + shape_.records, shape_.length) != shape_.records) {
      throw DeviceError("the stand-in for cuDNN was given other lengths of sequences");
    }
  }
  std::int64_t x_at(std::int64_t n, std::int64_t t) const {
    return (n * shape_.length + t) * shape_.inputs;
  }
  std::int64_t y_at(std::int64_t n, std::int64_t t) const {
    return (n * shape_.length + t) * shape_.units;
  }
  // A unit's i, f, g, o and c lie side by side.
  double hidden(const double* gates, std::int64_t n, std::int64_t t, std::int64_t u) const {
    const double* part = gates + 5 * (y_at(n, t) + u);
    return part[3] * std::tanh(part[4]);
  }

  void backward_record(const RnnBackward& o, const double* gates, std::int64_t n,
                       Values& sums) const {
    Values dh(static_cast<std::size_t>(shape_.units)), dc(dh), dx;
    for (std::int64_t t = shape_.length - 1; t >= 0; --t) {
      Values before(dh.size());
      dx.assign(static_cast<std::size_t>(shape_.inputs), 0.0);
      for (std::int64_t u = 0; u < shape_.units; ++u) {
        const auto unit = static_cast<std::size_t>(u);
        const double* part = gates + 5 * (y_at(n, t) + u);
        const double dhidden =
            dh[unit] + at(o.dy, y_at(n, t) + u) +
            (t + 1 == shape_.length && o.dlast != nullptr ? at(o.dlast, n * shape_.units + u)
                                                          : 0.0);
        const double squashed = std::tanh(part[4]);
        const double dcell = dc[unit] + dhidden * part[3] * (1.0 - squashed * squashed);
        const double cell = t > 0 ? gates[5 * (y_at(n, t - 1) + u) + 4] : 0.0;
        const double d[4] = {dcell * part[2] * part[0] * (1.0 - part[0]),
                             dcell * cell * part[1] * (1.0 - part[1]),
                             dcell * part[0] * (1.0 - part[2] * part[2]),
                             dhidden * squashed * part[3] * (1.0 - part[3])};
        dc[unit] = dcell * part[1];
        for (int g = 0; g < 4; ++g) add_gate(o, n, t, u, g, d[g], dx, before, sums);
      }
      dh = before;
      for (std::int64_t i = 0; i < shape_.inputs; ++i) {
        put(o.dx, x_at(n, t) + i, dx[static_cast<std::size_t>(i)]);
      }
    }
  }

  void add_gate(const RnnBackward& o, std::int64_t n, std::int64_t t, std::int64_t u, int g,
                double d, Values& dx, Values& before, Values& sums) const {
    const auto sum = [&](std::int64_t i) -> double& { return sums[static_cast<std::size_t>(i)]; };
    sum(weights.bias_ih[g] + u) += d;
    sum(weights.bias_hh[g] + u) += d;
    for (std::int64_t i = 0; i < shape_.inputs; ++i) {
      const std::int64_t weight = weights.ih[g] + u * shape_.inputs + i;
      sum(weight) += d * at(o.x, x_at(n, t) + i);
      dx[static_cast<std::size_t>(i)] += d * at(o.weights, weight);
    }
    for (std::int64_t j = 0; j < shape_.units; ++j) {
      const std::int64_t weight = weights.hh[g] + u * shape_.units + j;
      if (t > 0) sum(weight) += d * at(o.y, y_at(n, t - 1) + j);
      before[static_cast<std::size_t>(j)] += d * at(o.weights, weight);
    }
  }

  RnnShape shape_;
  bool has_gradient_;
};

class NaiveRnn final : public CudnnRnn {
 public:
  std::vector<std::shared_ptr<const RnnPlan>> lstm(const RnnShape& shape) override {
    std::vector<std::shared_ptr<const RnnPlan>> plans;
    if (shape.inputs == 0) return plans;
    for (const bool has_gradient : {false, true}) {
      if (shape.dtype == DType::bf16) {
        plans.push_back(std::make_shared<const NaivePlan<BFloat16>>(shape, has_gradient));
      } else {
        plans.push_back(std::make_shared<const NaivePlan<float>>(shape, has_gradient));
      }
    }
    return plans;
  }
};

}  // namespace

std::unique_ptr<CudnnRnn> make_cudnn_rnn(Stream) { return std::make_unique<NaiveRnn>(); }

}  // namespace cardiograd::cuda
