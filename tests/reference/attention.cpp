// Attention by its definition: every score, every probability, one after the other.
#include <cmath>
#include <limits>
#include <vector>

#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {

namespace {

using reference::Sequence;

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Problem {
  const AttentionSpec& spec;
  const AttentionMasks& masks;
  Sequence q, k;
  std::int64_t head = 0;  // columns of one
  const double* queries = nullptr;
  const double* keys = nullptr;

  double scale() const { return 1.0 / std::sqrt(static_cast<double>(head)); }

  double score(std::int64_t n, std::int64_t h, std::int64_t i, std::int64_t j) const {
    if (spec.causal && j > i) return -infinity;
    if (masks.padding.present() && masks.padding.as<std::uint8_t>()[n * k.length + j]) {
      return -infinity;
    }
    double total = 0.0;
    for (std::int64_t c = h * head; c < (h + 1) * head; ++c) {
      total += queries[q.at(n, i, c)] * keys[k.at(n, j, c)];
    }
    const double added =
        masks.additive.present() ? masks.additive.as<double>()[i * k.length + j] : 0.0;
    return total * scale() + added;
  }

  // 0 or 1 / (1 - p).
  double factor(std::int64_t n, std::int64_t h, std::int64_t i, std::int64_t j) const {
    if (spec.dropout == 0.0) return 1.0;
    const std::int64_t record = masks.records.present() ? masks.records.as<std::int32_t>()[n] : n;
    const std::int64_t block = (h * q.length + i) * ((k.length + 3) / 4) + j / 4;
    const Philox::Words words =
        spec.key.draw(static_cast<std::uint32_t>(record), static_cast<std::uint32_t>(block));
    const bool keep = Philox::uniform(words[static_cast<std::size_t>(j % 4)]) >= spec.dropout;
    return keep ? 1.0 / (1.0 - spec.dropout) : 0.0;
  }

  // The probabilities of one query, all zeros where it sees no key; log_sum is theirs.
  std::vector<double> probabilities(std::int64_t n, std::int64_t h, std::int64_t i,
                                    double& log_sum) const {
    std::vector<double> p;
    double largest = -infinity;
    for (std::int64_t j = 0; j < k.length; ++j) {
      p.push_back(score(n, h, i, j));
      largest = std::max(largest, p.back());
    }
    log_sum = largest;
    if (largest == -infinity) return std::vector<double>(p.size(), 0.0);
    double total = 0.0;
    for (double& each : p) total += each = std::exp(each - largest);
    for (double& each : p) each /= total;
    log_sum = largest + std::log(total);
    return p;
  }
};

Problem problem_of(const AttentionSpec& spec, const AttentionMasks& masks, const ConstView& q,
                   const ConstView& k, const ConstView& v) {
  reference::check_same_shape(k.dims, v.dims);
  const Problem problem{spec,
                        masks,
                        reference::sequence_of(q.dims),
                        reference::sequence_of(k.dims),
                        q.dims[2] / spec.heads,
                        q.as<double>(),
                        k.as<double>()};
  CG_CHECK(problem.q.batch == problem.k.batch && problem.q.channels == problem.k.channels &&
               problem.head * spec.heads == problem.q.channels,
           "attention: shapes " + q.dims.to_string() + " and " + k.dims.to_string() +
               " do not fit " + std::to_string(spec.heads) + " heads");
  return problem;
}

// body(n, h, i) for every query of every head.
template <class Body>
void for_each_query(const Problem& problem, const Body& body) {
  for (std::int64_t n = 0; n < problem.q.batch; ++n) {
    for (std::int64_t h = 0; h < problem.spec.heads; ++h) {
      for (std::int64_t i = 0; i < problem.q.length; ++i) body(n, h, i);
    }
  }
}

}  // namespace

void ReferenceBackend::attention_forward(const AttentionSpec& spec, const AttentionMasks& masks,
                                         ConstView q, ConstView k, ConstView v, View y, View lse) {
  const Problem problem = problem_of(spec, masks, q, k, v);
  fill(y, 0.0);
  for_each_query(problem, [&](std::int64_t n, std::int64_t h, std::int64_t i) {
    double& log_sum = lse.as<double>()[(n * spec.heads + h) * problem.q.length + i];
    const std::vector<double> p = problem.probabilities(n, h, i, log_sum);
    for (std::int64_t j = 0; j < problem.k.length; ++j) {
      const double weight = p[static_cast<std::size_t>(j)] * problem.factor(n, h, i, j);
      for (std::int64_t c = h * problem.head; c < (h + 1) * problem.head; ++c) {
        y.as<double>()[problem.q.at(n, i, c)] += weight * v.as<double>()[problem.k.at(n, j, c)];
      }
    }
  });
}

// The probabilities are worked out anew: y and lse are left alone.
void ReferenceBackend::attention_backward(const AttentionSpec& spec, const AttentionMasks& masks,
                                          ConstView q, ConstView k, ConstView v, ConstView /*y*/,
                                          ConstView /*lse*/, ConstView dy, View dq, View dk,
                                          View dv) {
  const Problem problem = problem_of(spec, masks, q, k, v);
  for (const View& gradient : {dq, dk, dv}) fill(gradient, 0.0);
  for_each_query(problem, [&](std::int64_t n, std::int64_t h, std::int64_t i) {
    double log_sum = 0.0;
    const std::vector<double> p = problem.probabilities(n, h, i, log_sum);
    std::vector<double> dp(p.size(), 0.0);
    double mean = 0.0;
    for (std::size_t j = 0; j < p.size(); ++j) {
      const auto key = static_cast<std::int64_t>(j);
      const double factor = problem.factor(n, h, i, key);
      for (std::int64_t c = h * problem.head; c < (h + 1) * problem.head; ++c) {
        const double g = dy.as<double>()[problem.q.at(n, i, c)];
        dp[j] += factor * g * v.as<double>()[problem.k.at(n, key, c)];
        dv.as<double>()[problem.k.at(n, key, c)] += factor * p[j] * g;
      }
      mean += p[j] * dp[j];
    }
    for (std::size_t j = 0; j < p.size(); ++j) {
      const double ds = p[j] * (dp[j] - mean) * problem.scale();
      for (std::int64_t c = h * problem.head; c < (h + 1) * problem.head; ++c) {
        const std::int64_t at_q = problem.q.at(n, i, c);
        const std::int64_t at_k = problem.k.at(n, static_cast<std::int64_t>(j), c);
        dq.as<double>()[at_q] += ds * k.as<double>()[at_k];
        dk.as<double>()[at_k] += ds * q.as<double>()[at_q];
      }
    }
  });
}

}  // namespace cardiograd
