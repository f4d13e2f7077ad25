// CudaBackend's life and memory, and the door to it.
#include "kernels/cuda/cuda_backend.h"

#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/event_clock.h"
#include "kernels/cuda/recorder.h"
#include "kernels/device_group.h"
#include "kernels/device_timer.h"

namespace cardiograd {

namespace {

// Before anything else is asked of the device.
int selected(int index) {
  cuda::select_device(index);
  return index;
}

// Two events in the backend's stream.
class EventTimer final : public DeviceTimer {
 public:
  explicit EventTimer(std::shared_ptr<CudaBackend> backend) : backend_(std::move(backend)) {}

  void begin() override { cuda::record_event(begin_.get(), backend_->stream()); }
  void end() override { cuda::record_event(end_.get(), backend_->stream()); }
  double microseconds() override {
    return 1e3 * static_cast<double>(cuda::elapsed_milliseconds(begin_.get(), end_.get()));
  }

 private:
  std::shared_ptr<CudaBackend> backend_;
  cuda::OwnedEvent begin_, end_;
};

}  // namespace

CudaBackend::CudaBackend(int index, DType floating, std::shared_ptr<CudaBackend> first)
    : index_(selected(index)),
      floating_(floating),
      blocks_(cuda::device_memory(index)),
      first_(std::move(first)) {
  device_.multiprocessors = cuda::device_info(index).multiprocessors;
  device_.stream = {cuda::create_stream(), index};
}

// Nothing may be under way in memory that goes back to the driver.
CudaBackend::~CudaBackend() {
  try {
    cuda::synchronize(device_.stream);
    if (first_) cuda::synchronize(first_->stream());
  } catch (const DeviceError&) {  // whoever needed the work to succeed has waited for it
  }
  planner_.reset();  // its libraries work on the stream
  for (const auto& [data, bytes] : given_back_) blocks_.deallocate(data, bytes);
  cuda::destroy_stream(device_.stream.stream);
}

void CudaBackend::use_plans(const cuda::PlanOptions& options) {
  planner_ = std::make_unique<cuda::Planner>(index_, device_.stream.stream, blocks_, options);
}

std::string CudaBackend::name() const { return "cuda:" + std::to_string(index_); }

DType CudaBackend::default_dtype() const { return floating_; }

void* CudaBackend::allocate(std::size_t bytes) {
  if (first_) take_back();
  return blocks_.allocate(bytes);
}

void CudaBackend::deallocate(void* data, std::size_t bytes) noexcept {
  if (first_ && data != nullptr) {
    const std::lock_guard lock(mutex_);
    try {
      given_back_.emplace_back(data, bytes);
      return;
    } catch (...) {  // no memory to remember the block with: better lost than reused too early
      return;
    }
  }
  blocks_.deallocate(data, bytes);
}

// Whatever used a block on the first queue was asked for before the block came back, and so comes
// before an event that is recorded now.
void CudaBackend::take_back() {
  // The event must not be part of what the first queue records. Who records may give back a block
  // of this queue meanwhile, which takes the other lock: this one comes first.
  const std::lock_guard recording(first_->recording_);
  const std::lock_guard lock(mutex_);
  if (given_back_.empty()) return;
  cuda::record_event(first_done_.get(), first_->stream());
  cuda::wait_for_event(device_.stream, first_done_.get());
  for (const auto& [data, bytes] : given_back_) blocks_.deallocate(data, bytes);
  given_back_.clear();
}

std::size_t CudaBackend::free_memory() const {
  return cuda::free_memory(index_) + blocks_.bytes_kept();
}

std::shared_ptr<Backend> CudaBackend::second_queue() {
  return std::make_shared<CudaBackend>(index_, floating_, shared_from_this());
}

// Where each launch is waited for, nothing can be recorded; and a second queue has little to do.
std::unique_ptr<Recorder> CudaBackend::make_recorder() {
  if (cuda::synchronises_launches() || first_) return nullptr;
  return make_cuda_recorder(shared_from_this());
}

void CudaBackend::upload_rows(ConstView x, std::span<const std::int32_t> rows, View y) {
  const std::lock_guard lock(upload_mutex_);
  if (!upload_) upload_ = std::make_unique<cuda::StagedUpload>();
  upload_->copy_rows(x, rows, y, device_.stream);
}

std::unique_ptr<OperationClock> CudaBackend::operation_clock() {
  return std::make_unique<cuda::EventClock>(device_.stream, shared_from_this());
}

void CudaBackend::copy_from_host(void* device, const void* host, std::size_t bytes) {
  cuda::copy_from_host(device, host, bytes, device_.stream);
}

void CudaBackend::copy_to_host(void* host, const void* device, std::size_t bytes) {
  cuda::copy_to_host(host, device, bytes, device_.stream);
}

void CudaBackend::synchronize() { cuda::synchronize(device_.stream); }

std::shared_ptr<Backend> make_cuda_backend(int index, const BackendOptions& options) {
  return make_cuda_backend(index, DType::f32, cuda::plan_options(options));
}

std::shared_ptr<Backend> make_cuda_backend(int index, DType floating,
                                           const cuda::PlanOptions& plans) {
  auto backend = std::make_shared<CudaBackend>(index, floating);
  backend->use_plans(plans);
  return backend;
}

std::shared_ptr<Backend> make_cuda_kernel_backend(int index, DType floating) {
  return std::make_shared<CudaBackend>(index, floating);
}

TimedDevice make_timed_cuda_device(int index) {
  auto backend = std::make_shared<CudaBackend>(index, DType::f32);
  auto timer = std::make_unique<EventTimer>(backend);
  const cuda::DeviceInfo info = cuda::device_info(index);
  return {std::move(backend), std::move(timer), info.name, info.cache};
}

std::string cuda_backend_description() {
  return "cuda " + cuda::runtime_version() + ", " + cuda::library_description() + ", " +
         device_group_library();
}

}  // namespace cardiograd
