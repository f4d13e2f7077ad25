// Recorded training steps against the same steps done operation by operation: the same bits.
#include "nn/replayed_step.h"

#include <gtest/gtest.h>

#include "kernels/cuda/cuda_backend.h"
#include "models/registry.h"
#include "nn/ops.h"
#include "nn/optimizer.h"
#include "nn/random.h"
#include "tests/cuda/machine.h"

namespace cardiograd {
namespace {

#define SKIP_WITHOUT_DEVICE()                \
  try {                                      \
    make_backend("cuda");                    \
  } catch (const DeviceError& error) {       \
    CARDIOGRAD_WITHOUT_DEVICE(error.what()); \
  }

struct Trained {
  std::vector<double> losses;
  std::vector<float> parameters;
  std::vector<float> statistics;  // the model's buffers
  bool replayed = false;
  std::vector<std::string> remarks;
};

// Six steps, of which the fifth has fewer records, over two epochs, with other rates in each step.
Trained train(const std::string& name, DType dtype, bool replays) {
  const std::shared_ptr<Backend> backend = make_backend("cuda");
  const bool small = testing::is_emulated();
  ModelOptions options{.name = name,
                       .classes = 5,
                       .length = small ? 56 : 1000,
                       .note_size = small ? 16 : 768,
                       .dropout = 0.2,
                       .batch_norm = name == "cnn"};
  options.layers = 1;
  if (small) {
    options.heads = 2;
    options.width = 24;
    options.levels = 16;
  }
  TorchGenerator random(11);
  const auto model = find_model(name).make({backend, dtype, &random}, options);
  FlatParameters parameters(*model);
  OptimizerOptions spec = optimizer_defaults("adam");
  spec.ema_decay = 0.5;
  Optimizer optimizer(spec, parameters);
  Trained result;
  std::uint32_t epoch = 1;
  ReplayedStep step(
      backend,
      [&](const ReplayedStep::Inputs& inputs) {
        const RandomScope draws(7, epoch, inputs[3]);
        parameters.zero_grad();
        const Tensor logits = cast(model->forward({inputs[0], inputs[1]}), DType::f32);
        const Tensor loss = bce_with_logits(logits, inputs[2]);
        loss.backward();
        optimizer.update(1.0, loss);
        return loss.detach();
      },
      {.replays = replays}, [&](const std::string& remark) { result.remarks.push_back(remark); });
  std::unique_ptr<LaterValues> pending;
  for (int i = 0; i < 6; ++i) {
    const std::int64_t batch = i == 4 ? 2 : 3;
    epoch = i < 3 ? 1 : 2;
    const auto normal = [&](const Dims& dims) {
      return Tensor::from_host<float>(backend, dims, dtype,
                                      random.normal(dims.numel(), 0.0F, 0.5F));
    };
    std::vector<float> labels(static_cast<std::size_t>(batch * options.classes));
    for (std::size_t at = 0; at < labels.size(); ++at) labels[at] = at % 3 == 0 ? 1.0F : 0.0F;
    std::vector<std::int32_t> records;
    for (std::int64_t at = 0; at < batch; ++at) records.push_back(10 * i + static_cast<int>(at));
    optimizer.set_learning_rate(0.01 / (i + 1));
    optimizer.set_momentum(0.9 - 0.05 * i);
    optimizer.begin_step();
    const Tensor loss =
        step({normal({batch, options.length, 12}), normal({batch, options.note_size}),
              Tensor::from_host<float>(backend, {batch, options.classes}, DType::f32, labels),
              Tensor::from_host<std::int32_t>(backend, {batch}, DType::i32, records)},
             epoch);
    // Read when the next step is under way, as the trainer does.
    if (pending) result.losses.push_back(pending->get().front());
    pending = step.values_later(loss);
  }
  result.losses.push_back(pending->get().front());
  result.parameters = parameters.master().to_vector<float>();
  for (const NamedTensor& buffer : model->buffers()) {
    const std::vector<float> values = buffer.tensor.to_vector<float>();
    result.statistics.insert(result.statistics.end(), values.begin(), values.end());
  }
  result.replayed = step.replayed();
  return result;
}

class CudaReplay : public ::testing::TestWithParam<std::string> {};

TEST_P(CudaReplay, GivesTheBitsOfSingleOperations) {
  SKIP_WITHOUT_DEVICE();
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Trained plain = train(GetParam(), dtype, false);
    const Trained replayed = train(GetParam(), dtype, true);
    EXPECT_FALSE(plain.replayed);
    EXPECT_TRUE(replayed.replayed);
    EXPECT_TRUE(replayed.remarks.empty()) << replayed.remarks.front();
    EXPECT_EQ(replayed.losses, plain.losses);
    EXPECT_EQ(replayed.parameters, plain.parameters);
    EXPECT_EQ(replayed.statistics, plain.statistics);
  }
}

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const ModelEntry& entry : model_registry()) names.push_back(entry.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Models, CudaReplay, ::testing::ValuesIn(model_names()),
                         [](const auto& model) { return model.param; });

// x += 1, with something besides.
struct Counter {
  std::shared_ptr<Backend> backend = make_backend("cuda");
  Tensor sum = Tensor::full(backend, {1}, DType::f32, 0.0);
  std::vector<std::string> remarks;

  ReplayedStep step(const std::function<void()>& besides) {
    return {backend,
            [this, besides](const ReplayedStep::Inputs& inputs) {
              besides();
              backend->accumulate(inputs[0].view(), sum.view());
              return sum;
            },
            {},
            [this](const std::string& remark) { remarks.push_back(remark); }};
  }
  double count(ReplayedStep& step, int times) {
    const Tensor one = Tensor::full(backend, {1}, DType::f32, 1.0);
    for (int i = 0; i < times; ++i) step({one}, 1);
    return sum.item();
  }
};

TEST(CudaReplay, GoesOnUnrecordedWhereAStepWaitsForTheDevice) {
  SKIP_WITHOUT_DEVICE();
  Counter counter;
  ReplayedStep step = counter.step([&] { counter.sum.item(); });
  EXPECT_EQ(counter.count(step, 6), 6.0);
  EXPECT_FALSE(step.replayed());
  ASSERT_EQ(counter.remarks.size(), 1U);
  EXPECT_EQ(counter.remarks[0].find("training steps are not recorded: "), 0U) << counter.remarks[0];
}

TEST(CudaReplay, GoesOnUnrecordedWhereAStepIsNotTheOneBefore) {
  SKIP_WITHOUT_DEVICE();
  Counter counter;
  std::int64_t size = 100;
  ReplayedStep step =
      counter.step([&] { Tensor::full(counter.backend, {++size}, DType::f32, 0.0); });
  EXPECT_EQ(counter.count(step, 6), 6.0);
  ASSERT_EQ(counter.remarks.size(), 1U);
  EXPECT_EQ(counter.remarks[0],
            "training steps are not recorded: a step asked for 412 bytes where the one before it "
            "asked for 408");
}

// As a run that goes on with the rest of an epoch.
TEST(CudaReplay, RecordsTheLargerOfTwoShapes) {
  SKIP_WITHOUT_DEVICE();
  const std::shared_ptr<Backend> backend = make_backend("cuda");
  const Tensor total = Tensor::full(backend, {1}, DType::f32, 0.0);
  ReplayedStep step(
      backend,
      [&](const ReplayedStep::Inputs& inputs) {
        const Tensor mean = Tensor::full(backend, {1}, DType::f32, 0.0);
        backend->sum(inputs[0].view(), 1.0, mean.window(0, {1, 1, 1}).view());
        backend->accumulate(mean.view(), total.view());
        return total;
      },
      {}, [](const std::string& remark) { ADD_FAILURE() << remark; });
  const Tensor few = Tensor::full(backend, {1, 2, 1}, DType::f32, 1.0);
  const Tensor many = Tensor::full(backend, {1, 5, 1}, DType::f32, 1.0);
  for (int i = 0; i < 2; ++i) step({few}, 1);
  for (int i = 0; i < 2; ++i) step({many}, 1);
  EXPECT_FALSE(step.replayed());
  step({many}, 1);
  EXPECT_TRUE(step.replayed());
  step({few}, 1);
  step({many}, 1);
  EXPECT_EQ(total.item(), 3 * 2.0 + 4 * 5.0);
}

TEST(CudaReplay, LeavesOtherWorkItsMemory) {
  SKIP_WITHOUT_DEVICE();
  Counter counter;
  Tensor kept;
  ReplayedStep step = counter.step([&] {
    const Tensor scratch = Tensor::full(counter.backend, {1000}, DType::f32, -1.0);
    counter.backend->copy(scratch.view(), scratch.window(0, {1000}).view());
  });
  counter.count(step, 3);
  EXPECT_TRUE(step.replayed());
  const Tensor other = Tensor::full(counter.backend, {1000}, DType::f32, 5.0);
  EXPECT_EQ(counter.count(step, 3), 6.0);
  EXPECT_EQ(other.to_vector<float>(), std::vector<float>(1000, 5.0F));
}

}  // namespace
}  // namespace cardiograd
