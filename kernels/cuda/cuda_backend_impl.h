// CudaBackend's class, private to kernels/cuda. Its methods are defined one family a file: checks
// and plans on the host, then kernels, in the family's .cu. It computes in f32, or in bf16 storage
// with f32 arithmetic.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/block_cache.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/planner.h"
#include "kernels/cuda/staged_upload.h"

namespace cardiograd {

namespace cuda {
struct Lstm;  // lstm_shape.h
}

class CudaBackend final : public Backend, public std::enable_shared_from_this<CudaBackend> {
 public:
  // `floating`: what default_dtype says. `first`, optional: the backend that this is a second queue
  // of. Throws DeviceError where device `index` cannot be used.
  CudaBackend(int index, DType floating, std::shared_ptr<CudaBackend> first = nullptr);
  ~CudaBackend() override;

  // Lets libraries and measurement choose between them and our own kernels, from now on.
  void use_plans(const cuda::PlanOptions& options);

  // Where its work is queued, for whoever must come before or after it.
  cuda::Stream stream() const { return device_.stream; }
  BlockCache& blocks() { return blocks_; }
  // While what is returned lives, its stream records: random operations read their epoch from
  // `epoch`, on the device, and no other queue waits for the stream.
  class RecordingScope {
   public:
    RecordingScope(CudaBackend& backend, const std::uint32_t* epoch)
        : backend_(backend), lock_(backend.recording_) {
      backend_.device_.epoch = epoch;
    }
    ~RecordingScope() { backend_.device_.epoch = nullptr; }
    RecordingScope(const RecordingScope&) = delete;
    RecordingScope& operator=(const RecordingScope&) = delete;

   private:
    CudaBackend& backend_;
    std::lock_guard<std::mutex> lock_;
  };

#include "kernels/backend_overrides.inl"
  bool reads_host_memory() const override { return false; }
  std::size_t free_memory() const override;
  std::shared_ptr<Backend> second_queue() override;
  std::unique_ptr<Recorder> make_recorder() override;
  void trace_memory(MemoryTrace* trace) override { blocks_.trace(trace); }
  void upload_rows(ConstView x, std::span<const std::int32_t> rows, View y) override;
  std::unique_ptr<OperationClock> operation_clock() override;

 private:
  void take_back();
  template <class T, bool a_along_depth, bool b_along_depth>
  void multiply(std::string_view operation, cuda::ProductPlan plan, const cuda::PlanOperands& call);

  // Operands of an LSTM's plans. Forward: x, weight_ih, weight_hh, bias_ih, bias_hh; y, saved or
  // null. Backward: x, weight_ih, weight_hh, null, dy; dx or null, the gradients of the weights and
  // biases in that order, saved.
  void lstm_forward_by_kernels(const cuda::Lstm& shape, DType dtype, const cuda::PlanOperands& o);
  void lstm_backward_by_kernels(const cuda::Lstm& shape, DType dtype, const cuda::PlanOperands& o);
  void plan_lstm_inference(const cuda::Lstm& shape, DType dtype, const cuda::PlanOperands& call);
  std::shared_ptr<const cuda::TrainingPasses> plan_lstm_training(const cuda::Lstm& shape,
                                                                 DType dtype);
  std::shared_ptr<const cuda::TrainingPasses> lstm_passes_of(const cuda::Lstm& shape,
                                                             const View& saved);

  int index_;
  DType floating_;
  cuda::Device device_;
  BlockCache blocks_;
  std::mutex recording_;
  std::unique_ptr<cuda::Planner> planner_;  // null: our own kernels alone

  // Of a second queue: what was given back and may still be in use by the first one.
  std::shared_ptr<CudaBackend> first_;
  cuda::OwnedEvent first_done_;
  std::mutex mutex_;
  std::vector<std::pair<void*, std::size_t>> given_back_;
  std::mutex upload_mutex_;
  std::unique_ptr<cuda::StagedUpload> upload_;
};

}  // namespace cardiograd
