// device_group.h by NCCL: one communicator a process, on a stream of its own that forks from the
// backend's and is joined to it by events, which also holds while the backend captures a graph.
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <cuda_runtime_api.h>
#include <nccl.h>
#include <thread>
#include <vector>

#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/device_group.h"

namespace cardiograd {

namespace {

static_assert(sizeof(ncclUniqueId) == sizeof(DeviceGroupId));

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw DeviceError(std::string(what) + " failed: " + cudaGetErrorString(status) + " (" +
                    cudaGetErrorName(status) + ")");
}

ncclDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return ncclFloat64;
    case DType::bf16:
      return ncclBfloat16;
    case DType::f32:
      return ncclFloat32;
    default:
      return ncclUint8;
  }
}

class EventHolder {
 public:
  EventHolder() {
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "creating a CUDA event");
  }
  ~EventHolder() { static_cast<void>(cudaEventDestroy(event_)); }
  EventHolder(const EventHolder&) = delete;
  EventHolder& operator=(const EventHolder&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class NcclGroup final : public DeviceGroup {
 public:
  NcclGroup(std::shared_ptr<CudaBackend> backend, int rank, int size, const DeviceGroupId& id)
      : backend_(std::move(backend)), stream_(static_cast<cudaStream_t>(cuda::create_stream())) {
    ncclUniqueId unique;
    std::memcpy(&unique, id.data(), sizeof unique);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    accept(ncclCommInitRankConfig(&comm_, size, unique, rank, &config));
  }

  ~NcclGroup() override {
    if (comm_ != nullptr) end();
    cuda::destroy_stream(stream_);
  }

  std::string name() const override {
    int version = 0;
    static_cast<void>(ncclGetVersion(&version));
    return "NCCL " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) +
           "." + std::to_string(version % 100);
  }

  State state() override {
    if (comm_ == nullptr || result_ != ncclSuccess) return State::failed;
    ncclResult_t asynchronous = ncclSuccess;
    const ncclResult_t status = ncclCommGetAsyncError(comm_, &asynchronous);
    if (status == ncclSuccess && asynchronous == ncclInProgress) return State::working;
    accept(status != ncclSuccess ? status : asynchronous);
    return result_ == ncclSuccess ? State::ready : State::failed;
  }

  std::string failure() override {
    const std::string said = ncclGetErrorString(result_);
    const char* details = ncclGetLastError(comm_);
    return "NCCL says: " + said +
           (details != nullptr && *details != '\0' ? std::string(" (") + details + ")" : "");
  }

  void enqueue_all_reduce_sum(const View& view) override {
    fork();
    accept(ncclAllReduce(view.data, view.data, static_cast<std::size_t>(view.numel()),
                         type_of(view.dtype), ncclSum, comm_, stream_));
  }

  void enqueue_all_gather(const ConstView& mine, const View& all) override {
    fork();
    accept(ncclAllGather(mine.data, all.data, mine.bytes(), ncclUint8, comm_, stream_));
  }

  void mark(std::size_t slot) override {
    while (marks_.size() <= slot) marks_.push_back(std::make_unique<EventHolder>());
    check(cudaEventRecord(marks_[slot]->get(), stream_), "recording a CUDA event");
  }

  void join(std::size_t slot) override {
    check(cudaStreamWaitEvent(compute(), marks_.at(slot)->get()), "joining CUDA streams");
  }

  bool idle() override { return done(compute()) && done(stream_); }

  void abort() noexcept override {
    if (comm_ != nullptr) static_cast<void>(ncclCommAbort(comm_));
    comm_ = nullptr;
  }

 private:
  cudaStream_t compute() const { return static_cast<cudaStream_t>(backend_->stream()); }

  // Keeps the first failure; what is under way is no failure.
  void accept(ncclResult_t result) {
    if (result_ == ncclSuccess && result != ncclInProgress) result_ = result;
  }

  void fork() {
    check(cudaEventRecord(fork_.get(), compute()), "recording a CUDA event");
    check(cudaStreamWaitEvent(stream_, fork_.get()), "forking CUDA streams");
  }

  static bool done(cudaStream_t stream) {
    const cudaError_t status = cudaStreamQuery(stream);
    if (status == cudaErrorNotReady) return false;
    check(status, "the work on the GPU");
    return true;
  }

  // Leaves the group when the others do; a rank that stays behind is not waited for long.
  void end() noexcept {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    bool orderly = state() == State::ready;
    if (orderly) accept(ncclCommFinalize(comm_));
    while (orderly && state() == State::working) {
      orderly = std::chrono::steady_clock::now() < deadline;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    static_cast<void>(orderly && result_ == ncclSuccess ? ncclCommDestroy(comm_)
                                                        : ncclCommAbort(comm_));
    comm_ = nullptr;
  }

  std::shared_ptr<CudaBackend> backend_;
  cudaStream_t stream_;
  ncclComm_t comm_ = nullptr;
  ncclResult_t result_ = ncclSuccess;
  EventHolder fork_;
  std::vector<std::unique_ptr<EventHolder>> marks_;
};

DeviceGroupId new_id() {
  ncclUniqueId unique;
  if (const ncclResult_t status = ncclGetUniqueId(&unique); status != ncclSuccess) {
    throw DeviceError(std::string("NCCL cannot begin a group: ") + ncclGetErrorString(status) +
                      " (" + ncclGetLastError(nullptr) + ")");
  }
  DeviceGroupId id;
  std::memcpy(id.data(), &unique, sizeof unique);
  return id;
}

}  // namespace

DeviceGroupId make_device_group_id() { return new_id(); }

DeviceGroupId make_device_group_id(const std::string& address, int port) {
  const bool numbers = address.find(':') != std::string::npos;  // IPv6
  const std::string place = (numbers ? "[" + address + "]" : address) + ":" + std::to_string(port);
  setenv("NCCL_COMM_ID", place.c_str(), 0);  // what the user chose stays
  return new_id();
}

std::unique_ptr<DeviceGroup> make_device_group(const std::shared_ptr<Backend>& backend, int rank,
                                               int size, const DeviceGroupId& id) {
  auto cuda = std::dynamic_pointer_cast<CudaBackend>(backend);
  CG_CHECK(cuda != nullptr, "NCCL sums between CUDA devices, not on " + backend->name());
  return std::make_unique<NcclGroup>(std::move(cuda), rank, size, id);
}

}  // namespace cardiograd
