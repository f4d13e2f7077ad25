// cudnn.h by the library's graph API: a graph of one convolution, the addition of a bias where
// there is one, and a ReLU where it is wanted, of which cuDNN's heuristics name engines. A record
// is an image of height 1, its channels innermost (NHWC).
#include "kernels/cuda/cudnn.h"

#include <algorithm>
#include <array>
#include <cudnn_graph.h>
#include <iterator>
#include <mutex>
#include <span>
#include <utility>

#include "kernels/cuda/cudnn_loading.h"

namespace cardiograd::cuda {
namespace {

// Many differ in the size of their tiles alone.
constexpr std::size_t plans_wanted = 8;
// To ask for them costs little, and in strict f32 most of the first ones fall away.
constexpr std::int64_t configurations_wanted = 100;
constexpr std::int64_t most_workspace = std::int64_t{256} << 20;

// The library's functions by name, for it is not linked.
struct Api {
  decltype(&::cudnnCreate) create;
  decltype(&::cudnnDestroy) destroy;
  decltype(&::cudnnSetStream) set_stream;
  decltype(&::cudnnGetVersion) version;
  decltype(&::cudnnGetErrorString) error_string;
  decltype(&::cudnnBackendCreateDescriptor) create_descriptor;
  decltype(&::cudnnBackendDestroyDescriptor) destroy_descriptor;
  decltype(&::cudnnBackendSetAttribute) set_attribute;
  decltype(&::cudnnBackendGetAttribute) get_attribute;
  decltype(&::cudnnBackendFinalize) finalize;
  decltype(&::cudnnBackendExecute) execute;

  explicit Api(const SharedLibrary& library) {
    library.find(create, "cudnnCreate");
    library.find(destroy, "cudnnDestroy");
    library.find(set_stream, "cudnnSetStream");
    library.find(version, "cudnnGetVersion");
    library.find(error_string, "cudnnGetErrorString");
    library.find(create_descriptor, "cudnnBackendCreateDescriptor");
    library.find(destroy_descriptor, "cudnnBackendDestroyDescriptor");
    library.find(set_attribute, "cudnnBackendSetAttribute");
    library.find(get_attribute, "cudnnBackendGetAttribute");
    library.find(finalize, "cudnnBackendFinalize");
    library.find(execute, "cudnnBackendExecute");
  }
};

// One of the graph API's objects.
class Descriptor {
 public:
  Descriptor(const Api& api, cudnnBackendDescriptorType_t type) : api_(&api) {
    check(api, api.create_descriptor(type, &raw_), "describing a convolution");
  }
  ~Descriptor() {
    if (raw_ != nullptr) static_cast<void>(api_->destroy_descriptor(raw_));
  }
  Descriptor(Descriptor&& other) noexcept
      : api_(other.api_), raw_(std::exchange(other.raw_, nullptr)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  cudnnBackendDescriptor_t get() const { return raw_; }

  template <class T>
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
           std::span<const T> values) const {
    check(*api_,
          api_->set_attribute(raw_, name, type, static_cast<std::int64_t>(values.size()),
                              values.data()),
          "describing a convolution");
  }
  template <class T>
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
           const T& value) const {
    set(name, type, std::span<const T>(&value, 1));
  }
  void set(cudnnBackendAttributeName_t name, const Descriptor& part) const {
    set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, part.raw_);
  }
  void finalize(const char* what = "describing a convolution") const {
    check(*api_, api_->finalize(raw_), what);
  }
  // Fills at most values.size() elements; how many there are.
  template <class T>
  std::int64_t read(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                    std::span<T> values) const {
    std::int64_t count = 0;
    check(*api_,
          api_->get_attribute(raw_, name, type, static_cast<std::int64_t>(values.size()), &count,
                              values.data()),
          "asking for a convolution's plans");
    return std::min(count, static_cast<std::int64_t>(values.size()));
  }

 private:
  const Api* api_;
  cudnnBackendDescriptor_t raw_ = nullptr;
};

// Names of tensors in a graph.
enum Tensors : std::int64_t {
  tensor_x = 1,
  tensor_weight,
  tensor_y,
  tensor_bias,
  tensor_product,
  tensor_sum
};

cudnnDataType_t type_of(DType dtype) {
  return dtype == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

// Bytes that a tensor's address is a multiple of.
std::int64_t alignment_of(const ConvolutionPlan& plan, Tensors name) {
  switch (name) {
    case tensor_x:
    case tensor_y:
      return plan.alignment;
    case tensor_bias:
      return plan.bias_alignment;
    case tensor_weight:
    case tensor_product:
    case tensor_sum:
      break;
  }
  return 16;
}

// [lines, steps, channels] in memory, or [lines, channels, steps], as the plan says. A virtual
// tensor lives inside a kernel, in f32.
Descriptor tensor(const Api& api, const ConvolutionPlan& plan, Tensors name, std::int64_t lines,
                  std::int64_t steps, std::int64_t channels) {
  const bool is_virtual = name == tensor_product || name == tensor_sum;
  const std::array<std::int64_t, 4> sizes{lines, channels, 1, steps};
  const bool last = plan.layout == ConvolutionLayout::channels_last;
  const std::array<std::int64_t, 4> strides{steps * channels, last ? 1 : steps,
                                            last ? steps * channels : steps, last ? channels : 1};
  Descriptor made(api, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  made.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE,
           is_virtual ? CUDNN_DATA_FLOAT : type_of(plan.dtype));
  made.set<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64,
                         std::span<const std::int64_t>(sizes));
  made.set<std::int64_t>(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64,
                         std::span<const std::int64_t>(strides));
  made.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, static_cast<std::int64_t>(name));
  made.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, alignment_of(plan, name));
  made.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, is_virtual);
  made.finalize();
  return made;
}

Descriptor convolution_of(const Api& api, const Conv1dSpec& spec) {
  const auto set_pair = [](const Descriptor& to, cudnnBackendAttributeName_t name,
                           std::int64_t height, std::int64_t length) {
    const std::array<std::int64_t, 2> pair{height, length};
    to.set<std::int64_t>(name, CUDNN_TYPE_INT64, std::span<const std::int64_t>(pair));
  };
  Descriptor made(api, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  made.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, std::int64_t{2});
  made.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  made.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION);
  set_pair(made, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 0, spec.padding);
  set_pair(made, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 0, spec.padding);
  set_pair(made, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 1, spec.stride);
  set_pair(made, CUDNN_ATTR_CONVOLUTION_DILATIONS, 1, spec.dilation);
  made.finalize();
  return made;
}

// What differs between the three passes: the operation, and the names of its parts.
struct PassNames {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t convolution, x, weight, y, alpha, beta;
};

PassNames names_of(ConvolutionPass pass) {
  switch (pass) {
    case ConvolutionPass::data:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case ConvolutionPass::weight:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
    case ConvolutionPass::forward:
      break;
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
}

// A convolution and what is done to its result. Its parts live as long as plans made of it.
class Graph {
 public:
  Graph(const Api& api, cudnnHandle_t handle, const ConvolutionPlan& plan)
      : api_(api), whole_(api, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
    std::vector<cudnnBackendDescriptor_t> operations{convolve(plan)};
    if (plan.bias) operations.push_back(add_bias(plan));
    if (plan.relu) operations.push_back(cut_negative(plan));
    whole_.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle);
    whole_.set<cudnnBackendDescriptor_t>(CUDNN_ATTR_OPERATIONGRAPH_OPS,
                                         CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                         std::span<const cudnnBackendDescriptor_t>(operations));
    whole_.finalize();
  }

  const Descriptor& whole() const { return whole_; }

 private:
  // References stay valid when more parts come.
  const Descriptor& keep(Descriptor part) {
    parts_.push_back(std::make_unique<const Descriptor>(std::move(part)));
    return *parts_.back();
  }

  const Descriptor& output(const ConvolutionPlan& plan, Tensors name) {
    const Conv1dShape& shape = plan.shape;
    return keep(tensor(api_, plan, name, shape.records, shape.output_length, shape.outputs));
  }

  cudnnBackendDescriptor_t convolve(const ConvolutionPlan& plan) {
    const Conv1dShape& shape = plan.shape;
    const PassNames names = names_of(plan.pass);
    product_ = &output(plan, plan.bias || plan.relu ? tensor_product : tensor_y);
    const Descriptor& operation = keep(Descriptor(api_, names.operation));
    operation.set(names.convolution, keep(convolution_of(api_, shape.spec)));
    operation.set(names.x,
                  keep(tensor(api_, plan, tensor_x, shape.records, shape.length, shape.inputs)));
    operation.set(names.weight, keep(tensor(api_, plan, tensor_weight, shape.outputs, shape.kernel,
                                            shape.inputs / shape.spec.groups)));
    operation.set(names.y, *product_);
    operation.set(names.alpha, CUDNN_TYPE_FLOAT, 1.0F);
    operation.set(names.beta, CUDNN_TYPE_FLOAT, 0.0F);
    operation.finalize();
    return operation.get();
  }

  // An operation on each element of what the graph has computed so far, which becomes `to`.
  const Descriptor& pointwise(const Descriptor& mode, const ConvolutionPlan& plan, Tensors to) {
    mode.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
    mode.finalize();
    const Descriptor& operation =
        keep(Descriptor(api_, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR));
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, mode);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, *product_);
    product_ = &output(plan, to);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, *product_);
    return operation;
  }

  const Descriptor& mode_of(cudnnPointwiseMode_t what) {
    const Descriptor& mode = keep(Descriptor(api_, CUDNN_BACKEND_POINTWISE_DESCRIPTOR));
    mode.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, what);
    return mode;
  }

  cudnnBackendDescriptor_t add_bias(const ConvolutionPlan& plan) {
    const Descriptor& operation =
        pointwise(mode_of(CUDNN_POINTWISE_ADD), plan, plan.relu ? tensor_sum : tensor_y);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                  keep(tensor(api_, plan, tensor_bias, 1, 1, plan.shape.outputs)));
    operation.finalize();
    return operation.get();
  }

  cudnnBackendDescriptor_t cut_negative(const ConvolutionPlan& plan) {
    const Descriptor& mode = mode_of(CUDNN_POINTWISE_RELU_FWD);
    const Descriptor& operation = pointwise(mode, plan, tensor_y);
    operation.finalize();
    return operation.get();
  }

  const Api& api_;
  std::vector<std::unique_ptr<const Descriptor>> parts_;
  const Descriptor* product_ = nullptr;  // what the operations so far give
  Descriptor whole_;
};

std::vector<Descriptor> configurations(const Api& api, const Descriptor& graph,
                                       cudnnBackendHeurMode_t mode) {
  const Descriptor search(api, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  search.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  search.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
  search.finalize("asking for a convolution's plans");
  std::vector<Descriptor> found;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (std::int64_t i = 0; i < configurations_wanted; ++i) {
    found.emplace_back(api, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    raw.push_back(found.back().get());
  }
  const std::int64_t count =
      search.read(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                  std::span<cudnnBackendDescriptor_t>(raw));
  while (std::ssize(found) > count) found.pop_back();
  return found;
}

// What an engine says of its arithmetic.
struct Engine {
  std::int64_t number = 0;
  std::vector<cudnnBackendNumericalNote_t> notes;

  Engine(const Api& api, const Descriptor& configuration) {
    const Descriptor engine(api, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    std::array<cudnnBackendDescriptor_t, 1> raw{engine.get()};
    configuration.read(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                       std::span<cudnnBackendDescriptor_t>(raw));
    engine.read(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64,
                std::span<std::int64_t>(&number, 1));
    notes.resize(CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
    notes.resize(static_cast<std::size_t>(
        engine.read(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                    std::span<cudnnBackendNumericalNote_t>(notes))));
  }

  bool has(cudnnBackendNumericalNote_t note) const {
    return std::find(notes.begin(), notes.end(), note) != notes.end();
  }
  // Tensor cores read f32 as TF32. What transforms to other sums, or sums in less than f32, is
  // never wanted.
  bool computes(const ConvolutionPlan& plan) const {
    const bool exact = plan.dtype == DType::f32 && plan.math == MathMode::exact;
    return !(exact && has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE)) &&
           !has(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS) &&
           !has(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION) &&
           !has(CUDNN_NUMERICAL_NOTE_FFT) && !has(CUDNN_NUMERICAL_NOTE_WINOGRAD);
  }
};

// A handle on one stream, shared by its plans.
struct Session {
  const Api& api;
  cudnnHandle_t handle = nullptr;
  std::mutex mutex{};

  Session(const Api& table, Stream stream) : api(table) {
    check(api, api.create(&handle), "starting");
    if (const cudnnStatus_t status = api.set_stream(handle, static_cast<cudaStream_t>(stream));
        status != CUDNN_STATUS_SUCCESS) {
      static_cast<void>(api.destroy(handle));
      check(api, status, "choosing a stream");
    }
  }
  ~Session() { static_cast<void>(api.destroy(handle)); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
};

class Plan {
 public:
  // Throws where the engine cannot do it after all.
  Plan(std::shared_ptr<Session> session, std::shared_ptr<const Graph> graph,
       const ConvolutionPlan& plan, Descriptor configuration)
      : session_(std::move(session)),
        graph_(std::move(graph)),
        configuration_(std::move(configuration)),
        pass_(plan.pass),
        bias_(plan.bias),
        plan_(session_->api, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
    plan_.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, session_->handle);
    plan_.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration_);
    plan_.finalize("making a convolution's plan");
    plan_.read(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64,
               std::span<std::int64_t>(&workspace_, 1));
  }

  std::int64_t workspace() const { return workspace_; }

  void run(const PlanOperands& operands) const {
    std::vector<std::int64_t> names{tensor_x, tensor_weight, tensor_y};
    std::vector<const void*> data;
    switch (pass_) {
      case ConvolutionPass::forward:
        data = {operands.in[0], operands.in[1], operands.out[0]};
        break;
      case ConvolutionPass::data:
        data = {operands.out[0], operands.in[1], operands.in[0]};
        break;
      case ConvolutionPass::weight:
        data = {operands.in[0], operands.out[0], operands.in[1]};
        break;
    }
    if (bias_) {
      names.push_back(tensor_bias);
      data.push_back(operands.in[2]);
    }
    const Descriptor pack(session_->api, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set<std::int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64,
                           std::span<const std::int64_t>(names));
    pack.set<const void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
                          std::span<const void* const>(data));
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, operands.workspace);
    pack.finalize();
    const std::lock_guard lock(session_->mutex);
    check(session_->api, session_->api.execute(session_->handle, plan_.get(), pack.get()),
          "a convolution");
  }

 private:
  std::shared_ptr<Session> session_;
  std::shared_ptr<const Graph> graph_;
  Descriptor configuration_;
  ConvolutionPass pass_;
  bool bias_;
  Descriptor plan_;
  std::int64_t workspace_ = 0;
};

class LoadedCudnn final : public Cudnn {
 public:
  LoadedCudnn(const Api& api, Stream stream) : session_(std::make_shared<Session>(api, stream)) {}

  std::vector<Candidate> convolutions(const ConvolutionPlan& plan) override {
    std::vector<Candidate> candidates;
    const auto graph = std::make_shared<const Graph>(session_->api, session_->handle, plan);
    for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
      try {
        for (Descriptor& each : configurations(session_->api, graph->whole(), mode)) {
          if (candidates.size() < plans_wanted) add(plan, graph, std::move(each), candidates);
        }
      } catch (const DeviceError&) {  // this heuristic knows none
      }
    }
    return candidates;
  }

 private:
  void add(const ConvolutionPlan& plan, const std::shared_ptr<const Graph>& graph,
           Descriptor configuration, std::vector<Candidate>& candidates) const {
    const Engine engine(session_->api, configuration);
    if (!engine.computes(plan)) return;
    std::shared_ptr<const Plan> made;
    try {
      made = std::make_shared<const Plan>(session_, graph, plan, std::move(configuration));
    } catch (const DeviceError&) {  // not for this shape or GPU
      return;
    }
    if (made->workspace() > most_workspace) return;
    candidates.push_back({family_of(plan) + ":" + std::to_string(candidates.size()) + ":engine" +
                              std::to_string(engine.number),
                          !engine.has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC),
                          static_cast<std::size_t>(made->workspace()),
                          [made](const PlanOperands& operands) { made->run(operands); }});
  }

  std::shared_ptr<Session> session_;
};

}  // namespace

std::unique_ptr<Cudnn> make_cudnn(Stream stream) {
  return made_with<Cudnn, LoadedCudnn>(loaded_cudnn<Api>(), stream);
}

std::string cudnn_version(std::string& why) { return version_of(loaded_cudnn<Api>(), why); }

}  // namespace cardiograd::cuda
