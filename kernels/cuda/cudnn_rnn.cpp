// cudnn_rnn.h by the library's RNN API of version 8 and later: batch-major sequences without
// padding, one layer, both biases. Left out is the algorithm PERSIST_DYNAMIC, which compiles at run
// time. cuDNN numbers an LSTM's matrices i, f, g, o of the input (0 to 3), then of the hidden state
// (4 to 7): PyTorch's order.
//
// Determinism: NVIDIA's guide counts no RNN routine among those whose bits differ from run to run,
// but its release notes say that the products of all algorithms, which cuBLAS computes in several
// streams, may take another kernel where cuBLAS has workspaces of two sizes to choose from, as it
// has by default. CUBLAS_WORKSPACE_CONFIG with one size ends that: it is set here, unless the user
// has set it; where that leaves two sizes, no plan here counts as deterministic.
#include "kernels/cuda/cudnn_rnn.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cudnn_adv.h>
#include <limits>
#include <mutex>
#include <string_view>
#include <utility>

#include "kernels/cuda/cudnn_loading.h"

namespace cardiograd::cuda {
namespace {

// The library's functions by name, for it is not linked.
struct Api {
  decltype(&::cudnnCreate) create;
  decltype(&::cudnnDestroy) destroy;
  decltype(&::cudnnSetStream) set_stream;
  decltype(&::cudnnGetErrorString) error_string;
  decltype(&::cudnnCreateTensorDescriptor) create_tensor;
  decltype(&::cudnnSetTensorNdDescriptor) set_tensor;
  decltype(&::cudnnDestroyTensorDescriptor) destroy_tensor;
  decltype(&::cudnnCreateDropoutDescriptor) create_dropout;
  decltype(&::cudnnSetDropoutDescriptor) set_dropout;
  decltype(&::cudnnDestroyDropoutDescriptor) destroy_dropout;
  decltype(&::cudnnCreateRNNDescriptor) create_rnn;
  decltype(&::cudnnSetRNNDescriptor_v8) set_rnn;
  decltype(&::cudnnDestroyRNNDescriptor) destroy_rnn;
  decltype(&::cudnnCreateRNNDataDescriptor) create_data;
  decltype(&::cudnnSetRNNDataDescriptor) set_data;
  decltype(&::cudnnDestroyRNNDataDescriptor) destroy_data;
  decltype(&::cudnnGetRNNTempSpaceSizes) temporary_sizes;
  decltype(&::cudnnGetRNNWeightSpaceSize) weight_size;
  decltype(&::cudnnGetRNNWeightParams) weight_part;
  decltype(&::cudnnRNNForward) forward;
  decltype(&::cudnnRNNBackwardData_v8) backward_data;
  decltype(&::cudnnRNNBackwardWeights_v8) backward_weights;

  explicit Api(const SharedLibrary& library) {
    library.find(create, "cudnnCreate");
    library.find(destroy, "cudnnDestroy");
    library.find(set_stream, "cudnnSetStream");
    library.find(error_string, "cudnnGetErrorString");
    library.find(create_tensor, "cudnnCreateTensorDescriptor");
    library.find(set_tensor, "cudnnSetTensorNdDescriptor");
    library.find(destroy_tensor, "cudnnDestroyTensorDescriptor");
    library.find(create_dropout, "cudnnCreateDropoutDescriptor");
    library.find(set_dropout, "cudnnSetDropoutDescriptor");
    library.find(destroy_dropout, "cudnnDestroyDropoutDescriptor");
    library.find(create_rnn, "cudnnCreateRNNDescriptor");
    library.find(set_rnn, "cudnnSetRNNDescriptor_v8");
    library.find(destroy_rnn, "cudnnDestroyRNNDescriptor");
    library.find(create_data, "cudnnCreateRNNDataDescriptor");
    library.find(set_data, "cudnnSetRNNDataDescriptor");
    library.find(destroy_data, "cudnnDestroyRNNDataDescriptor");
    library.find(temporary_sizes, "cudnnGetRNNTempSpaceSizes");
    library.find(weight_size, "cudnnGetRNNWeightSpaceSize");
    library.find(weight_part, "cudnnGetRNNWeightParams");
    library.find(forward, "cudnnRNNForward");
    library.find(backward_data, "cudnnRNNBackwardData_v8");
    library.find(backward_weights, "cudnnRNNBackwardWeights_v8");
  }
};

// One of the library's objects; create and destroy are its functions in Api.
template <class Raw, auto create, auto destroy>
class Owned {
 public:
  explicit Owned(const Api& api) : api_(api) {
    check(api, (api.*create)(&raw_), "describing a recurrent layer");
  }
  ~Owned() { static_cast<void>((api_.*destroy)(raw_)); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;

  operator Raw() const { return raw_; }  // NOLINT: it stands where the library wants it

 private:
  const Api& api_;
  Raw raw_ = nullptr;
};
using Tensor = Owned<cudnnTensorDescriptor_t, &Api::create_tensor, &Api::destroy_tensor>;
using Dropout = Owned<cudnnDropoutDescriptor_t, &Api::create_dropout, &Api::destroy_dropout>;
using Rnn = Owned<cudnnRNNDescriptor_t, &Api::create_rnn, &Api::destroy_rnn>;
using Sequences = Owned<cudnnRNNDataDescriptor_t, &Api::create_data, &Api::destroy_data>;

// A handle on one stream, shared by its plans.
struct Session {
  const Api& api;
  Owned<cudnnHandle_t, &Api::create, &Api::destroy> handle;
  std::mutex mutex{};

  Session(const Api& table, Stream stream) : api(table), handle(table) {
    check(api, api.set_stream(handle, static_cast<cudaStream_t>(stream)), "choosing a stream");
  }
};

// CUBLAS_WORKSPACE_CONFIG is a list of ":size:count".
bool cublas_has_one_workspace_size() {
  const char* value = std::getenv("CUBLAS_WORKSPACE_CONFIG");
  const std::string_view text = value == nullptr ? "" : value;
  return text.starts_with(':') && std::count(text.begin(), text.end(), ':') == 2;
}

cudnnDataType_t type_of(DType dtype) {
  return dtype == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

// Whether tensor cores may be used, and for f32 whether they may round factors.
cudnnMathType_t math_of(const RnnShape& shape) {
  if (shape.dtype == DType::bf16) return CUDNN_TENSOR_OP_MATH;
  return shape.math == MathMode::tf32 ? CUDNN_DEFAULT_MATH : CUDNN_FMA_MATH;
}

struct Algorithm {
  cudnnRNNAlgo_t number;
  const char* name;
};
constexpr std::array algorithms{
    Algorithm{CUDNN_RNN_ALGO_STANDARD, "cudnn:standard"},
    Algorithm{CUDNN_RNN_ALGO_PERSIST_STATIC, "cudnn:persist-static"},
    Algorithm{CUDNN_RNN_ALGO_PERSIST_STATIC_SMALL_H, "cudnn:persist-small-h"}};

class LoadedPlan final : public RnnPlan {
 public:
  // Throws where the library has no such algorithm for the shape.
  LoadedPlan(std::shared_ptr<Session> session, const RnnShape& shape, const Algorithm& algorithm)
      : session_(std::move(session)),
        dropout_(session_->api),
        rnn_(session_->api),
        x_(session_->api),
        y_(session_->api),
        state_(session_->api) {
    name = algorithm.name;
    deterministic = cublas_has_one_workspace_size();
    describe(shape, algorithm.number);
    std::size_t none = 0;
    const Api& api = session_->api;
    check(api,
          api.temporary_sizes(session_->handle, rnn_, CUDNN_FWD_MODE_TRAINING, x_, &workspace,
                              &reserve),
          "asking for a recurrent layer's memory");
    check(api,
          api.temporary_sizes(session_->handle, rnn_, CUDNN_FWD_MODE_INFERENCE, x_,
                              &inference_workspace, &none),
          "asking for a recurrent layer's memory");
    find_weights(shape);
  }

  void forward(const RnnForward& o) const override {
    const bool trains = o.reserve != nullptr;
    const std::lock_guard lock(session_->mutex);
    check(session_->api,
          session_->api.forward(session_->handle, rnn_,
                                trains ? CUDNN_FWD_MODE_TRAINING : CUDNN_FWD_MODE_INFERENCE,
                                static_cast<const std::int32_t*>(o.lengths), x_, o.x, y_, o.y,
                                state_, nullptr, o.last, state_, nullptr, nullptr, weight_bytes_,
                                o.weights, trains ? workspace : inference_workspace, o.workspace,
                                trains ? reserve : 0, o.reserve),
          "a recurrent layer");
  }

  void backward(const RnnBackward& o) const override {
    const auto* lengths = static_cast<const std::int32_t*>(o.lengths);
    const std::lock_guard lock(session_->mutex);
    check(session_->api,
          session_->api.backward_data(session_->handle, rnn_, lengths, y_, o.y, o.dy, x_, o.dx,
                                      state_, nullptr, o.dlast, nullptr, state_, nullptr, nullptr,
                                      nullptr, weight_bytes_, o.weights, workspace, o.workspace,
                                      reserve, o.reserve),
          "a recurrent layer's gradient");
    // To overwrite the weights' gradients is in the interface but not in the library.
    check(session_->api,
          session_->api.backward_weights(session_->handle, rnn_, CUDNN_WGRAD_MODE_ADD, lengths, x_,
                                         o.x, state_, nullptr, y_, o.y, weight_bytes_, o.dweights,
                                         workspace, o.workspace, reserve, o.reserve),
          "the gradient of a recurrent layer's weights");
  }

 private:
  void describe(const RnnShape& shape, cudnnRNNAlgo_t algorithm) const {
    constexpr const char* what = "describing a recurrent layer";
    const Api& api = session_->api;
    const auto inputs = static_cast<int>(shape.inputs), units = static_cast<int>(shape.units);
    const auto records = static_cast<int>(shape.records), length = static_cast<int>(shape.length);
    const cudnnDataType_t type = type_of(shape.dtype);
    // Without dropout there is no random state.
    check(api, api.set_dropout(dropout_, session_->handle, 0.0F, nullptr, 0, 0), what);
    check(api,
          api.set_rnn(rnn_, algorithm, CUDNN_LSTM, CUDNN_RNN_DOUBLE_BIAS, CUDNN_UNIDIRECTIONAL,
                      CUDNN_LINEAR_INPUT, type, CUDNN_DATA_FLOAT, math_of(shape), inputs, units,
                      units, 1, dropout_, CUDNN_RNN_PADDED_IO_ENABLED),
          what);
    const std::vector<int> lengths(static_cast<std::size_t>(records), length);
    const auto sequences = [&](const Sequences& data, int columns) {
      check(api,
            api.set_data(data, type, CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED, length, records,
                         columns, lengths.data(), nullptr),
            what);
    };
    sequences(x_, inputs);
    sequences(y_, units);
    const std::array<int, 3> sizes{1, records, units}, strides{records * units, units, 1};
    check(api, api.set_tensor(state_, type, 3, sizes.data(), strides.data()), what);
  }

  void find_weights(const RnnShape& shape) {
    constexpr const char* what = "asking for a recurrent layer's weights";
    const Api& api = session_->api;
    check(api, api.weight_size(session_->handle, rnn_, &weight_bytes_), what);
    const std::size_t element = size_of(shape.dtype);
    weights.size = static_cast<std::int64_t>((weight_bytes_ + element - 1) / element);
    // The library only counts from the block's address, which nobody reads.
    alignas(256) static char base;
    const Tensor matrix(api), vector(api);
    for (int part = 0; part < 8; ++part) {
      void* matrix_at = nullptr;
      void* vector_at = nullptr;
      check(api,
            api.weight_part(session_->handle, rnn_, 0, weight_bytes_, &base, part, matrix,
                            &matrix_at, vector, &vector_at),
            what);
      const auto element_of = [&](void* at, std::int64_t count) {
        const std::intptr_t bytes =
            reinterpret_cast<std::intptr_t>(at) - reinterpret_cast<std::intptr_t>(&base);
        const auto first = static_cast<std::int64_t>(bytes) / static_cast<std::int64_t>(element);
        if (at == nullptr || bytes < 0 || first + count > weights.size) {
          throw DeviceError("cuDNN: a recurrent layer's weights lie outside their block");
        }
        return first;
      };
      const bool of_input = part < 4;
      const int gate = part % 4;
      (of_input ? weights.ih : weights.hh)[gate] =
          element_of(matrix_at, shape.units * (of_input ? shape.inputs : shape.units));
      (of_input ? weights.bias_ih : weights.bias_hh)[gate] = element_of(vector_at, shape.units);
    }
  }

  std::shared_ptr<Session> session_;
  Dropout dropout_;
  Rnn rnn_;
  Sequences x_, y_;
  Tensor state_;
  std::size_t weight_bytes_ = 0;
};

// The library counts in 32 bits, and has no layer without inputs.
bool has_layer(const RnnShape& shape) {
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  if (std::min({shape.records, shape.length, shape.inputs, shape.units}) < 1) return false;
  return shape.inputs <= most && shape.units <= most && shape.length <= most &&
         shape.records <= most / shape.units;
}

class LoadedCudnnRnn final : public CudnnRnn {
 public:
  LoadedCudnnRnn(const Api& api, Stream stream) : api_(api), stream_(stream) {}

  std::vector<std::shared_ptr<const RnnPlan>> lstm(const RnnShape& shape) override {
    std::vector<std::shared_ptr<const RnnPlan>> plans;
    if (!has_layer(shape)) return plans;
    const std::shared_ptr<Session> session = started();
    const std::lock_guard lock(session->mutex);
    for (const Algorithm& each : algorithms) {
      try {
        plans.push_back(std::make_shared<const LoadedPlan>(session, shape, each));
      } catch (const DeviceError&) {  // not for this shape or GPU
      }
    }
    return plans;
  }

 private:
  // The handle costs memory that a model without recurrence does not need.
  std::shared_ptr<Session> started() {
    const std::lock_guard lock(mutex_);
    if (!session_) session_ = std::make_shared<Session>(api_, stream_);
    return session_;
  }

  const Api& api_;
  Stream stream_;
  std::mutex mutex_;
  std::shared_ptr<Session> session_;
};

}  // namespace

std::unique_ptr<CudnnRnn> make_cudnn_rnn(Stream stream) {
  // Before the library makes cuBLAS's handles, which read it.
  static const int set = setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
  static_cast<void>(set);
  return made_with<CudnnRnn, LoadedCudnnRnn>(loaded_cudnn<Api>(), stream);
}

}  // namespace cardiograd::cuda
