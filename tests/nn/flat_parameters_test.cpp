// Flat parameters: groups of weight decay, frozen parameters, accumulation, buckets, bf16.
#include "nn/flat_parameters.h"

#include <cstdint>
#include <functional>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "nn/layers.h"
#include "nn/tape.h"
#include "tests/reference/reference_backend.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;
using Values = std::vector<double>;
using Names = std::vector<std::string>;

class CountingBackend : public ReferenceBackend {
 public:
  void linear_backward_data(ConstView dy, ConstView weight, View dx) override {
    ++data_gradients;
    ReferenceBackend::linear_backward_data(dy, weight, dx);
  }
  void linear_backward_weight(ConstView x, ConstView dy, View dweight, View dbias) override {
    ++weight_gradients;
    ReferenceBackend::linear_backward_weight(x, dy, dweight, dbias);
  }
  int data_gradients = 0;
  int weight_gradients = 0;
};

// Four layers of width 8, of which the second is used twice and the last one not at all.
class Network : public Module {
 public:
  explicit Network(const BuildContext& context)
      : first(context, 8, 8),
        shared(context, 8, 8),
        norm(context, 8),
        head(context, 8, 8),
        unused(context, 8, 8) {
    register_module("first", first);
    register_module("shared", shared);
    register_module("norm", norm);
    register_module("head", head);
    register_module("unused", unused);
  }
  Tensor operator()(const Tensor& x) const {
    return sum(head(norm(shared(relu(shared(first(x)))))));
  }

  Linear first, shared;
  LayerNorm norm;
  Linear head, unused;
};

// The identity, which notes when backward passes it.
struct NoteOp {
  static constexpr std::string_view name = "note";
  std::function<void()> note;
  void backward(const Tensor& dy, Gradients& gradients) {
    note();
    gradients.give(0, dy);
  }
};

class Flat : public ::testing::Test {
 protected:
  Tensor input(double scale = 1.0) const {
    Values values(3 * 8);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = scale * (static_cast<double>(i * i % 11) - 4.5);
    }
    return Tensor::from_host<double>(backend_, {3, 8}, DType::f64, values);
  }
  static Names names(const FlatParameters& flat) {
    Names result;
    for (const FlatParameters::Span& span : flat.spans()) result.push_back(span.name);
    return result;
  }

  std::shared_ptr<CountingBackend> backend_ = std::make_shared<CountingBackend>();
  TorchGenerator random_{3};
  Network network_{{backend_, DType::f64, &random_}};
};

// ---- Memory

TEST_F(Flat, BuffersLieWhereTheyAreWanted) {
  std::vector<std::shared_ptr<Values>> given;
  std::vector<std::size_t> wanted;
  const Values before = network_.head.weight.to_vector<double>();
  const FlatParameters flat(network_, {.memory = [&](std::size_t bytes) {
                              given.push_back(std::make_shared<Values>(1024, 7.0));
                              wanted.push_back(bytes);
                              return std::shared_ptr<void>(given.back(), given.back()->data());
                            }});
  const Tensor beside = flat.zeros();
  EXPECT_EQ(wanted, std::vector<std::size_t>(3, flat.values().view().bytes()));
  const std::vector<Tensor> buffers{flat.values(), flat.gradients(), beside};
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    ASSERT_EQ(buffers[i].view().data, given[i]->data());
    EXPECT_EQ(given[i]->at(wanted[i] / sizeof(double)), 7.0) << "written beyond its end";
  }
  EXPECT_EQ(beside.to_vector<double>(), Values(static_cast<std::size_t>(beside.numel()), 0.0));
  EXPECT_EQ(network_.head.weight.to_vector<double>(), before);
  network_(input()).backward();
  EXPECT_EQ(network_.head.bias.grad().view().data,
            given[1]->data() + flat.span_of(network_.head.bias)->offset);
  EXPECT_EQ(network_.head.bias.grad().to_vector<double>(), Values(8, 3.0));
}

TEST_F(Flat, BuffersHaveMemoryOfTheirOwnWhereNoneIsGiven) {
  const FlatParameters flat(network_, {.memory = [](std::size_t) { return nullptr; }});
  network_(input()).backward();
  EXPECT_EQ(network_.head.bias.grad().to_vector<double>(), Values(8, 3.0));
}

// ---- Weight decay

TEST_F(Flat, DecayGroupsPutBiasesAndNormsBehind) {
  const FlatParameters flat(network_, {.decay_groups = true});
  EXPECT_EQ(names(flat),
            (Names{"first.weight", "shared.weight", "head.weight", "unused.weight", "first.bias",
                   "shared.bias", "norm.weight", "norm.bias", "head.bias", "unused.bias"}));
  EXPECT_EQ(flat.decayed(), 4 * 64);
  EXPECT_EQ(flat.spans()[4].offset, flat.decayed());
}

TEST_F(Flat, WithoutDecayGroupsTheOrderStaysAndAllDecays) {
  const FlatParameters flat(network_);
  EXPECT_EQ(names(flat)[1], "first.bias");
  EXPECT_EQ(flat.decayed(), flat.values().numel());
}

// ---- Frozen parameters

TEST_F(Flat, FrozenParametersStayOutAndCostNothing) {
  FlatParameters flat(network_, {.frozen = {"first.*", "?ead.bias"}});
  EXPECT_EQ(names(flat), (Names{"shared.weight", "shared.bias", "norm.weight", "norm.bias",
                                "head.weight", "unused.weight", "unused.bias"}));
  EXPECT_FALSE(network_.first.weight.requires_grad());
  EXPECT_FALSE(network_.head.bias.requires_grad());
  flat.zero_grad();
  network_(input()).backward();
  EXPECT_FALSE(network_.first.weight.grad().defined());
  EXPECT_FALSE(network_.head.bias.grad().defined());
  EXPECT_TRUE(network_.shared.weight.grad().defined());
  EXPECT_EQ(backend_->weight_gradients, 3) << "head, and shared twice";
  EXPECT_EQ(backend_->data_gradients, 2) << "head, and the later use of shared";
}

TEST_F(Flat, AFrozenLayerBetweenTrainedOnesPassesTheGradientOn) {
  FlatParameters flat(network_, {.frozen = {"head.*"}});
  flat.zero_grad();
  network_(input()).backward();
  EXPECT_EQ(backend_->weight_gradients, 3) << "first, and shared twice";
  EXPECT_EQ(backend_->data_gradients, 3) << "head, and shared twice";
}

TEST_F(Flat, APatternThatFitsNothingIsRefused) {
  EXPECT_EQ(error_of([&] {
              FlatParameters(network_, {.frozen = {"first.*", "sharde.weight"}});
            }),
            "no parameter fits the frozen \"sharde.weight\"; the nearest name is "
            "\"shared.weight\"");
  EXPECT_EQ(error_of([&] { FlatParameters(network_, {.frozen = {"z*"}}); }),
            "no parameter fits the frozen \"z*\"; the first of the names is \"first.weight\"");
  EXPECT_EQ(error_of([&] { FlatParameters(network_, {.frozen = {"*"}}); }),
            "all parameters are frozen: nothing is left to train");
}

// ---- Accumulation

TEST_F(Flat, BackwardPassesAddUpUntilZeroGrad) {
  FlatParameters flat(network_);
  const auto gradients_of = [&](const std::vector<double>& scales) {
    flat.zero_grad();
    for (double scale : scales) network_(input(scale)).backward();
    flat.finish_gradients();
    return flat.gradients().to_vector<double>();
  };
  const Values first = gradients_of({1.0});
  const Values second = gradients_of({-0.5});
  const Values both = gradients_of({1.0, -0.5});
  for (std::size_t i = 0; i < both.size(); ++i) {
    EXPECT_NEAR(both[i], first[i] + second[i], 1e-12) << i;
  }
  EXPECT_EQ(gradients_of({1.0}), first);
}

TEST_F(Flat, AParameterUnderTwoNamesIsThereOnce) {
  class Tied : public Module {
   public:
    explicit Tied(const BuildContext& context) : linear(context, 4, 4) {
      register_module("linear", linear);
      register_parameter("again", linear.weight);
    }
    Linear linear;
  };
  const Tied tied({backend_, DType::f64, &random_});
  FlatParameters flat(tied);
  EXPECT_EQ(names(flat), (Names{"again", "linear.bias"}));
  const Tensor ones = Tensor::full(backend_, {1, 4}, DType::f64, 1.0);
  sum(tied.linear(tied.linear(ones))).backward();
  flat.finish_gradients();
  EXPECT_EQ(FlatParameters::part(flat.gradients(), flat.spans()[0]).to_vector<double>(),
            tied.linear.weight.grad().to_vector<double>());
}

// ---- Buckets

// What a stand-in for the all-reduce hears.
struct Report {
  std::int64_t first = 0;
  std::int64_t count = 0;
  Values content;
};

class Buckets : public Flat {
 protected:
  void listen(FlatParameters& flat) {
    flat.on_ready([this, &flat](std::int64_t first, std::int64_t count) {
      reports_.push_back(
          {first, count, flat.gradients().window(first, {count}).to_vector<double>()});
    });
  }
  // The input, through an operation that backward passes last of all.
  Tensor noted_input() {
    Tensor x = input();
    x.set_requires_grad(true);
    const Tensor y = x.detach();
    record(y, {x}, NoteOp{[this] { before_the_end_ = reports_.size(); }});
    return y;
  }
  // Every element once, each with its final value.
  void expect_complete(const FlatParameters& flat) const {
    const Values last = flat.gradients().to_vector<double>();
    std::vector<int> reported(last.size(), 0);
    for (const Report& report : reports_) {
      for (std::int64_t i = 0; i < report.count; ++i) {
        const auto at = static_cast<std::size_t>(report.first + i);
        ++reported.at(at);
        EXPECT_EQ(report.content[static_cast<std::size_t>(i)], last[at]) << "element " << at;
      }
    }
    EXPECT_EQ(reported, std::vector<int>(last.size(), 1));
  }

  std::vector<Report> reports_;
  std::size_t before_the_end_ = 0;
};

TEST_F(Buckets, AreReportedOnceWhenTheyAreFinal) {
  for (const bool decay_groups : {false, true}) {
    for (const std::int64_t bytes : {1, 600, 1200, 1 << 20}) {
      FlatParameters flat(network_, {.decay_groups = decay_groups, .bucket_bytes = bytes});
      listen(flat);
      for (int step = 0; step < 2; ++step) {
        reports_.clear();
        flat.zero_grad();
        flat.backward(network_(noted_input()));
        const std::size_t early = reports_.size();
        EXPECT_EQ(before_the_end_, early) << "all but the input was complete before";
        flat.finish_gradients();
        flat.finish_gradients();
        expect_complete(flat);
        EXPECT_EQ(network_.unused.weight.grad().to_vector<double>(), Values(64, 0.0));
        if (bytes == 1) {
          EXPECT_EQ(reports_.size(), flat.spans().size());
          EXPECT_EQ(early, reports_.size() - 2) << "only `unused` waits for finish_gradients";
        }
      }
    }
  }
}

TEST_F(Buckets, ComeInTheOrderOfBackwardAndBeforeItsEnd) {
  FlatParameters flat(network_, {.bucket_bytes = 1});
  listen(flat);
  std::size_t before_first = 0;
  const auto note = [&](const Tensor& x) {
    const Tensor y = x.detach();
    record(y, {x}, NoteOp{[&] { before_first = reports_.size(); }});
    return y;
  };
  const Tensor hidden = network_.shared(relu(network_.shared(note(network_.first(input())))));
  flat.zero_grad();
  flat.backward(sum(network_.head(network_.norm(hidden))));
  const auto offset = [&](std::size_t span) { return flat.spans()[span].offset; };
  std::vector<std::int64_t> order;
  for (const Report& report : reports_) order.push_back(report.first);
  // Both inputs of one operation are complete together: weight before bias, as it lists them.
  EXPECT_EQ(order, (std::vector<std::int64_t>{offset(6), offset(7), offset(4), offset(5), offset(2),
                                              offset(3), offset(0), offset(1)}));
  EXPECT_EQ(before_first, 6U) << "head, norm and shared, but not first";
}

TEST_F(Buckets, FireInTheLastPassOfAnAccumulationAlone) {
  FlatParameters flat(network_, {.bucket_bytes = 1});
  listen(flat);
  flat.zero_grad();
  flat.backward(network_(input()), false);
  flat.backward(network_(input(0.5)), false);
  EXPECT_EQ(reports_.size(), 0U);
  flat.backward(network_(input(2.0)));
  EXPECT_EQ(reports_.size(), 8U);
  flat.finish_gradients();
  expect_complete(flat);
  const std::string text = error_of([&] { flat.backward(network_(input())); });
  EXPECT_EQ(text.substr(0, text.rfind(" (nn/")),
            "backward() after the last pass of this step: call zero_grad() first, or say last_pass "
            "= false in all passes but the last");
  flat.zero_grad();
  flat.backward(network_(input()));
}

// A gradient that only an earlier pass contributed to is final, but nobody could know.
TEST_F(Buckets, WhatTheLastPassDoesNotReachWaitsForTheEnd) {
  FlatParameters flat(network_, {.bucket_bytes = 1});
  listen(flat);
  flat.zero_grad();
  flat.backward(network_(input()), false);
  flat.backward(sum(network_.head(input())));
  EXPECT_EQ(reports_.size(), 2U);
  flat.finish_gradients();
  expect_complete(flat);
}

TEST_F(Buckets, WithoutACallOfBackwardAllComeAtTheEnd) {
  FlatParameters flat(network_, {.bucket_bytes = 600});
  listen(flat);
  flat.zero_grad();
  network_(input()).backward();
  EXPECT_EQ(reports_.size(), 0U);
  flat.finish_gradients();
  expect_complete(flat);
}

TEST_F(Buckets, NeverMixTheGroupsOfWeightDecay) {
  FlatParameters flat(network_, {.decay_groups = true, .bucket_bytes = 1 << 20});
  listen(flat);
  flat.finish_gradients();
  ASSERT_EQ(reports_.size(), 2U);
  EXPECT_EQ(reports_[0].first, flat.decayed());
  EXPECT_EQ(reports_[1].first + reports_[1].count, flat.decayed());
}

// ---- bf16

TEST(FlatBf16, HasF32CopiesOfBf16Values) {
  const std::shared_ptr<Backend> backend = make_backend("cpu");
  TorchGenerator random(3);
  const Linear linear({backend, DType::bf16, &random}, 5, 3);
  const std::vector<float> before = linear.weight.to_vector<float>();
  FlatParameters flat(linear);
  EXPECT_EQ(flat.values().dtype(), DType::bf16);
  EXPECT_EQ(flat.gradients().dtype(), DType::bf16);
  EXPECT_EQ(flat.master().dtype(), DType::f32);
  EXPECT_EQ(FlatParameters::part(flat.master(), flat.spans()[0]).to_vector<float>(), before);
  backend->fill(linear.weight.view(), 0.5);
  flat.refresh_master();
  EXPECT_EQ(FlatParameters::part(flat.master(), flat.spans()[0]).to_vector<float>(),
            std::vector<float>(15, 0.5F));
}

TEST_F(Flat, OtherDtypesAreTheirOwnMaster) {
  const FlatParameters flat(network_);
  EXPECT_EQ(flat.master().view().data, flat.values().view().data);
}

}  // namespace
}  // namespace cardiograd
