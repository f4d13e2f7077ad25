// Every operation of nn/ops.h, and small networks of them: the tape's gradients on the float64
// reference against central differences, (L(x + h) - L(x - h)) / 2h for L = sum of dy y with a
// random dy.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <set>

#include "nn/ops.h"
#include "nn/random.h"
#include "nn/shared_batch.h"
#include "nn/tape.h"
#include "tests/reference/reference_backend.h"
#include "tests/support/random_values.h"

namespace cardiograd {
namespace {

using testing::seed_of;
using testing::uniform_values;

constexpr double relative_error = 1e-6;

using Operands = std::vector<Tensor>;
using Function = std::function<Tensor(const Operands&)>;

// Where an operand's values come from. Kinks are avoided where they lie at 0 by values that keep
// away from it; elsewhere (maxima) no two values of a fixed draw come as near as a step.
enum class Draw { any, away_from_zero, positive };

struct Operand {
  Operand(std::initializer_list<std::int64_t> sizes, Draw how = Draw::any)
      : dims(sizes), draw(how) {}
  Dims dims;
  Draw draw;
};

struct GradientCase {
  std::string name;  // the function of nn/ops.h, then a space and what is special
  std::vector<Operand> operands;
  Function function;
  double step = 1e-5;
};

std::vector<double> draw_values(const Operand& operand, std::uint64_t seed) {
  std::vector<double> values = uniform_values(operand.dims.numel(), -1.0, 1.0, seed);
  for (double& value : values) {
    if (operand.draw == Draw::positive) value = 0.5 + std::fabs(value);
    if (operand.draw == Draw::away_from_zero) value += value < 0.0 ? -0.1 : 0.1;
  }
  return values;
}

// A tensor that takes no gradient: targets, running statistics.
Tensor constant(const Tensor& like, const Dims& dims, double low, double high) {
  return Tensor::from_host<double>(like.backend(), dims, DType::f64,
                                   uniform_values(dims.numel(), low, high, seed_of("constant")));
}

// ---- The cases ----------------------------------------------------------------------------------

using Cases = std::vector<GradientCase>;

void add_elementwise(Cases& cases) {
  const Function sum_of = [](const Operands& x) { return add(x[0], x[1]); };
  const Function product_of = [](const Operands& x) { return multiply(x[0], x[1]); };
  cases.insert(
      cases.end(),
      {
          {"add", {{3, 4}, {3, 4}}, sum_of},
          {"add row", {{2, 3, 4}, {4}}, sum_of},
          {"add column", {{3, 1}, {2, 3, 4}}, sum_of},
          {"add both stretched", {{3, 1}, {1, 4}}, sum_of},
          {"add scalar", {{2, 3}, {}}, sum_of},
          {"multiply", {{3, 4}, {3, 4}}, product_of},
          {"multiply row", {{2, 3, 4}, {4}}, product_of},
          {"multiply both stretched", {{2, 1, 4}, {3, 1}}, product_of},
          {"multiply scalar", {{}, {2, 3}}, product_of},
          {"multiply by itself", {{5}}, [](const Operands& x) { return multiply(x[0], x[0]); }},
          {"scale", {{3, 4}}, [](const Operands& x) { return scale(x[0], -2.5); }},
          // Linear but for float32's rounding, which this step is a multiple of.
          {"cast",
           {{3, 4}},
           [](const Operands& x) { return cast(cast(x[0], DType::f32), DType::f64); },
           0x1p-6},
      });
}

void add_shapes(Cases& cases) {
  cases.insert(
      cases.end(),
      {
          {"reshape",
           {{2, 6}},
           [](const Operands& x) {
             return reshape(x[0], {3, -1, 2});
           }},
          {"flatten", {{2, 3, 4}}, [](const Operands& x) { return flatten(x[0]); }},
          {"permute",
           {{2, 3, 4}},
           [](const Operands& x) {
             return permute(x[0], {2, 0, 1});
           }},
          {"permute negative axes",
           {{2, 3, 4}},
           [](const Operands& x) {
             return permute(x[0], {-1, 1, -3});
           }},
          {"slice", {{3, 7, 2}}, [](const Operands& x) { return slice(x[0], 1, 2, 4); }},
          {"slice last axis", {{3, 7}}, [](const Operands& x) { return slice(x[0], -1, 6, 1); }},
          {"concatenate",
           {{2, 3}, {2, 1}, {2, 4}},
           [](const Operands& x) { return concatenate(x, 1); }},
          {"concatenate first axis",
           {{2, 3}, {1, 3}},
           [](const Operands& x) { return concatenate(x, 0); }},
          {"concatenate with itself",
           {{2, 3}},
           [](const Operands& x) {
             return concatenate({x[0], x[0]}, -1);
           }},
      });
}

void add_reductions(Cases& cases) {
  cases.insert(
      cases.end(),
      {
          {"sum", {{2, 3, 4}}, [](const Operands& x) { return sum(x[0]); }},
          {"sum axes",
           {{2, 3, 4}},
           [](const Operands& x) {
             return sum(x[0], {0, -1});
           }},
          {"sum keepdim", {{2, 3, 4}}, [](const Operands& x) { return sum(x[0], {1}, true); }},
          {"mean", {{2, 3, 4}}, [](const Operands& x) { return mean(x[0]); }},
          {"mean axes", {{2, 3, 4}}, [](const Operands& x) { return mean(x[0], {1}); }},
          {"mean keepdim",
           {{2, 3, 4}},
           [](const Operands& x) {
             return mean(x[0], {-1, -2}, true);
           }},
          {"max", {{2, 5, 3}}, [](const Operands& x) { return max(x[0], 1); }},
          {"max keepdim", {{2, 5, 3}}, [](const Operands& x) { return max(x[0], -1, true); }},
      });
}

void add_activations(Cases& cases) {
  const std::vector<Operand> kinked{{{4, 5}, Draw::away_from_zero}};
  cases.insert(cases.end(),
               {
                   {"relu", kinked, [](const Operands& x) { return relu(x[0]); }},
                   {"leaky_relu", kinked, [](const Operands& x) { return leaky_relu(x[0], 0.2); }},
                   {"sigmoid", {{4, 5}}, [](const Operands& x) { return sigmoid(x[0]); }},
                   {"tanh", {{4, 5}}, [](const Operands& x) { return tanh(x[0]); }},
                   {"gelu", {{4, 5}}, [](const Operands& x) { return gelu(x[0]); }},
                   {"activate gelu_tanh",
                    {{4, 5}},
                    [](const Operands& x) { return activate(x[0], {ActivationKind::gelu_tanh}); }},
                   {"softmax", {{3, 6}}, [](const Operands& x) { return softmax(x[0]); }},
                   {"dropout",
                    {{4, 6, 3}},
                    [](const Operands& x) {
                      const RandomScope scope(11, 2);
                      return dropout(x[0], 0.4);
                    }},
                   {"dropout channel",
                    {{4, 6, 3}},
                    [](const Operands& x) {
                      const RandomScope scope(11, 2);
                      return dropout(x[0], 0.4, true);
                    }},
               });
}

void add_layers(Cases& cases) {
  const Function convolve = [](const Operands& x) {
    return conv1d(x[0], x[1], x[2], {.stride = 2, .padding = 2, .dilation = 2, .groups = 2});
  };
  cases.insert(
      cases.end(),
      {
          {"linear",
           {{4, 5}, {3, 5}, {3}},
           [](const Operands& x) { return linear(x[0], x[1], x[2]); }},
          {"linear without bias",
           {{4, 5}, {3, 5}},
           [](const Operands& x) { return linear(x[0], x[1], {}); }},
          {"linear on a sequence",
           {{2, 4, 5}, {3, 5}, {3}},
           [](const Operands& x) { return linear(x[0], x[1], x[2]); }},
          {"conv1d",
           {{2, 9, 3}, {4, 3, 5}, {5}},
           [](const Operands& x) { return conv1d(x[0], x[1], x[2]); }},
          {"conv1d of every kind", {{2, 11, 4}, {3, 2, 6}, {6}}, convolve},
          {"conv1d depthwise",
           {{2, 8, 3}, {5, 1, 3}, {3}},
           [](const Operands& x) { return conv1d(x[0], x[1], x[2], {.padding = 2, .groups = 3}); }},
          {"conv1d without bias",
           {{2, 9, 3}, {4, 3, 5}},
           [](const Operands& x) { return conv1d(x[0], x[1], {}); }},
          {"conv1d_relu_maxpool",
           {{2, 12, 3}, {4, 3, 5}, {5}},
           [](const Operands& x) {
             return conv1d_relu_maxpool(x[0], x[1], x[2], {.padding = 1}, 2);
           }},
          {"conv1d_relu_maxpool without bias",
           {{2, 12, 3}, {4, 3, 5}},
           [](const Operands& x) { return conv1d_relu_maxpool(x[0], x[1], {}, {}, 3); }},
          {"max_pool1d",
           {{2, 9, 3}},
           [](const Operands& x) {
             return max_pool1d(x[0], {2, 2, 0});
           }},
          {"max_pool1d overlapping",
           {{2, 9, 3}},
           [](const Operands& x) {
             return max_pool1d(x[0], {3, 2, 1});
           }},
          {"avg_pool1d",
           {{2, 9, 3}},
           [](const Operands& x) {
             return avg_pool1d(x[0], {2, 2, 0});
           }},
          {"avg_pool1d overlapping",
           {{2, 9, 3}},
           [](const Operands& x) {
             return avg_pool1d(x[0], {4, 3, 2});
           }},
          {"adaptive_avg_pool1d",
           {{2, 9, 3}},
           [](const Operands& x) { return adaptive_avg_pool1d(x[0], 4); }},
          {"adaptive_avg_pool1d to more",
           {{2, 3, 2}},
           [](const Operands& x) { return adaptive_avg_pool1d(x[0], 5); }},
      });
}

void add_attention(Cases& cases) {
  const std::vector<Operand> operands{{2, 5, 6}, {2, 4, 6}, {2, 4, 6}};
  const auto attention_of = [](const AttentionOptions& options) {
    return [options](const Operands& x) {
      AttentionOptions all = options;
      if (options.causal) {
        all.padding = Tensor::from_host<double>(x[0].backend(), {2, 4}, DType::u8,
                                                std::vector<double>{0, 1, 0, 0, 1, 0, 0, 1});
        all.mask = constant(x[0], {5, 4}, -1.0, 1.0);
      }
      const RandomScope scope(11, 2);
      return attention(x[0], x[1], x[2], all);
    };
  };
  const Function embedding_of = [](const Operands& x) {
    const std::vector<double> rows{0, 3, 3, 1, 0, 3};
    return embedding(Tensor::from_host<double>(x[0].backend(), {2, 3}, DType::i32, rows), x[0]);
  };
  cases.insert(
      cases.end(),
      {
          {"attention", operands, attention_of({.heads = 2})},
          {"attention with dropout", operands, attention_of({.heads = 3, .dropout = 0.3})},
          {"attention with every mask", operands, attention_of({.heads = 2, .causal = true})},
          {"attention of itself",
           {{2, 5, 6}},
           [](const Operands& x) { return attention(x[0], x[0], x[0], {.heads = 2}); }},
          {"embedding", {{4, 3}}, embedding_of},
          {"quantize ahead of an embedding",
           {{12, 2}},
           [](const Operands& x) {
             const Tensor values = constant(x[0], {2, 3, 3}, -1.5, 1.5);
             return embedding(quantize(values, {-1.0, 1.0, 4, 4}), x[0]);
           }},
          {"upsample_nearest",
           {{2, 4, 3}},
           [](const Operands& x) { return upsample_nearest(x[0], 3); }},
      });
}

void add_recurrent(Cases& cases) {
  for (const auto& [name, spec] :
       {std::pair{"lstm", LstmSpec{}}, std::pair{"lstm in reverse", LstmSpec{.reverse = true}},
        std::pair{"lstm to the last step", LstmSpec{.last_step = true}},
        std::pair{"lstm of both", LstmSpec{true, true}}}) {
    cases.push_back(
        {name, {{2, 5, 3}, {16, 3}, {16, 4}, {16}, {16}}, [spec = spec](const Operands& x) {
           return lstm(x[0], x[1], x[2], x[3], x[4], spec);
         }});
  }
}

void add_normalisations_and_losses(Cases& cases) {
  // A fourth operand is the residual.
  const auto batch_norm_of = [](bool training, bool relu = false) {
    return [=](const Operands& x) {
      const Dims channels = x[1].dims();
      const Tensor residual = x.size() > 3 ? x[3] : Tensor();
      return batch_norm(x[0], x[1], x[2], constant(x[0], channels, -0.5, 0.5),
                        constant(x[0], channels, 0.5, 2.0), {1e-3, 0.1, training, relu, residual});
    };
  };
  const auto loss_of = [](const BceSpec& spec, bool weighted) {
    return [=](const Operands& x) {
      const Tensor targets = constant(x[0], x[0].dims(), 0.0, 1.0);
      const Tensor weight = constant(x[0], {x[0].size(-1)}, 0.5, 3.0);
      return bce_with_logits(x[0], targets, weighted ? weight : Tensor(), spec);
    };
  };
  cases.insert(
      cases.end(),
      {
          {"batch_norm in training", {{2, 5, 3}, {3}, {3}}, batch_norm_of(true)},
          {"batch_norm of rows", {{6, 3}, {3}, {3}}, batch_norm_of(true)},
          {"batch_norm in evaluation", {{2, 5, 3}, {3}, {3}}, batch_norm_of(false)},
          {"batch_norm and relu", {{2, 5, 3}, {3}, {3}}, batch_norm_of(true, true)},
          {"batch_norm and residual", {{2, 5, 3}, {3}, {3}, {2, 5, 3}}, batch_norm_of(true)},
          {"batch_norm with residual and relu",
           {{2, 5, 3}, {3}, {3}, {2, 5, 3}},
           batch_norm_of(true, true)},
          {"batch_norm with residual and relu in evaluation",
           {{2, 5, 3}, {3}, {3}, {2, 5, 3}},
           batch_norm_of(false, true)},
          // One process that has the whole batch.
          {"batch_norm of a shared batch",
           {{2, 5, 3}, {3}, {3}},
           [batch_norm_of](const Operands& x) {
             const SharedBatchScope shared({[](const View&) {}, 2});
             return batch_norm_of(true)(x);
           }},
          {"batch_norm of a shared batch with residual and relu",
           {{2, 5, 3}, {3}, {3}, {2, 5, 3}},
           [batch_norm_of](const Operands& x) {
             const SharedBatchScope shared({[](const View&) {}, 2});
             return batch_norm_of(true, true)(x);
           }},
          {"batch_norm that is its own residual",
           {{2, 5, 3}, {3}, {3}},
           [batch_norm_of](const Operands& x) {
             const Tensor scaled = scale(x[0], 2.0);
             return batch_norm_of(true)({scaled, x[1], x[2], scaled});
           }},
          {"batch_norm and relu that is its own residual",
           {{2, 5, 3}, {3}, {3}},
           [batch_norm_of](const Operands& x) {
             const Tensor scaled = scale(x[0], 2.0);
             return batch_norm_of(true, true)({scaled, x[1], x[2], scaled});
           }},
          {"layer_norm",
           {{2, 3, 5}, {5}, {5}},
           [](const Operands& x) { return layer_norm(x[0], x[1], x[2], 1e-3); }},
          {"bce_with_logits", {{4, 5}}, loss_of({}, false)},
          {"bce_with_logits weighted", {{4, 5}}, loss_of({}, true)},
          {"bce_with_logits sum", {{4, 5}}, loss_of({Reduction::sum}, true)},
          {"bce_with_logits none", {{4, 5}}, loss_of({Reduction::none}, true)},
          {"bce_with_logits focal",
           {{4, 5}},
           loss_of({Reduction::sum, 0.1, 2.0, 1.5, 0.0, 0.25, 0.75}, true)},
      });
}

// Names in brackets: no single function.
void add_graphs(Cases& cases) {
  cases.insert(
      cases.end(),
      {
          {"(network)",
           {{3, 10, 2}, {3, 2, 4}, {4}, {5, 16}, {5}, {5}, {5}},
           [](const Operands& x) {
             const Tensor pooled = max_pool1d(relu(conv1d(x[0], x[1], x[2])), {2, 2, 0});
             const Tensor features = layer_norm(linear(flatten(pooled), x[3], x[4]), x[5], x[6]);
             return bce_with_logits(features, constant(x[0], {3, 5}, 0.0, 1.0));
           }},
          {"(diamond)",
           {{3, 4}},
           [](const Operands& x) {
             const Tensor shared = tanh(x[0]);
             return multiply(add(shared, sigmoid(shared)), scale(shared, 3.0));
           }},
          {"(diamond of reshapes)",
           {{3, 4}},
           [](const Operands& x) {
             const Tensor shared = gelu(x[0]);
             return add(flatten(shared), multiply(reshape(shared, {3, 4}), shared));
           }},
          {"(weight used twice)",
           {{3, 4}, {4, 4}, {4}},
           [](const Operands& x) { return linear(tanh(linear(x[0], x[1], x[2])), x[1], x[2]); }},
          {"(residual)",
           {{2, 6, 3}, {3, 3, 3}, {3}},
           [](const Operands& x) { return add(conv1d(x[0], x[1], x[2], {.padding = 1}), x[0]); }},
      });
}

Cases all_cases() {
  Cases cases;
  add_elementwise(cases);
  add_shapes(cases);
  add_reductions(cases);
  add_activations(cases);
  add_layers(cases);
  add_attention(cases);
  add_recurrent(cases);
  add_normalisations_and_losses(cases);
  add_graphs(cases);
  return cases;
}

// ---- The check ----------------------------------------------------------------------------------

// One case on one backend: its operands' values, and its cotangent.
class Problem {
 public:
  Problem(const GradientCase& gradient_case, const std::shared_ptr<Backend>& backend)
      : case_(gradient_case), backend_(backend) {
    for (std::size_t i = 0; i < case_.operands.size(); ++i) {
      values_.push_back(draw_values(case_.operands[i], seed_of(case_.name) + i));
    }
    const NoGradScope no_grad;
    dims_ = case_.function(make_operands({})).dims();
    cotangent_ = uniform_values(dims_.numel(), -1.0, 1.0, seed_of(case_.name) + 100);
  }

  // Gradients of the operands `wanted`; empty for the others.
  std::vector<std::vector<double>> gradients(const std::set<std::size_t>& wanted) const {
    const Operands operands = make_operands(wanted);
    case_.function(operands).backward(
        Tensor::from_host<double>(backend_, dims_, DType::f64, cotangent_));
    std::vector<std::vector<double>> result(operands.size());
    for (std::size_t i : wanted) result[i] = operands[i].grad().to_vector<double>();
    return result;
  }

  std::vector<double> differences(std::size_t operand) {
    std::vector<double> result;
    for (double& value : values_[operand]) {
      const double middle = value;
      value = middle + case_.step;
      const double above = loss();
      value = middle - case_.step;
      const double below = loss();
      value = middle;
      result.push_back((above - below) / (2.0 * case_.step));
    }
    return result;
  }

  std::size_t operands() const { return values_.size(); }

 private:
  Operands make_operands(const std::set<std::size_t>& wanted) const {
    Operands result;
    for (std::size_t i = 0; i < values_.size(); ++i) {
      result.push_back(
          Tensor::from_host<double>(backend_, case_.operands[i].dims, DType::f64, values_[i]));
      result.back().set_requires_grad(wanted.contains(i));
    }
    return result;
  }

  double loss() const {
    const NoGradScope no_grad;
    const std::vector<double> y = case_.function(make_operands({})).to_vector<double>();
    double total = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) total += cotangent_[i] * y[i];
    return total;
  }

  const GradientCase& case_;
  std::shared_ptr<Backend> backend_;
  std::vector<std::vector<double>> values_;
  Dims dims_;
  std::vector<double> cotangent_;
};

// What is wrong with one gradient, or nothing. The error is relative to the largest element.
std::string compare(const std::vector<double>& gradient, const std::vector<double>& difference) {
  double largest = 0.0;
  double error = 0.0;
  for (std::size_t i = 0; i < difference.size(); ++i) {
    largest = std::max(largest, std::fabs(difference[i]));
    const double off = std::fabs(gradient[i] - difference[i]);
    if (!(off <= error)) error = off;  // a NaN stays
  }
  if (largest > 0.0 && error <= relative_error * largest) return "";
  return "is off by " + std::to_string(error / largest) + " of its largest element";
}

std::string check(const GradientCase& gradient_case, const std::shared_ptr<Backend>& backend) {
  Problem problem(gradient_case, backend);
  std::set<std::size_t> all;
  for (std::size_t i = 0; i < problem.operands(); ++i) all.insert(i);
  const auto together = problem.gradients(all);
  for (std::size_t i : all) {
    const std::string operand = "the gradient of operand " + std::to_string(i) + " ";
    const std::string wrong = compare(together[i], problem.differences(i));
    if (!wrong.empty()) return operand + wrong;
    if (problem.gradients({i})[i] != together[i]) {
      return operand + "is another where the others are not wanted";
    }
  }
  return "";
}

// ---- The tests ----------------------------------------------------------------------------------

TEST(Gradient, AgreesWithCentralDifferences) {
  const auto backend = make_reference_backend();
  for (const GradientCase& gradient_case : all_cases()) {
    EXPECT_EQ(check(gradient_case, backend), "") << gradient_case.name;
  }
}

TEST(Gradient, HasACaseForEveryFunctionOfTheHeader) {
  std::set<std::string> tested;
  for (const GradientCase& gradient_case : all_cases()) {
    tested.insert(gradient_case.name.substr(0, gradient_case.name.find(' ')));
  }
  std::ifstream header(CARDIOGRAD_SOURCE_DIR "/nn/ops.h");
  std::set<std::string> declared;
  const std::string type = "Tensor ";
  for (std::string line; std::getline(header, line);) {
    if (line.rfind(type, 0) == 0) {
      declared.insert(line.substr(type.size(), line.find('(') - type.size()));
    }
  }
  EXPECT_GE(declared.size(), 29U);
  for (const std::string& name : declared) {
    EXPECT_TRUE(tested.contains(name)) << name << " has no case here";
  }
  for (const std::string& name : tested) {
    EXPECT_TRUE(declared.contains(name) || name.front() == '(') << name << " is not in nn/ops.h";
  }
}

// A gradient that is wrong by five in a million.
class SlightlyWrong : public ReferenceBackend {
 public:
  void layer_norm_backward(ConstView x, ConstView gamma, ConstView mean, ConstView inv_std,
                           ConstView dy, View dx, View dgamma, View dbeta) override {
    ReferenceBackend::layer_norm_backward(x, gamma, mean, inv_std, dy, dx, dgamma, dbeta);
    scale(dgamma, 1.0 + 5e-6, dgamma);
  }
  void activation_backward(const Activation& activation, ConstView x, ConstView y, ConstView dy,
                           View dx) override {
    ReferenceBackend::activation_backward(activation, x, y, dy, dx);
    dx.as<double>()[0] = std::nan("");
  }
};

TEST(Gradient, APlantedErrorIsFound) {
  const auto backend = std::make_shared<SlightlyWrong>();
  std::set<std::string> wrong;
  for (const GradientCase& gradient_case : all_cases()) {
    if (!check(gradient_case, backend).empty()) wrong.insert(gradient_case.name);
  }
  EXPECT_EQ(wrong, (std::set<std::string>{"layer_norm", "relu", "leaky_relu", "sigmoid", "tanh",
                                          "gelu", "activate gelu_tanh", "(network)", "(diamond)",
                                          "(diamond of reshapes)", "(weight used twice)"}));
}

// x^2 whose backward forgets the 2.
struct WrongSquareOp {
  static constexpr std::string_view name = "wrong square";
  Tensor x;
  void backward(const Tensor& dy, Gradients& gradients) {
    dy.backend()->multiply(dy.view(), x.view(), gradients.target(0).view());
  }
};

TEST(Gradient, AWrongOperationIsFound) {
  const GradientCase wrong{"wrong square", {{3}}, [](const Operands& x) {
                             Tensor y = multiply(x[0], x[0]).detach();
                             record(y, {x[0]}, WrongSquareOp{x[0]});
                             return y;
                           }};
  EXPECT_EQ(check(wrong, make_reference_backend()),
            "the gradient of operand 0 is off by 0.500000 of its largest element");
}

}  // namespace
}  // namespace cardiograd
