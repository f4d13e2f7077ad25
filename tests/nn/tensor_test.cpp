// Tensors: dtypes, conversions, windows, borrowed memory, errors.
#include "nn/tensor.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "nn/ops.h"
#include "tests/reference/reference_backend.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;

template <class Action>
std::string sentence_of(Action&& action) {
  const std::string text = error_of(action);
  return text.substr(0, text.rfind(" (nn/"));
}

class Tensors : public ::testing::TestWithParam<const char*> {
 protected:
  template <class T>
  Tensor make(const std::vector<T>& values, DType dtype) const {
    return Tensor::from_host<T>(backend_, {static_cast<std::int64_t>(values.size())}, dtype,
                                values);
  }

  std::shared_ptr<Backend> backend_ =
      std::string(GetParam()) == "reference" ? make_reference_backend() : make_backend(GetParam());
};

TEST_P(Tensors, EveryDtypeKeepsWhatItCanHold) {
  const std::vector<double> small{0.0, 1.0, 2.0, 100.0, 127.0};
  for (DType dtype : {DType::f32, DType::f64, DType::bf16, DType::i16, DType::i32, DType::u8}) {
    const Tensor x = make(small, dtype);
    EXPECT_EQ(x.dtype(), dtype);
    EXPECT_EQ(x.view().bytes(), small.size() * size_of(dtype));
    EXPECT_EQ(x.to_vector<double>(), small) << name_of(dtype);
    EXPECT_EQ(x.to_vector<float>(), std::vector<float>(small.begin(), small.end()));
    EXPECT_EQ(x.to_vector<std::int32_t>(), std::vector<std::int32_t>(small.begin(), small.end()));
  }
}

TEST_P(Tensors, HostTypesComeAsTheyAre) {
  const std::vector<std::int16_t> samples{-32768, -1, 0, 32767};
  EXPECT_EQ(make(samples, DType::i16).to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{-32768, -1, 0, 32767}));
  const std::vector<std::uint8_t> bytes{0, 128, 255};
  EXPECT_EQ(make(bytes, DType::f32).to_vector<float>(), (std::vector<float>{0, 128, 255}));
  const std::vector<std::int32_t> wide{std::numeric_limits<std::int32_t>::min(), 16'777'217};
  EXPECT_EQ(make(wide, DType::i32).to_vector<std::int32_t>(), wide);
  EXPECT_EQ(make(wide, DType::f64).to_vector<std::int32_t>(), wide);
}

TEST_P(Tensors, CastsRoundToNearestEvenAndSaturate) {
  const std::vector<double> values{0.5, 1.5, -2.5, 300.0, -70'000.0, std::nan("")};
  const Tensor x = make(values, DType::f64);
  EXPECT_EQ(cast(x, DType::u8).to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{0, 2, 0, 255, 0, 0}));
  EXPECT_EQ(cast(x, DType::i16).to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{0, 2, -2, 300, -32768, 0}));
  const std::vector<float> halfway{1.0F + 0x1p-8F, 1.0F + 3 * 0x1p-8F, 1.0F + 0x1.01p-8F};
  EXPECT_EQ(make(halfway, DType::bf16).to_vector<float>(),
            (std::vector<float>{1.0F, 1.0F + 0x1p-6F, 1.0F + 0x1p-7F}));
  EXPECT_TRUE(std::isnan(cast(x, DType::bf16).to_vector<float>().back()));
}

TEST_P(Tensors, CastToTheSameDtypeIsTheSameTensor) {
  const Tensor x = make(std::vector<float>{1.0F}, DType::f32);
  EXPECT_EQ(cast(x, DType::f32).impl(), x.impl());
}

TEST_P(Tensors, CastToAnIntegerTakesNoGradient) {
  Tensor x = make(std::vector<float>{1.0F}, DType::f32);
  x.set_requires_grad(true);
  EXPECT_FALSE(cast(x, DType::i32).requires_grad());
  EXPECT_TRUE(cast(x, DType::f64).requires_grad());
}

TEST_P(Tensors, CopiesAndWindowsShareMemory) {
  const Tensor x = make(std::vector<float>{0, 1, 2, 3, 4, 5, 6}, DType::f32);
  const Tensor middle = x.window(1, {2, 3});
  EXPECT_EQ(middle.dims(), (Dims{2, 3}));
  EXPECT_EQ(middle.to_vector<float>(), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  const Tensor inner = middle.window(4, {2});
  backend_->fill(inner.view(), 9.0);
  EXPECT_EQ(x.to_vector<float>(), (std::vector<float>{0, 1, 2, 3, 4, 9, 9}));
  EXPECT_EQ(x.window(7, {0}).numel(), 0);
}

TEST_P(Tensors, AWindowKeepsItsMemoryAlive) {
  Tensor part;
  {
    const Tensor whole = make(std::vector<float>{1, 2, 3}, DType::f32);
    part = whole.window(2, {1});
  }
  EXPECT_EQ(part.item(), 3.0);
}

TEST_P(Tensors, AWindowMustFit) {
  const Tensor x = make(std::vector<float>{0, 1, 2}, DType::f32);
  EXPECT_EQ(sentence_of([&] { x.window(2, {2}); }),
            "a window of shape [2] at element 2 does not fit into a tensor of shape [3]");
  EXPECT_EQ(sentence_of([&] { x.window(-1, {1}); }),
            "a window of shape [1] at element -1 does not fit into a tensor of shape [3]");
}

TEST_P(Tensors, BorrowedMemoryLivesAsLongAsItsOwnerIsHeld) {
  const auto owner = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3, 4});
  {
    Tensor x = Tensor::borrow(backend_, ConstView(owner->data(), DType::f32, {2, 2}), owner);
    EXPECT_EQ(x.view().data, owner->data());
    EXPECT_EQ(x.dims(), (Dims{2, 2}));
    EXPECT_EQ(owner.use_count(), 2);
    const Tensor part = x.window(3, {1});
    x = Tensor();
    EXPECT_EQ(owner.use_count(), 2);
    EXPECT_EQ(part.item(), 4.0);
  }
  EXPECT_EQ(owner.use_count(), 1);
  EXPECT_EQ(owner->back(), 4.0F);
}

TEST_P(Tensors, NothingIsAlsoATensor) {
  const Tensor x = make(std::vector<float>{}, DType::f32);
  EXPECT_EQ(x.numel(), 0);
  EXPECT_TRUE(x.to_vector<float>().empty());
  EXPECT_EQ(Tensor::full(backend_, {}, DType::f64, 2.5).item(), 2.5);
}

TEST_P(Tensors, CountsMustAgree) {
  const std::vector<float> values{1, 2, 3};
  EXPECT_EQ(sentence_of([&] {
              Tensor::from_host<float>(backend_, {2, 2}, DType::f32, values);
            }),
            "3 values cannot fill a tensor of shape [2, 2]");
  EXPECT_EQ(sentence_of([&] { make(values, DType::f32).item(); }),
            "item() needs a tensor of one element, this one has shape [3]");
}

TEST_P(Tensors, ReshapeWorksOutOneSize) {
  const Tensor x = Tensor::full(backend_, {2, 6}, DType::f32, 1.0);
  EXPECT_EQ(reshape(x, {3, -1, 2}).dims(), (Dims{3, 2, 2}));
  EXPECT_EQ(reshape(x, {12}).view().data, x.view().data);
  EXPECT_EQ(sentence_of([&] {
              reshape(x, {5, -1});
            }),
            "a tensor of shape [2, 6] cannot be reshaped to [5, 2]");
  EXPECT_EQ(flatten(Tensor::full(backend_, {2, 3, 4}, DType::f32, 1.0)).dims(), (Dims{2, 12}));
}

TEST(UndefinedTensor, SaysSo) {
  const Tensor x;
  const std::string sentence = "this tensor is undefined: it was declared but never given a value";
  EXPECT_FALSE(x.defined() || x.requires_grad() || x.detach().defined());
  EXPECT_EQ(sentence_of([&] { x.dims(); }), sentence);
  EXPECT_EQ(sentence_of([&] { x.dtype(); }), sentence);
  EXPECT_EQ(sentence_of([&] { x.view(); }), sentence);
  EXPECT_EQ(sentence_of([&] { x.backend(); }), sentence);
  EXPECT_EQ(sentence_of([&] { x.grad(); }), sentence);
  EXPECT_EQ(sentence_of([&] { x.item(); }), sentence);
}

INSTANTIATE_TEST_SUITE_P(Backends, Tensors, ::testing::Values("cpu", "reference"),
                         [](const auto& tested) { return std::string(tested.param); });

}  // namespace
}  // namespace cardiograd
