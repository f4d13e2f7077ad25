// BatchNorm over rows (Ioffe & Szegedy 2015) and LayerNorm over channels (Ba et al. 2016).
#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {

namespace {

using reference::check_channels;
using reference::check_same_shape;
using reference::Rows;
using reference::rows_of;

// Values at base, base + stride, ...: one normalised group.
struct Group {
  std::int64_t base = 0;
  std::int64_t stride = 1;
  std::int64_t count = 0;

  std::int64_t at(std::int64_t i) const { return base + i * stride; }
};

Group channel_group(const Rows& shape, std::int64_t c) { return {c, shape.channels, shape.rows}; }

Group row_group(const Rows& shape, std::int64_t row) {
  return {row * shape.channels, 1, shape.channels};
}

struct Moments {
  double mean = 0.0;
  double variance = 0.0;  // biased
};

Moments moments_of(const double* x, const Group& group) {
  Moments moments;
  const double count = group.count > 0 ? static_cast<double>(group.count) : 1.0;
  for (std::int64_t i = 0; i < group.count; ++i) moments.mean += x[group.at(i)] / count;
  for (std::int64_t i = 0; i < group.count; ++i) {
    const double deviation = x[group.at(i)] - moments.mean;
    moments.variance += deviation * deviation / count;
  }
  return moments;
}

// dx of y = (x - mean) inv_std where mean and inv_std are the group's own, g being dL/dy:
// dx = inv_std (g - mean(g) - y mean(g y)).
void normalise_backward(const double* x, const double* g, const Group& group, double mean,
                        double inv_std, double* dx) {
  double g_mean = 0.0;
  double gy_mean = 0.0;
  const auto count = static_cast<double>(group.count);
  for (std::int64_t i = 0; i < group.count; ++i) {
    g_mean += g[group.at(i)] / count;
    gy_mean += g[group.at(i)] * (x[group.at(i)] - mean) * inv_std / count;
  }
  for (std::int64_t i = 0; i < group.count; ++i) {
    const double y = (x[group.at(i)] - mean) * inv_std;
    dx[group.at(i)] = inv_std * (g[group.at(i)] - g_mean - y * gy_mean);
  }
}

// g = dy gamma, channel by channel.
std::vector<double> weighted(ConstView dy, ConstView gamma) {
  const Rows shape = rows_of(dy.dims);
  std::vector<double> g(static_cast<std::size_t>(dy.numel()));
  for (std::int64_t i = 0; i < dy.numel(); ++i) {
    g[static_cast<std::size_t>(i)] = dy.as<double>()[i] * gamma.as<double>()[i % shape.channels];
  }
  return g;
}

void check_affine(const Dims& x, const Dims& y, ConstView gamma, ConstView beta) {
  check_same_shape(x, y);
  check_channels(gamma.dims, rows_of(x).channels);
  check_channels(beta.dims, rows_of(x).channels);
}

// y = relu(y + residual), each where BatchNorm has it.
void add_and_cut(const BatchNormSpec& spec, ConstView residual, View y) {
  if (residual.present()) check_same_shape(residual.dims, y.dims);
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    double& value = y.as<double>()[i];
    if (residual.present()) value += residual.as<double>()[i];
    if (spec.relu && value <= 0.0) value = 0.0;
  }
}

// What ReLU leaves of dy, which is the residual's gradient too.
std::vector<double> cut_gradient(const BatchNormSpec& spec, ConstView y, ConstView dy,
                                 View dresidual) {
  if (spec.relu) check_same_shape(y.dims, dy.dims);
  std::vector<double> g(static_cast<std::size_t>(dy.numel()));
  for (std::int64_t i = 0; i < dy.numel(); ++i) {
    const bool dead = spec.relu && y.as<double>()[i] <= 0.0;
    g[static_cast<std::size_t>(i)] = dead ? 0.0 : dy.as<double>()[i];
  }
  if (dresidual.present()) {
    check_same_shape(dresidual.dims, dy.dims);
    std::copy(g.begin(), g.end(), dresidual.as<double>());
  }
  return g;
}

}  // namespace

void ReferenceBackend::batch_norm_training_forward(const BatchNormSpec& spec, ConstView x,
                                                   ConstView gamma, ConstView beta,
                                                   ConstView residual, View running_mean,
                                                   View running_var, View y, View mean,
                                                   View inv_std) {
  const Rows shape = rows_of(x.dims);
  check_affine(x.dims, y.dims, gamma, beta);
  for (const View& statistic : {running_mean, running_var, mean, inv_std}) {
    check_channels(statistic.dims, shape.channels);
  }
  for (std::int64_t c = 0; c < shape.channels; ++c) {
    const Group group = channel_group(shape, c);
    const Moments moments = moments_of(x.as<double>(), group);
    const double deviation = 1.0 / std::sqrt(moments.variance + spec.eps);
    mean.as<double>()[c] = moments.mean;
    inv_std.as<double>()[c] = deviation;
    for (std::int64_t i = 0; i < group.count; ++i) {
      const double normalised = (x.as<double>()[group.at(i)] - moments.mean) * deviation;
      y.as<double>()[group.at(i)] = normalised * gamma.as<double>()[c] + beta.as<double>()[c];
    }
    if (shape.rows == 0) continue;
    // One row has no unbiased variance; its biased one, 0, stands in.
    const double correction =
        shape.rows > 1 ? static_cast<double>(shape.rows) / static_cast<double>(shape.rows - 1)
                       : 1.0;
    double& mean_so_far = running_mean.as<double>()[c];
    double& variance_so_far = running_var.as<double>()[c];
    const double share = spec.momentum;
    mean_so_far = (1.0 - share) * mean_so_far + share * moments.mean;
    variance_so_far = (1.0 - share) * variance_so_far + share * moments.variance * correction;
  }
  add_and_cut(spec, residual, y);
}

void ReferenceBackend::batch_norm_training_backward(const BatchNormSpec& spec, ConstView x,
                                                    ConstView gamma, ConstView mean,
                                                    ConstView inv_std, ConstView y, ConstView dy,
                                                    View dx, View dresidual, View dgamma,
                                                    View dbeta) {
  const Rows shape = rows_of(x.dims);
  check_same_shape(x.dims, dx.dims);
  check_affine(x.dims, dy.dims, dgamma, dbeta);
  for (const ConstView& operand : {gamma, mean, inv_std}) {
    check_channels(operand.dims, shape.channels);
  }
  const std::vector<double> left = cut_gradient(spec, y, dy, dresidual);
  const ConstView cut(left.data(), DType::f64, dy.dims);
  const std::vector<double> g = weighted(cut, gamma);
  for (std::int64_t c = 0; c < shape.channels; ++c) {
    const Group group = channel_group(shape, c);
    const double centre = mean.as<double>()[c];
    const double deviation = inv_std.as<double>()[c];
    normalise_backward(x.as<double>(), g.data(), group, centre, deviation, dx.as<double>());
    double gamma_total = 0.0;
    double beta_total = 0.0;
    for (std::int64_t i = 0; i < group.count; ++i) {
      const double gradient = cut.as<double>()[group.at(i)];
      gamma_total += gradient * (x.as<double>()[group.at(i)] - centre) * deviation;
      beta_total += gradient;
    }
    dgamma.as<double>()[c] = gamma_total;
    dbeta.as<double>()[c] = beta_total;
  }
}

void ReferenceBackend::batch_norm_inference_forward(const BatchNormSpec& spec, ConstView x,
                                                    ConstView gamma, ConstView beta,
                                                    ConstView residual, ConstView running_mean,
                                                    ConstView running_var, View y) {
  const Rows shape = rows_of(x.dims);
  check_affine(x.dims, y.dims, gamma, beta);
  check_channels(running_mean.dims, shape.channels);
  check_channels(running_var.dims, shape.channels);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    const std::int64_t c = i % shape.channels;
    const double deviation = std::sqrt(running_var.as<double>()[c] + spec.eps);
    y.as<double>()[i] =
        (x.as<double>()[i] - running_mean.as<double>()[c]) / deviation * gamma.as<double>()[c] +
        beta.as<double>()[c];
  }
  add_and_cut(spec, residual, y);
}

void ReferenceBackend::batch_norm_inference_backward(const BatchNormSpec& spec, ConstView x,
                                                     ConstView gamma, ConstView running_mean,
                                                     ConstView running_var, ConstView y,
                                                     ConstView dy, View dx, View dresidual,
                                                     View dgamma, View dbeta) {
  const Rows shape = rows_of(x.dims);
  check_same_shape(x.dims, dx.dims);
  check_affine(x.dims, dy.dims, dgamma, dbeta);
  for (const ConstView& operand : {gamma, running_mean, running_var}) {
    check_channels(operand.dims, shape.channels);
  }
  const std::vector<double> left = cut_gradient(spec, y, dy, dresidual);
  for (std::int64_t c = 0; c < shape.channels; ++c) {
    const Group group = channel_group(shape, c);
    const double deviation = 1.0 / std::sqrt(running_var.as<double>()[c] + spec.eps);
    double gamma_total = 0.0;
    double beta_total = 0.0;
    for (std::int64_t i = 0; i < group.count; ++i) {
      const double gradient = left[static_cast<std::size_t>(group.at(i))];
      dx.as<double>()[group.at(i)] = gradient * gamma.as<double>()[c] * deviation;
      gamma_total +=
          gradient * (x.as<double>()[group.at(i)] - running_mean.as<double>()[c]) * deviation;
      beta_total += gradient;
    }
    dgamma.as<double>()[c] = gamma_total;
    dbeta.as<double>()[c] = beta_total;
  }
}

void ReferenceBackend::layer_norm_forward(ConstView x, ConstView gamma, ConstView beta, double eps,
                                          View y, View mean, View inv_std) {
  const Rows shape = rows_of(x.dims);
  check_affine(x.dims, y.dims, gamma, beta);
  CG_CHECK(mean.numel() == shape.rows && inv_std.numel() == shape.rows,
           "layer_norm keeps one mean and one inverse deviation a row of " + x.dims.to_string());
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    const Group group = row_group(shape, row);
    const Moments moments = moments_of(x.as<double>(), group);
    const double deviation = 1.0 / std::sqrt(moments.variance + eps);
    mean.as<double>()[row] = moments.mean;
    inv_std.as<double>()[row] = deviation;
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      y.as<double>()[group.at(c)] =
          (x.as<double>()[group.at(c)] - moments.mean) * deviation * gamma.as<double>()[c] +
          beta.as<double>()[c];
    }
  }
}

void ReferenceBackend::layer_norm_backward(ConstView x, ConstView gamma, ConstView mean,
                                           ConstView inv_std, ConstView dy, View dx, View dgamma,
                                           View dbeta) {
  const Rows shape = rows_of(x.dims);
  check_same_shape(x.dims, dx.dims);
  check_affine(x.dims, dy.dims, dgamma, dbeta);
  check_channels(gamma.dims, shape.channels);
  CG_CHECK(mean.numel() == shape.rows && inv_std.numel() == shape.rows,
           "layer_norm keeps one mean and one inverse deviation a row of " + x.dims.to_string());
  const std::vector<double> g = weighted(dy, gamma);
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    normalise_backward(x.as<double>(), g.data(), row_group(shape, row), mean.as<double>()[row],
                       inv_std.as<double>()[row], dx.as<double>());
  }
  for (std::int64_t c = 0; c < shape.channels; ++c) {
    double gamma_total = 0.0;
    double beta_total = 0.0;
    for (std::int64_t row = 0; row < shape.rows; ++row) {
      const std::int64_t at = row * shape.channels + c;
      const double normalised =
          (x.as<double>()[at] - mean.as<double>()[row]) * inv_std.as<double>()[row];
      gamma_total += dy.as<double>()[at] * normalised;
      beta_total += dy.as<double>()[at];
    }
    dgamma.as<double>()[c] = gamma_total;
    dbeta.as<double>()[c] = beta_total;
  }
}

}  // namespace cardiograd
