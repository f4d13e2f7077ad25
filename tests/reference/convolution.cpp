// conv1d, and its fusion with ReLU and max-pooling, composed from the parts.
#include <vector>

#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {

namespace {

using reference::Sequence;
using reference::sequence_of;

struct ConvShape {
  Sequence x;
  Sequence y;
  std::int64_t kernel = 0;
  std::int64_t group_inputs = 0;
};

ConvShape check_conv(const Conv1dSpec& spec, const Dims& x, const Dims& weight, const Dims& y) {
  CG_CHECK(spec.stride > 0 && spec.dilation > 0 && spec.groups > 0 && spec.padding >= 0,
           "a convolution's stride, dilation and groups are positive, its padding not negative");
  CG_CHECK(weight.rank() == 3 && weight[0] > 0,
           "a convolution's weight is [k, Ci / groups, Co], got " + weight.to_string());
  const ConvShape shape{sequence_of(x), sequence_of(y), weight[0], weight[1]};
  CG_CHECK(shape.x.channels == shape.group_inputs * spec.groups && weight[2] % spec.groups == 0 &&
               shape.y.channels == weight[2] && shape.y.batch == shape.x.batch &&
               shape.y.length == spec.output_length(shape.x.length, shape.kernel),
           "conv1d: x " + x.to_string() + ", weight " + weight.to_string() + " and y " +
               y.to_string() + " do not fit");
  return shape;
}

// Visits every product of the definition: visit(offset in x, in weight, in y), for
// y[n, t, o] = sum over j, i of x[n, t stride + j dilation - padding, group(o) Ci/groups + i] *
// weight[j, i, o].
template <class Visit>
void for_each_product(const Conv1dSpec& spec, const ConvShape& shape, Visit visit) {
  for (std::int64_t n = 0; n < shape.y.batch; ++n) {
    for (std::int64_t t = 0; t < shape.y.length; ++t) {
      for (std::int64_t o = 0; o < shape.y.channels; ++o) {
        const std::int64_t group = o / (shape.y.channels / spec.groups);
        for (std::int64_t j = 0; j < shape.kernel; ++j) {
          const std::int64_t at = t * spec.stride + j * spec.dilation - spec.padding;
          if (at < 0 || at >= shape.x.length) continue;
          for (std::int64_t i = 0; i < shape.group_inputs; ++i) {
            visit(shape.x.at(n, at, group * shape.group_inputs + i),
                  (j * shape.group_inputs + i) * shape.y.channels + o, shape.y.at(n, t, o));
          }
        }
      }
    }
  }
}

void set_zero(View y) {
  for (std::int64_t i = 0; i < y.numel(); ++i) y.as<double>()[i] = 0.0;
}

// The dims of the convolution whose maxima over windows of `pool` steps are `pooled`.
Dims check_pooled(const Conv1dSpec& spec, std::int64_t pool, const Dims& x, const Dims& weight,
                  const Dims& pooled, const Dims& winner) {
  CG_CHECK(pool >= 1 && pool <= Backend::conv_relu_pool_dead,
           "the fused pooling window lies in 1 .. 255, got " + std::to_string(pool));
  CG_CHECK(weight.rank() == 3,
           "a convolution's weight is [k, Ci / groups, Co], got " + weight.to_string());
  const Sequence shape = sequence_of(x);
  const Dims full{shape.batch, spec.output_length(shape.length, weight[0]), weight[2]};
  CG_CHECK(pooled == Dims({full[0], full[1] / pool, full[2]}) && winner == pooled,
           "conv1d_relu_maxpool: y " + pooled.to_string() + " and winner " + winner.to_string() +
               " do not fit the convolution's " + full.to_string());
  return full;
}

}  // namespace

void ReferenceBackend::conv1d_forward(const Conv1dSpec& spec, ConstView x, ConstView weight,
                                      ConstView bias, View y) {
  const ConvShape shape = check_conv(spec, x.dims, weight.dims, y.dims);
  if (bias.present()) reference::check_channels(bias.dims, shape.y.channels);
  const double* from = x.as<double>();
  const double* taps = weight.as<double>();
  double* to = y.as<double>();
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    to[i] = bias.present() ? bias.as<double>()[i % shape.y.channels] : 0.0;
  }
  for_each_product(spec, shape, [&](std::int64_t in_x, std::int64_t in_weight, std::int64_t in_y) {
    to[in_y] += from[in_x] * taps[in_weight];
  });
}

void ReferenceBackend::conv1d_backward_data(const Conv1dSpec& spec, ConstView dy, ConstView weight,
                                            View dx) {
  const ConvShape shape = check_conv(spec, dx.dims, weight.dims, dy.dims);
  const double* gradient = dy.as<double>();
  const double* taps = weight.as<double>();
  double* to = dx.as<double>();
  set_zero(dx);
  for_each_product(spec, shape, [&](std::int64_t in_x, std::int64_t in_weight, std::int64_t in_y) {
    to[in_x] += gradient[in_y] * taps[in_weight];
  });
}

void ReferenceBackend::conv1d_backward_weight(const Conv1dSpec& spec, ConstView x, ConstView dy,
                                              View dweight, View dbias) {
  const ConvShape shape = check_conv(spec, x.dims, dweight.dims, dy.dims);
  const double* from = x.as<double>();
  const double* gradient = dy.as<double>();
  double* to = dweight.as<double>();
  set_zero(dweight);
  for_each_product(spec, shape, [&](std::int64_t in_x, std::int64_t in_weight, std::int64_t in_y) {
    to[in_weight] += gradient[in_y] * from[in_x];
  });
  if (!dbias.present()) return;
  reference::check_channels(dbias.dims, shape.y.channels);
  set_zero(dbias);
  for (std::int64_t i = 0; i < dy.numel(); ++i) {
    dbias.as<double>()[i % shape.y.channels] += gradient[i];
  }
}

void ReferenceBackend::conv1d_relu_maxpool_forward(const Conv1dSpec& spec, std::int64_t pool,
                                                   ConstView x, ConstView weight, ConstView bias,
                                                   View y, View winner) {
  const Dims full = check_pooled(spec, pool, x.dims, weight.dims, y.dims, winner.dims);
  std::vector<double> convolved(static_cast<std::size_t>(full.numel()));
  std::vector<double> rectified(convolved.size());
  std::vector<std::int32_t> step(static_cast<std::size_t>(y.numel()));
  const View convolution{convolved.data(), DType::f64, full};
  const View activation{rectified.data(), DType::f64, full};
  conv1d_forward(spec, x, weight, bias, convolution);
  activation_forward({ActivationKind::relu}, convolution, activation);
  max_pool1d_forward({pool, pool, 0}, activation, y, {step.data(), DType::i32, y.dims});
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    const bool dead = y.as<double>()[i] == 0.0;
    winner.as<std::uint8_t>()[i] =
        dead ? conv_relu_pool_dead
             : static_cast<std::uint8_t>(step[static_cast<std::size_t>(i)] % pool);
  }
}

void ReferenceBackend::conv1d_relu_maxpool_backward(const Conv1dSpec& spec, std::int64_t pool,
                                                    ConstView x, ConstView weight, ConstView winner,
                                                    ConstView dy, View dx, View dweight,
                                                    View dbias) {
  const Dims full = check_pooled(spec, pool, x.dims, weight.dims, dy.dims, winner.dims);
  std::vector<double> gradient(static_cast<std::size_t>(full.numel()), 0.0);
  const Sequence shape = sequence_of(full);
  const Sequence pooled = sequence_of(dy.dims);
  for (std::int64_t n = 0; n < pooled.batch; ++n) {
    for (std::int64_t t = 0; t < pooled.length; ++t) {
      for (std::int64_t c = 0; c < pooled.channels; ++c) {
        const std::uint8_t won = winner.as<std::uint8_t>()[pooled.at(n, t, c)];
        if (won == conv_relu_pool_dead) continue;
        CG_CHECK(won < pool, "winner " + std::to_string(won) + " lies outside its window");
        gradient[static_cast<std::size_t>(shape.at(n, t * pool + won, c))] =
            dy.as<double>()[pooled.at(n, t, c)];
      }
    }
  }
  const ConstView dconvolution(gradient.data(), DType::f64, full);
  if (dx.present()) conv1d_backward_data(spec, dconvolution, weight, dx);
  conv1d_backward_weight(spec, x, dconvolution, dweight, dbias);
}

}  // namespace cardiograd
