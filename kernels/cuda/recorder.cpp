#include "kernels/cuda/recorder.h"

#include <optional>
#include <utility>
#include <vector>

#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {

namespace {

// Calls `end` with the scope.
template <class End>
class AtEnd {
 public:
  explicit AtEnd(End end) : end_(std::move(end)) {}
  ~AtEnd() { end_(); }
  AtEnd(const AtEnd&) = delete;
  AtEnd& operator=(const AtEnd&) = delete;

 private:
  End end_;
};

// A number that a device writes into the host's memory.
class PinnedFloat {
 public:
  PinnedFloat() : place_(static_cast<float*>(cuda::allocate_pinned(sizeof(float)))) {}
  ~PinnedFloat() { cuda::release_pinned(place_); }
  PinnedFloat(const PinnedFloat&) = delete;
  PinnedFloat& operator=(const PinnedFloat&) = delete;

  void copy(const ConstView& value, cuda::Stream stream) {
    cuda::copy_to_pinned(place_, value.data, sizeof(float), stream);
    cuda::record_event(copied_.get(), stream);
  }
  double wait() const {
    cuda::synchronize_event(copied_.get());
    return static_cast<double>(*place_);
  }

 private:
  float* place_;
  cuda::OwnedEvent copied_;
};

// Those that nobody waits for: to pin memory takes longer than a step.
using PinnedFloats = std::vector<std::unique_ptr<PinnedFloat>>;

class CopiedValue final : public LaterValue {
 public:
  CopiedValue(const ConstView& value, cuda::Stream stream, std::shared_ptr<PinnedFloats> free)
      : free_(std::move(free)) {
    if (free_->empty()) free_->push_back(std::make_unique<PinnedFloat>());
    place_ = std::move(free_->back());
    free_->pop_back();
    place_->copy(value, stream);
  }
  ~CopiedValue() override { free_->push_back(std::move(place_)); }

  double get() override { return place_->wait(); }

 private:
  std::shared_ptr<PinnedFloats> free_;
  std::unique_ptr<PinnedFloat> place_;
};

class CudaRecorder final : public Recorder {
 public:
  explicit CudaRecorder(std::shared_ptr<CudaBackend> backend)
      : backend_(std::move(backend)),
        epoch_(static_cast<std::uint32_t*>(backend_->allocate(sizeof(std::uint32_t)))) {}

  ~CudaRecorder() override {
    forget();
    backend_->deallocate(epoch_, sizeof(std::uint32_t));
  }

  void record(const std::function<void()>& work, const MemoryTrace& trace) override {
    forget();
    backend_->synchronize();  // the arena's memory may come from what is still in use
    arena_ = &backend_->blocks().add_arena(trace);
    try {
      capture(work);
      if (!arena_->followed()) {
        throw Error("a step used its memory otherwise than the one before it");
      }
    } catch (...) {
      forget();
      throw;
    }
  }

  void replay(std::uint32_t epoch) override {
    if (written_epoch_ != epoch) {
      cuda::copy_from_host(epoch_, &epoch, sizeof epoch, backend_->stream());
      written_epoch_ = epoch;
    }
    cuda::launch_graph(graph_, backend_->stream());
  }

  std::unique_ptr<LaterValue> value_later(const ConstView& value) override {
    return std::make_unique<CopiedValue>(value, backend_->stream(), pinned_);
  }

  std::size_t arena_bytes() const override { return arena_ == nullptr ? 0 : arena_->bytes(); }

 private:
  void capture(const std::function<void()>& work) {
    BlockCache& blocks = backend_->blocks();
    const CudaBackend::RecordingScope recording(*backend_, epoch_);
    cuda::begin_capture(backend_->stream());
    try {
      blocks.serve_from(arena_);
      const AtEnd end([&] { blocks.serve_from(nullptr); });
      work();
    } catch (...) {
      cuda::abandon_capture(backend_->stream());
      throw;
    }
    graph_ = cuda::end_capture(backend_->stream());
  }

  void forget() noexcept {
    if (graph_ != nullptr) cuda::destroy_graph(std::exchange(graph_, nullptr));
    if (arena_ != nullptr) backend_->blocks().remove_arena(*std::exchange(arena_, nullptr));
  }

  std::shared_ptr<CudaBackend> backend_;
  std::uint32_t* epoch_;  // on the device
  std::optional<std::uint32_t> written_epoch_;
  Arena* arena_ = nullptr;
  cuda::Graph graph_ = nullptr;
  std::shared_ptr<PinnedFloats> pinned_ = std::make_shared<PinnedFloats>();
};

}  // namespace

std::unique_ptr<Recorder> make_cuda_recorder(std::shared_ptr<CudaBackend> backend) {
  return std::make_unique<CudaRecorder>(std::move(backend));
}

}  // namespace cardiograd
