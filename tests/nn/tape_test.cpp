// The tape: accumulation, seeds, released graphs, long chains, memory.
#include "nn/tape.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "nn/flat_parameters.h"
#include "nn/layers.h"
#include "tests/reference/reference_backend.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;

// What an operation may be, and may not.
struct WithBackward {
  static constexpr std::string_view name = "with backward";
  void backward(const Tensor& dy, Gradients& gradients) { gradients.give(0, dy); }
};
struct Constant {
  static constexpr bool no_backward = true;
};
struct Neither {
  static constexpr std::string_view name = "neither";
};
struct NotReallyConstant {
  static constexpr bool no_backward = false;
};
struct Nameless {
  void backward(const Tensor& dy, Gradients& gradients) { gradients.give(0, dy); }
};
template <class Op>
constexpr bool recordable = Differentiable<Op> || DeclaredConstant<Op>;
static_assert(recordable<WithBackward> && recordable<Constant>);
static_assert(!recordable<Neither> && !recordable<NotReallyConstant> && !recordable<Nameless>);

// Counts the bytes that are allocated and not given back.
class CountingBackend : public ReferenceBackend {
 public:
  void* allocate(std::size_t bytes) override {
    live += bytes;
    peak = std::max(peak, live);
    return ReferenceBackend::allocate(bytes);
  }
  void deallocate(void* data, std::size_t bytes) noexcept override {
    live -= bytes;
    ReferenceBackend::deallocate(data, bytes);
  }
  std::size_t live = 0;
  std::size_t peak = 0;
};

// The sentence, without the place in the source that CG_CHECK adds.
template <class Action>
std::string sentence_of(Action&& action) {
  const std::string text = error_of(action);
  return text.substr(0, text.rfind(" (nn/"));
}

class Tape : public ::testing::Test {
 protected:
  Tensor values(const std::vector<double>& numbers) const {
    return Tensor::from_host<double>(backend_, {static_cast<std::int64_t>(numbers.size())},
                                     DType::f64, numbers);
  }
  Tensor leaf(const std::vector<double>& numbers) const {
    Tensor result = values(numbers);
    result.set_requires_grad(true);
    return result;
  }

  std::shared_ptr<CountingBackend> backend_ = std::make_shared<CountingBackend>();
};

using Values = std::vector<double>;

TEST_F(Tape, SumsOverTwoUsesOfALeaf) {
  const Tensor x = leaf({2.0, -3.0});
  add(scale(x, 5.0), multiply(x, x)).backward(values({1.0, 10.0}));
  EXPECT_EQ(x.grad().to_vector<double>(), (Values{5.0 + 4.0, 10.0 * (5.0 - 6.0)}));
}

TEST_F(Tape, SumsOverTwoUsesOfAnIntermediate) {
  const Tensor x = leaf({2.0});
  const Tensor y = scale(x, 3.0);
  add(add(y, scale(y, 7.0)), y).backward();
  EXPECT_EQ(x.grad().to_vector<double>(), (Values{3.0 * 9.0}));
}

// reshape and add hand their own gradient on: what one branch adds must not reach the other.
TEST_F(Tape, GradientsThatShareMemoryStayApart) {
  const Tensor x = leaf({1.0, 2.0});
  const Tensor z = leaf({1.0, 2.0});
  const Tensor left = scale(x, 1.0);
  const Tensor right = scale(z, 1.0);
  const Tensor seed = values({1.0, 1.0});
  add(add(left, right), scale(left, 10.0)).backward(seed);
  EXPECT_EQ(x.grad().to_vector<double>(), (Values{11.0, 11.0}));
  EXPECT_EQ(z.grad().to_vector<double>(), (Values{1.0, 1.0}));
  EXPECT_EQ(seed.to_vector<double>(), (Values{1.0, 1.0}));
}

TEST_F(Tape, SumsOverTwoBackwardPasses) {
  const Tensor x = leaf({2.0});
  multiply(x, x).backward();
  scale(x, 3.0).backward();
  EXPECT_EQ(x.grad().item(), 4.0 + 3.0);
}

TEST_F(Tape, ALeafIsItsOwnGraph) {
  const Tensor x = leaf({2.0, 3.0});
  x.backward(values({7.0, 8.0}));
  EXPECT_EQ(x.grad().to_vector<double>(), (Values{7.0, 8.0}));
}

TEST_F(Tape, OnlyWhatAsksForAGradientGetsOne) {
  const Tensor x = leaf({2.0});
  const Tensor constant = values({3.0});
  multiply(x, constant).backward();
  EXPECT_EQ(x.grad().item(), 3.0);
  EXPECT_FALSE(constant.grad().defined());
}

TEST_F(Tape, DetachCutsTheGraph) {
  const Tensor x = leaf({2.0});
  const Tensor square = multiply(x, x);
  EXPECT_FALSE(square.detach().requires_grad());
  multiply(square.detach(), x).backward();
  EXPECT_EQ(x.grad().item(), 4.0);
}

TEST_F(Tape, BackwardTwiceIsRefused) {
  const Tensor x = leaf({2.0});
  const Tensor y = scale(x, 3.0);
  y.backward();
  EXPECT_EQ(sentence_of([&] { y.backward(); }),
            "backward() came twice through scale: the graph is released on the first pass; run the "
            "forward pass again");
  EXPECT_EQ(sentence_of([&] { relu(y).backward(); }),
            "backward() came twice through scale: the graph is released on the first pass; run the "
            "forward pass again");
}

TEST_F(Tape, SeedsMustFit) {
  const Tensor y = scale(leaf({1.0, 2.0, 3.0}), 2.0);
  EXPECT_EQ(sentence_of([&] { y.backward(); }),
            "backward() without a seed needs one element, this tensor has shape [3]");
  EXPECT_EQ(sentence_of([&] { y.backward(values({1.0})); }),
            "the seed of backward() has shape [1], the tensor [3]");
  EXPECT_NO_THROW(y.backward(values({1.0, 1.0, 1.0})));
}

TEST_F(Tape, ATensorWithoutHistoryIsRefused) {
  EXPECT_EQ(sentence_of([&] { values({1.0}).backward(); }),
            "backward() needs a tensor that depends on one which requires a gradient");
}

TEST_F(Tape, OnlyFloatingLeavesTakeAGradient) {
  const std::string sentence = "only a floating-point leaf tensor can be asked for a gradient";
  Tensor made = scale(leaf({1.0}), 2.0);
  EXPECT_EQ(sentence_of([&] { made.set_requires_grad(true); }), sentence);
  Tensor integer = Tensor::full(backend_, {1}, DType::i32, 1.0);
  EXPECT_EQ(sentence_of([&] { integer.set_requires_grad(true); }), sentence);
  Tensor undefined;
  EXPECT_EQ(sentence_of([&] { undefined.set_requires_grad(true); }), sentence);
}

TEST_F(Tape, NothingIsRecordedInsideANoGradScope) {
  const Tensor x = leaf({2.0});
  EXPECT_TRUE(grad_enabled());
  {
    const NoGradScope outer;
    {
      const NoGradScope inner;
      EXPECT_FALSE(grad_enabled());
    }
    EXPECT_FALSE(grad_enabled());
    EXPECT_FALSE(scale(x, 2.0).requires_grad());
  }
  EXPECT_TRUE(grad_enabled());
  EXPECT_TRUE(scale(x, 2.0).requires_grad());
}

TEST_F(Tape, ADeclaredConstantEndsTheGraph) {
  const Tensor x = leaf({2.0});
  const Tensor y = values({1.0});
  record(y, {x}, Constant{});
  EXPECT_FALSE(y.requires_grad());
}

// Parameters' gradients are written where they stay, and stale content does not count.
TEST_F(Tape, WritesIntoTheFlatGradients) {
  TorchGenerator random(1);
  const BuildContext context{backend_, DType::f64, &random};
  const Linear layer(context, 2, 3);
  FlatParameters flat(layer);
  backend_->fill(flat.gradients().view(), std::numeric_limits<double>::quiet_NaN());
  const Tensor x = Tensor::from_host<double>(backend_, {1, 2}, DType::f64, Values{4.0, 5.0});
  const Tensor seed =
      Tensor::from_host<double>(backend_, {1, 3}, DType::f64, Values{1.0, 2.0, 3.0});
  EXPECT_FALSE(layer.weight.grad().defined());
  for (int round = 0; round < 2; ++round) {
    flat.zero_grad();
    layer(x).backward(seed);
    for (const auto& [tensor, span] :
         {std::pair{layer.weight, flat.spans()[0]}, std::pair{layer.bias, flat.spans()[1]}}) {
      EXPECT_EQ(tensor.grad().view().data,
                FlatParameters::part(flat.gradients(), span).view().data);
    }
    EXPECT_EQ(FlatParameters::part(flat.gradients(), flat.spans()[0]).to_vector<double>(),
              (Values{4.0, 5.0, 8.0, 10.0, 12.0, 15.0}));
    EXPECT_EQ(layer.bias.grad().to_vector<double>(), (Values{1.0, 2.0, 3.0}));
  }
  layer(x).backward(seed);  // without zero_grad: added
  EXPECT_EQ(layer.bias.grad().to_vector<double>(), (Values{2.0, 4.0, 6.0}));
}

constexpr int chain_length = 100'000;

TEST_F(Tape, ALongChainIsWalkedWithoutRecursion) {
  const Tensor x = leaf({1.0});
  Tensor y = x;
  for (int i = 0; i < chain_length; ++i) y = scale(y, i % 2 == 0 ? 2.0 : 0.5);
  y.backward();
  EXPECT_EQ(x.grad().item(), 1.0);
}

// Each operation holds its input twice in `inputs` and twice among its saved tensors.
TEST_F(Tape, ALongChainIsReleasedWithoutRecursion) {
  const std::size_t before = backend_->live;
  {
    const Tensor x = leaf({1.0});
    Tensor y = x;
    for (int i = 0; i < chain_length; ++i) y = multiply(y, y);
    EXPECT_EQ(y.item(), 1.0);
  }
  EXPECT_EQ(backend_->live, before);
}

// The end of the chain lives on in two tensors; the last one to go takes the chain with it.
TEST_F(Tape, ALongChainMayBeHeldInItsMiddle) {
  Tensor middle;
  {
    Tensor y = leaf({1.0});
    for (int i = 0; i < chain_length; ++i) {
      y = add(y, y);
      if (i == chain_length / 2) middle = y;
    }
  }
  EXPECT_TRUE(middle.requires_grad());
  middle = Tensor();
  EXPECT_EQ(backend_->live, 0U);
}

// Notes how many bytes live when backward reaches it.
struct ProbeOp {
  static constexpr std::string_view name = "probe";
  CountingBackend* backend = nullptr;
  std::size_t* live = nullptr;
  void backward(const Tensor& dy, Gradients& gradients) {
    *live = backend->live;
    gradients.give(0, dy);
  }
};

TEST_F(Tape, ActivationsAreReleasedOnTheWayBack) {
  constexpr std::int64_t count = 1000;
  constexpr std::size_t one = count * sizeof(double);
  constexpr std::size_t depth = 20;
  std::size_t at_the_end = 0;
  {
    const Tensor x = leaf(Values(count, 0.5));
    Tensor y = x.detach();
    record(y, {x}, ProbeOp{backend_.get(), &at_the_end});
    for (std::size_t i = 0; i < depth; ++i) y = sigmoid(y);
    EXPECT_EQ(backend_->live, (depth + 1) * one);
    const Tensor seed = values(Values(count, 1.0));
    backend_->peak = 0;
    y.backward(seed);
    // Never more than what forward kept, the seed, and two gradients on their way.
    EXPECT_LE(backend_->peak, (depth + 2 + 2) * one);
    // x, the result, the seed, and the gradient.
    EXPECT_EQ(at_the_end, 4 * one);
    EXPECT_EQ(backend_->live, 4 * one);
  }
  EXPECT_EQ(backend_->live, 0U);
}

TEST_F(Tape, AGraphThatIsNeverWalkedIsReleased) {
  {
    TorchGenerator random(1);
    const Linear layer({backend_, DType::f64, &random}, 4, 4);
    const Tensor x = Tensor::full(backend_, {3, 4}, DType::f64, 1.0);
    const Tensor y = relu(layer(layer(x)));
    EXPECT_TRUE(y.requires_grad());
  }
  EXPECT_EQ(backend_->live, 0U);
}

}  // namespace
}  // namespace cardiograd
