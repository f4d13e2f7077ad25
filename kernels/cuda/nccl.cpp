// device_group.h by NCCL: one communicator a process, on a stream of its own that forks from the
// backend's and is joined to it by events, which also holds while the backend captures a graph.
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <nccl.h>
#include <thread>
#include <vector>

#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/shared_library.h"
#include "kernels/device_group.h"

namespace cardiograd {

namespace {

static_assert(sizeof(ncclUniqueId) == sizeof(DeviceGroupId));

// The library's functions by name, for it is not linked.
struct Api {
  decltype(&::ncclGetVersion) get_version;
  decltype(&::ncclGetErrorString) error_string;
  decltype(&::ncclGetLastError) last_error;
  decltype(&::ncclGetUniqueId) unique_id;
  decltype(&::ncclCommInitRankConfig) join;
  decltype(&::ncclCommGetAsyncError) state;
  decltype(&::ncclCommFinalize) finalize;
  decltype(&::ncclCommDestroy) destroy;
  decltype(&::ncclCommAbort) abort;
  decltype(&::ncclAllReduce) all_reduce;
  decltype(&::ncclAllGather) all_gather;

  explicit Api(const cuda::SharedLibrary& library) {
    library.find(get_version, "ncclGetVersion");
    library.find(error_string, "ncclGetErrorString");
    library.find(last_error, "ncclGetLastError");
    library.find(unique_id, "ncclGetUniqueId");
    library.find(join, "ncclCommInitRankConfig");
    library.find(state, "ncclCommGetAsyncError");
    library.find(finalize, "ncclCommFinalize");
    library.find(destroy, "ncclCommDestroy");
    library.find(abort, "ncclCommAbort");
    library.find(all_reduce, "ncclAllReduce");
    library.find(all_gather, "ncclAllGather");
  }
  std::size_t version() const {
    int version = 0;
    static_cast<void>(get_version(&version));
    return static_cast<std::size_t>(version);
  }
};

const cuda::Loaded<Api>& loaded() {
  static const auto once = cuda::load<Api>("libnccl.so." + std::to_string(NCCL_MAJOR));
  return once;
}

const Api& library() {
  if (loaded().api) return *loaded().api;
  throw DeviceError("several processes on GPUs need NCCL 2.28 or later, which cannot be loaded (" +
                    loaded().why + "): install it, or start one process");
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

class NcclGroup final : public DeviceGroup {
 public:
  NcclGroup(std::shared_ptr<CudaBackend> backend, int rank, int size, const DeviceGroupId& id)
      : backend_(std::move(backend)), stream_(cuda::create_stream()) {
    ncclUniqueId unique;
    std::memcpy(&unique, id.data(), sizeof unique);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    accept(api_.join(&comm_, size, unique, rank, &config));
  }

  ~NcclGroup() override {
    if (comm_ != nullptr) end();
    cuda::destroy_stream(stream_);
  }

  std::string name() const override {
    std::string why;
    return "NCCL " + cuda::version_of(loaded(), why);
  }

  State state() override {
    if (comm_ == nullptr || result_ != ncclSuccess) return State::failed;
    ncclResult_t asynchronous = ncclSuccess;
    const ncclResult_t status = api_.state(comm_, &asynchronous);
    if (status == ncclSuccess && asynchronous == ncclInProgress) return State::working;
    accept(status != ncclSuccess ? status : asynchronous);
    return result_ == ncclSuccess ? State::ready : State::failed;
  }

  std::string failure() override {
    const std::string said = api_.error_string(result_);
    const char* details = api_.last_error(comm_);
    return "NCCL says: " + said +
           (details != nullptr && *details != '\0' ? std::string(" (") + details + ")" : "");
  }

  void enqueue_all_reduce_sum(const View& view) override {
    fork();
    accept(api_.all_reduce(view.data, view.data, static_cast<std::size_t>(view.numel()),
                           type_of(view.dtype), ncclSum, comm_, native()));
  }

  void enqueue_all_gather(const ConstView& mine, const View& all) override {
    fork();
    accept(api_.all_gather(mine.data, all.data, mine.bytes(), ncclUint8, comm_, native()));
  }

  void mark(std::size_t slot) override {
    while (marks_.size() <= slot) marks_.push_back(std::make_unique<cuda::OwnedEvent>());
    cuda::record_event(marks_[slot]->get(), stream_);
  }

  void join(std::size_t slot) override {
    cuda::wait_for_event(backend_->stream(), marks_.at(slot)->get());
  }

  bool idle() override { return cuda::is_idle(backend_->stream()) && cuda::is_idle(stream_); }

  void abort() noexcept override {
    if (comm_ != nullptr) static_cast<void>(api_.abort(comm_));
    comm_ = nullptr;
  }

 private:
  cudaStream_t native() const { return static_cast<cudaStream_t>(stream_); }

  // Keeps the first failure; what is under way is no failure.
  void accept(ncclResult_t result) {
    if (result_ == ncclSuccess && result != ncclInProgress) result_ = result;
  }

  void fork() {
    cuda::record_event(fork_.get(), backend_->stream());
    cuda::wait_for_event(stream_, fork_.get());
  }

  // Leaves the group when the others do; a rank that stays behind is not waited for long.
  void end() noexcept {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    bool orderly = state() == State::ready;
    if (orderly) accept(api_.finalize(comm_));
    while (orderly && state() == State::working) {
      orderly = std::chrono::steady_clock::now() < deadline;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    static_cast<void>(orderly && result_ == ncclSuccess ? api_.destroy(comm_) : api_.abort(comm_));
    comm_ = nullptr;
  }

  const Api& api_ = library();
  std::shared_ptr<CudaBackend> backend_;
  cuda::Stream stream_;
  ncclComm_t comm_ = nullptr;
  ncclResult_t result_ = ncclSuccess;
  cuda::OwnedEvent fork_;
  std::vector<std::unique_ptr<cuda::OwnedEvent>> marks_;
};

DeviceGroupId new_id() {
  ncclUniqueId unique;
  const Api& api = library();
  if (const ncclResult_t status = api.unique_id(&unique); status != ncclSuccess) {
    throw DeviceError(std::string("NCCL cannot begin a group: ") + api.error_string(status) + " (" +
                      api.last_error(nullptr) + ")");
  }
  DeviceGroupId id;
  std::memcpy(id.data(), &unique, sizeof unique);
  return id;
}

}  // namespace

std::string device_group_library() {
  std::string why;
  const std::string version = cuda::version_of(loaded(), why);
  return version.empty() ? "no NCCL (" + why + ")" : "NCCL " + version;
}

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
