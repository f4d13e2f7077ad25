// CudaBackend's life and memory, and the door to it.
#include "kernels/cuda/cuda_backend.h"

#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/device_timer.h"

namespace cardiograd {

namespace {

// The one place that lets device = "cuda" in. Every operation has its kernel; what is missing is a
// packed data set in the device's memory, and a GPU that has run a training step.
constexpr bool trains_models = false;

// Two events in the backend's stream.
class EventTimer final : public DeviceTimer {
 public:
  explicit EventTimer(std::shared_ptr<CudaBackend> backend) : backend_(std::move(backend)) {}

  void begin() override { cuda::record_event(begin_.event, backend_->stream()); }
  void end() override { cuda::record_event(end_.event, backend_->stream()); }
  double microseconds() override {
    return 1e3 * static_cast<double>(cuda::elapsed_milliseconds(begin_.event, end_.event));
  }

 private:
  struct OwnedEvent {
    OwnedEvent() = default;
    OwnedEvent(const OwnedEvent&) = delete;
    OwnedEvent& operator=(const OwnedEvent&) = delete;
    ~OwnedEvent() { cuda::destroy_event(event); }
    cuda::Event event = cuda::create_event();
  };
  std::shared_ptr<CudaBackend> backend_;
  OwnedEvent begin_, end_;
};

}  // namespace

CudaBackend::CudaBackend(int index, DType floating)
    : index_(index), floating_(floating), blocks_(cuda::device_memory()) {
  cuda::select_device(index);
  device_.multiprocessors = cuda::device_info(index).multiprocessors;
  device_.stream = cuda::create_stream();
}

CudaBackend::~CudaBackend() {
  planner_.reset();  // its libraries work on the stream
  cuda::destroy_stream(device_.stream);
}

void CudaBackend::use_plans(const cuda::PlanOptions& options) {
  planner_ = std::make_unique<cuda::Planner>(index_, device_.stream, blocks_, options);
}

std::string CudaBackend::name() const { return "cuda:" + std::to_string(index_); }

DType CudaBackend::default_dtype() const { return floating_; }

void* CudaBackend::allocate(std::size_t bytes) { return blocks_.allocate(bytes); }

void CudaBackend::deallocate(void* data, std::size_t bytes) noexcept {
  blocks_.deallocate(data, bytes);
}

void CudaBackend::copy_from_host(void* device, const void* host, std::size_t bytes) {
  cuda::copy_from_host(device, host, bytes, device_.stream);
}

void CudaBackend::copy_to_host(void* host, const void* device, std::size_t bytes) {
  cuda::copy_to_host(host, device, bytes, device_.stream);
}

void CudaBackend::synchronize() { cuda::synchronize(device_.stream); }

std::shared_ptr<Backend> make_cuda_backend(int index) {
  cuda::select_device(index);
  if (!trains_models) {
    throw DeviceError(
        "this version has CUDA kernels but does not train with them yet; use device = \"cpu\"");
  }
  return make_cuda_backend(index, DType::f32, cuda::plan_options_from_environment());
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
  return "cuda " + cuda::runtime_version() +
         (trains_models ? "" : " (kernels only, no training yet)") + ", " +
         cuda::library_description();
}

}  // namespace cardiograd
