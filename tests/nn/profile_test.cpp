// Profiles: which layer, operation and pass each time belongs to.
#include "nn/profile.h"

#include <gtest/gtest.h>
#include <optional>
#include <set>
#include <thread>
#include <tuple>
#include <utility>

#include "nn/layers.h"
#include "nn/optimizer.h"
#include "nn/tape.h"

namespace cardiograd {
namespace {

// conv -> relu -> linear, the latter two in a block.
struct Block final : Module {
  explicit Block(const BuildContext& context) : fc(context, 6, 2) { register_module("fc", fc); }
  Tensor operator()(const Tensor& x) const {
    const LayerScope scope(*this);
    return fc(flatten(relu(x)));
  }
  Linear fc;
};
struct Small final : Module {
  explicit Small(const BuildContext& context) : conv(context, 2, 3, 3), block(context) {
    register_module("conv", conv);
    register_module("blocks.0", block);
  }
  Tensor operator()(const Tensor& x) const { return sum(block(conv(x))); }
  Conv1d conv;
  Block block;
};

// The model, its optimizer and a step.
class Training {
 public:
  explicit Training(const std::shared_ptr<Backend>& backend)
      : random_(0),
        model_({backend, DType::f32, &random_}),
        parameters_(model_),
        optimizer_(optimizer_defaults("sgd"), parameters_),
        x_(Tensor::full(backend, {4, 4, 2}, DType::f32, 0.5)) {}

  void step() {
    parameters_.zero_grad();
    loss().backward();
    optimizer_.step();
  }
  std::vector<float> weights() const { return parameters_.values().to_vector<float>(); }

 private:
  Tensor loss() const {
    const PassScope pass(Pass::forward);
    return model_(x_);
  }

  TorchGenerator random_;
  Small model_;
  FlatParameters parameters_;
  Optimizer optimizer_;
  Tensor x_;
};

using Where = std::tuple<std::string, std::string, Pass, double>;

std::set<Where> places(const ProfileReport& report) {
  std::set<Where> found;
  for (const ProfileRow& row : report.rows) {
    found.emplace(row.layer, row.operation, row.pass, row.calls);
  }
  return found;
}

TEST(ModulePath, IsTheNameInStateDict) {
  const auto backend = make_backend("cpu");
  TorchGenerator random(0);
  const BuildContext context{backend, DType::f32, &random};
  const Small model(context);
  EXPECT_STREQ(model.path(), "");
  EXPECT_STREQ(model.conv.path(), "conv");
  EXPECT_STREQ(model.block.path(), "blocks.0");
  EXPECT_STREQ(model.block.fc.path(), "blocks.0.fc");
}

TEST(Profile, KnowsLayerOperationAndPass) {
  const auto [profile, backend] = profiled(make_backend("cpu"));
  Training training(backend);
  constexpr int counted = 4;
  for (int i = 0; i < Profile::first_steps + counted; ++i) {
    profile->begin_step();
    training.step();
    profile->end_step();
  }
  const ProfileReport report = profile->report();
  EXPECT_EQ(report.steps, counted);
  EXPECT_EQ(report.skipped, Profile::first_steps);
  const std::set<Where> expected{
      {"conv", "conv1d_forward", Pass::forward, 1.0},
      {"blocks.0", "activation_forward", Pass::forward, 1.0},
      {"blocks.0.fc", "linear_forward", Pass::forward, 1.0},
      {"", "sum", Pass::forward, 1.0},
      {"", "fill", Pass::backward, 1.0},  // the seed
      {"", "expand", Pass::backward, 1.0},
      {"blocks.0.fc", "linear_backward_weight", Pass::backward, 1.0},
      {"blocks.0.fc", "linear_backward_data", Pass::backward, 1.0},
      {"blocks.0", "activation_backward", Pass::backward, 1.0},
      {"conv", "conv1d_backward_weight", Pass::backward, 1.0},
      {"", "fill", Pass::update, 1.0},  // the number of the step
      {"", "optimizer_step", Pass::update, 1.0},
  };
  EXPECT_EQ(places(report), expected);
  double sum = 0.0;
  for (const ProfileRow& row : report.rows) {
    EXPECT_GE(row.microseconds, 0.0) << row.operation;
    sum += row.microseconds;
  }
  EXPECT_GT(sum, 0.0);
  EXPECT_LE(sum, report.step_microseconds);
  EXPECT_NEAR(report.between_microseconds(), report.step_microseconds - sum, 1e-6);
}

TEST(Profile, ChangesNoBit) {
  const auto [profile, backend] = profiled(make_backend("cpu"));
  Training timed(backend), plain(make_backend("cpu"));
  for (int i = 0; i < 5; ++i) {
    profile->begin_step();
    timed.step();
    profile->end_step();
    plain.step();
  }
  EXPECT_EQ(timed.weights(), plain.weights());
}

// A clock by which operation number n takes n + 1 microseconds.
class CountingClock final : public OperationClock {
 public:
  void begin() override { open_ = true; }
  void end() override {
    EXPECT_TRUE(open_);
    open_ = false;
    times_.push_back(static_cast<double>(times_.size() + 1));
  }
  std::vector<double> read() override { return std::exchange(times_, {}); }

 private:
  bool open_ = false;
  std::vector<double> times_;
};

TEST(Profile, AddsUpEqualPlacesAndSortsByTime) {
  Profile profile(std::make_unique<CountingClock>(), 0);
  const auto call = [&](const char* layer, const char* operation) {
    const LayerScope scope(layer);
    profile.begin(operation);
    profile.end();
  };
  for (const int more : {0, 1}) {
    profile.begin_step();
    call("a", "copy");                // 1
    call("b", "copy");                // 2
    call("a", "copy");                // 3
    if (more > 0) call("b", "fill");  // 4
    profile.end_step();
  }
  const ProfileReport report = profile.report();
  ASSERT_EQ(report.rows.size(), 3U);
  const auto expect = [&](std::size_t at, const char* layer, const char* operation, double calls,
                          double microseconds) {
    EXPECT_EQ(report.rows[at].layer, layer);
    EXPECT_EQ(report.rows[at].operation, operation);
    EXPECT_EQ(report.rows[at].pass, Pass::none);
    EXPECT_EQ(report.rows[at].calls, calls);
    EXPECT_EQ(report.rows[at].microseconds, microseconds);
  };
  expect(0, "a", "copy", 2.0, 4.0);
  expect(1, "b", "copy", 1.0, 2.0);
  expect(2, "b", "fill", 0.5, 2.0);
}

TEST(Profile, HearsItsOwnThreadWithinStepsAlone) {
  Profile profile(std::make_unique<CountingClock>(), 0),
      other(std::make_unique<CountingClock>(), 0);
  const auto call = [](Profile& told, const char* operation) {
    told.begin(operation);
    told.end();
  };
  call(profile, "before");
  profile.begin_step();
  call(profile, "within");
  call(other, "another's");
  std::thread([&] { call(profile, "beside"); }).join();
  profile.end_step();
  call(profile, "behind");
  ASSERT_EQ(profile.report().rows.size(), 1U);
  EXPECT_EQ(profile.report().rows.front().operation, "within");
  EXPECT_TRUE(other.report().rows.empty());
}

// As after an operation that threw.
TEST(Profile, ForgetsAStepThatDidNotEnd) {
  Profile profile(std::make_unique<CountingClock>(), 0);
  for (const char* operation : {"lost", "kept"}) {
    profile.begin_step();
    profile.begin(operation);
    profile.end();
  }
  profile.end_step();
  EXPECT_EQ(profile.report().steps, 1);
  ASSERT_EQ(profile.report().rows.size(), 1U);
  EXPECT_EQ(profile.report().rows.front().operation, "kept");
}

TEST(Profile, HasNoFiguresBehindSkippedStepsAlone) {
  Profile profile(std::make_unique<CountingClock>(), 2);
  profile.begin_step();
  profile.end_step();
  const ProfileReport report = profile.report();
  EXPECT_EQ(report.steps, 0);
  EXPECT_EQ(report.skipped, 1);
  EXPECT_TRUE(report.rows.empty());
}

// The tape remembers a layer that is gone.
TEST(LayerScope, OutlivesTheLayerOnTheTape) {
  const auto [profile, backend] = profiled(make_backend("cpu"));
  std::optional<TorchGenerator> random(std::in_place, 0);
  auto model = std::make_unique<Small>(BuildContext{backend, DType::f32, &*random});
  const Tensor loss = (*model)(Tensor::full(backend, {1, 4, 2}, DType::f32, 0.5));
  model.reset();
  for (int i = 0; i < Profile::first_steps; ++i) {
    profile->begin_step();
    profile->end_step();
  }
  profile->begin_step();
  loss.backward();
  profile->end_step();
  EXPECT_TRUE(places(profile->report())
                  .count({"blocks.0.fc", "linear_backward_weight", Pass::backward, 1.0}));
  EXPECT_STREQ(LayerScope::current(), "");
  EXPECT_EQ(PassScope::current(), Pass::none);
}

}  // namespace
}  // namespace cardiograd
