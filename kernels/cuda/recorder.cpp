#include "kernels/cuda/recorder.h"

#include <algorithm>
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

// Numbers that a device writes into the host's memory.
class PinnedFloats {
 public:
  explicit PinnedFloats(std::int64_t count)
      : count_(count), data_(static_cast<float*>(cuda::allocate_pinned(bytes()))) {}
  ~PinnedFloats() { cuda::release_pinned(data_); }
  PinnedFloats(const PinnedFloats&) = delete;
  PinnedFloats& operator=(const PinnedFloats&) = delete;

  std::int64_t count() const { return count_; }
  void copy(const ConstView& values, cuda::Stream stream) {
    cuda::copy_to_pinned(data_, values.data, bytes(), stream);
    cuda::record_event(copied_.get(), stream);
  }
  bool ready() const { return cuda::has_happened(copied_.get()); }
  std::vector<float> wait() const {
    cuda::synchronize_event(copied_.get());
    return {data_, data_ + count_};
  }

 private:
  std::size_t bytes() const { return static_cast<std::size_t>(count_) * sizeof(float); }

  std::int64_t count_;
  float* data_;
  cuda::OwnedEvent copied_;
};

// Those that nobody waits for: to pin memory takes longer than a step.
using FreePinned = std::vector<std::unique_ptr<PinnedFloats>>;

class CopiedValues final : public LaterValues {
 public:
  CopiedValues(const ConstView& values, cuda::Stream stream, std::shared_ptr<FreePinned> free)
      : free_(std::move(free)) {
    const std::int64_t count = values.numel();
    const auto found = std::find_if(free_->begin(), free_->end(),
                                    [&](const auto& each) { return each->count() == count; });
    if (found == free_->end()) {
      place_ = std::make_unique<PinnedFloats>(count);
    } else {
      place_ = std::move(*found);
      free_->erase(found);
    }
    place_->copy(values, stream);
  }
  ~CopiedValues() override { free_->push_back(std::move(place_)); }

  bool ready() const override { return place_->ready(); }
  std::vector<float> get() const override { return place_->wait(); }

 private:
  std::shared_ptr<FreePinned> free_;
  std::unique_ptr<PinnedFloats> place_;
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

  std::unique_ptr<LaterValues> values_later(const ConstView& values) override {
    return std::make_unique<CopiedValues>(values, backend_->stream(), pinned_);
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
  std::shared_ptr<FreePinned> pinned_ = std::make_shared<FreePinned>();
};

}  // namespace

std::unique_ptr<Recorder> make_cuda_recorder(std::shared_ptr<CudaBackend> backend) {
  return std::make_unique<CudaRecorder>(std::move(backend));
}

}  // namespace cardiograd
