// What a device says when it is absent, unfit, full or failing; and memory that two queues share.
#include <gtest/gtest.h>

#include "kernels/cuda/cuda_backend.h"
#include "nn/tensor.h"
#include "tests/emulator/machine_state.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using emulator::machine_state;
using emulator::waits_between_streams;
using testing::error_of;

// A machine with bad days, for the length of a test.
class DeviceState : public ::testing::Test {
 protected:
  ~DeviceState() override { machine_state() = {}; }
};

TEST_F(DeviceState, NoDriver) {
  machine_state().driver_trouble = "no CUDA-capable device is detected";
  EXPECT_EQ(error_of([] { make_backend("cuda"); }),
            "no CUDA device can be used: no CUDA-capable device is detected; use device = \"cpu\"");
}

TEST_F(DeviceState, AnIndexThatDoesNotExist) {
  machine_state().devices = 2;
  EXPECT_EQ(make_backend("cuda:1")->name(), "cuda:1");
  EXPECT_EQ(error_of([] { make_backend("cuda:2"); }),
            "device \"cuda:2\" does not exist: this machine has 2 CUDA device(s)");
}

TEST_F(DeviceState, TooOldADevice) {
  machine_state().capability_major = 7;
  machine_state().capability_minor = 5;
  EXPECT_EQ(error_of([] { make_backend("cuda"); }),
            "device \"cuda:0\" has compute capability 7.5, but 8.0 or later is needed: use device "
            "= \"cpu\"");
}

TEST_F(DeviceState, OutOfMemorySaysWhatAskedForHowMuch) {
  const std::shared_ptr<Backend> backend = make_backend("cuda");
  machine_state().memory = std::size_t{1} << 20;
  const Tensor first = Tensor::empty(backend, {64, 1024}, DType::f32);
  EXPECT_EQ(error_of([&] {
              Tensor::empty(backend, {256, 1000, 12}, DType::f32);
            }),
            "a tensor of shape [256, 1000, 12] (f32) cannot be had: the GPU cuda:0 has no 12288000 "
            "bytes of memory left (262144 bytes are in use): use a smaller batch, model or record "
            "length");
}

TEST_F(DeviceState, AKernelsFaultSurfacesWhereSomebodyWaits) {
  const std::shared_ptr<Backend> backend = make_backend("cuda");
  const Tensor x = Tensor::full(backend, {4}, DType::f32, 1.0);
  machine_state().failing_kernel = "softmax_kernel";
  const Tensor y = Tensor::empty(backend, {1, 4}, DType::f32);
  backend->softmax_forward({x.view().data, DType::f32, {1, 4}}, y.view());
  EXPECT_EQ(error_of([&] { y.to_vector<float>(); }),
            "waiting for the CUDA stream failed: an illegal memory access was encountered; the "
            "fault may be an earlier operation's: run again with CARDIOGRAD_CUDA_DEBUG=1 to have "
            "it named");
}

TEST_F(DeviceState, WhereLaunchesWaitAFaultNamesItsKernel) {
  const std::shared_ptr<Backend> backend = make_backend("cuda");
  const Tensor x = Tensor::full(backend, {1, 4}, DType::f32, 1.0);
  const Tensor y = Tensor::empty(backend, {1, 4}, DType::f32);
  machine_state().failing_kernel = "softmax_kernel";
  machine_state().launches_wait = true;
  EXPECT_EQ(error_of([&] { backend->softmax_forward(x.view(), y.view()); }),
            "kernel softmax_kernel failed: an illegal memory access was encountered");
}

// The first queue may still read what it gives back; the second one waits before it writes there.
TEST_F(DeviceState, ASecondQueueReusesMemoryAfterTheFirstIsDoneWithIt) {
  const std::shared_ptr<Backend> first = make_backend("cuda");
  const std::shared_ptr<Backend> second = first->second_queue();
  void* lent = second->allocate(1000);
  const std::size_t before = waits_between_streams();
  void* other = second->allocate(1000);
  EXPECT_EQ(waits_between_streams(), before);  // nothing came back yet
  second->deallocate(lent, 1000);
  EXPECT_EQ(second->allocate(1000), lent);
  EXPECT_EQ(waits_between_streams(), before + 1);
  second->deallocate(lent, 1000);
  second->deallocate(other, 1000);
}

TEST_F(DeviceState, UploadsRowsThroughBuffersSmallerThanThem) {
  const std::shared_ptr<Backend> backend = make_backend("cuda");
  constexpr std::int64_t width = 300'000;  // 1.2 MB: three rows a buffer
  std::vector<float> host(5 * width);
  for (std::size_t i = 0; i < host.size(); ++i) host[i] = static_cast<float>(i % 65536);
  const std::vector<std::int32_t> rows{4, 0, 0, 3, 2, 1, 4, 2};
  const Tensor y = Tensor::empty(backend, {8, width}, DType::f32);
  backend->upload_rows({host.data(), DType::f32, {5, width}}, rows, y.view());
  const std::vector<float> values = y.to_vector<float>();
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto from = host.begin() + rows[r] * width;
    const auto to = values.begin() + static_cast<std::int64_t>(r) * width;
    EXPECT_TRUE(std::equal(from, from + width, to)) << "row " << r;
  }
}

}  // namespace
}  // namespace cardiograd
