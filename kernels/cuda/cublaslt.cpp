// cublaslt.h by the library. cuBLAS's matrices are column-major: ours, read so, are transposed, and
// c^T = b^T a^T is what it computes. Its A is our b, its B our a.
#include "kernels/cuda/cublaslt.h"

#include <array>
#include <cublasLt.h>
#include <limits>
#include <mutex>
#include <type_traits>
#include <utility>

#include "kernels/cuda/shared_library.h"

namespace cardiograd::cuda {
namespace {

constexpr int plans_wanted = 8;
// What NVIDIA advises for Hopper.
constexpr std::size_t most_workspace = std::size_t{32} << 20;

// The library's functions by name, for it is not linked.
struct Api {
  decltype(&::cublasLtCreate) create;
  decltype(&::cublasLtDestroy) destroy;
  decltype(&::cublasLtGetVersion) version;
  decltype(&::cublasLtGetStatusString) status_string;
  decltype(&::cublasLtMatmul) matmul;
  decltype(&::cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&::cublasLtMatmulDescCreate) desc_create;
  decltype(&::cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&::cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&::cublasLtMatrixLayoutCreate) layout_create;
  decltype(&::cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&::cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&::cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&::cublasLtMatmulPreferenceSetAttribute) preference_set;

  explicit Api(const SharedLibrary& library) {
    library.find(create, "cublasLtCreate");
    library.find(destroy, "cublasLtDestroy");
    library.find(version, "cublasLtGetVersion");
    library.find(status_string, "cublasLtGetStatusString");
    library.find(matmul, "cublasLtMatmul");
    library.find(heuristic, "cublasLtMatmulAlgoGetHeuristic");
    library.find(desc_create, "cublasLtMatmulDescCreate");
    library.find(desc_destroy, "cublasLtMatmulDescDestroy");
    library.find(desc_set, "cublasLtMatmulDescSetAttribute");
    library.find(layout_create, "cublasLtMatrixLayoutCreate");
    library.find(layout_destroy, "cublasLtMatrixLayoutDestroy");
    library.find(preference_create, "cublasLtMatmulPreferenceCreate");
    library.find(preference_destroy, "cublasLtMatmulPreferenceDestroy");
    library.find(preference_set, "cublasLtMatmulPreferenceSetAttribute");
  }
};

const Loaded<Api>& loaded() {
  static const Loaded<Api> once = load<Api>("libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR));
  return once;
}

void check(const Api& api, cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw DeviceError(std::string("cuBLASLt: ") + what + " failed: " + api.status_string(status));
}

template <class Pointer>
using Owned =
    std::unique_ptr<std::remove_pointer_t<Pointer>, cublasStatus_t(CUBLASWINAPI*)(Pointer)>;

Owned<cublasLtMatrixLayout_t> layout(const Api& api, cudaDataType_t type, std::int64_t rows,
                                     std::int64_t columns) {
  cublasLtMatrixLayout_t made = nullptr;
  check(api,
        api.layout_create(&made, type, static_cast<std::uint64_t>(rows),
                          static_cast<std::uint64_t>(columns), rows),
        "describing a matrix");
  return {made, api.layout_destroy};
}

template <class T>
void set(const Api& api, const Owned<cublasLtMatmulDesc_t>& desc,
         cublasLtMatmulDescAttributes_t attribute, const T& value) {
  check(api, api.desc_set(desc.get(), attribute, &value, sizeof value), "describing a product");
}

template <class T>
void set(const Api& api, const Owned<cublasLtMatmulPreference_t>& preference,
         cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
  check(api, api.preference_set(preference.get(), attribute, &value, sizeof value),
        "describing a search");
}

cudaDataType_t type_of(DType dtype) { return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

Owned<cublasLtMatmulDesc_t> describe(const Api& api, const ProductPlan& plan, const void* bias) {
  const bool tf32 = plan.dtype == DType::f32 && plan.math == MathMode::tf32;
  cublasLtMatmulDesc_t made = nullptr;
  check(
      api,
      api.desc_create(&made, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
      "describing a product");
  Owned<cublasLtMatmulDesc_t> desc(made, api.desc_destroy);
  set(api, desc, CUBLASLT_MATMUL_DESC_TRANSA, plan.b_along_depth ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(api, desc, CUBLASLT_MATMUL_DESC_TRANSB, plan.a_along_depth ? CUBLAS_OP_N : CUBLAS_OP_T);
  if (plan.extra != ProductExtra::none) {
    const cublasLtEpilogue_t epilogue =
        plan.extra == ProductExtra::bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_BGRADB;
    set(api, desc, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    set(api, desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE,
        static_cast<std::int32_t>(type_of(plan.dtype)));
    set(api, desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
  return desc;
}

// One product, shared by its plans.
class Product {
 public:
  Product(const Api& api, cublasLtHandle_t handle, Stream stream, const ProductPlan& plan,
          const void* bias)
      : api_(api),
        handle_(handle),
        stream_(stream),
        extra_(plan.extra),
        desc_(describe(api, plan, bias)),
        a_(plan.b_along_depth ? layout(api, type_of(plan.dtype), plan.depth, plan.columns)
                              : layout(api, type_of(plan.dtype), plan.columns, plan.depth)),
        b_(plan.a_along_depth ? layout(api, type_of(plan.dtype), plan.depth, plan.rows)
                              : layout(api, type_of(plan.dtype), plan.rows, plan.depth)),
        c_(layout(api, type_of(plan.dtype), plan.columns, plan.rows)) {}

  std::vector<cublasLtMatmulHeuristicResult_t> search(int alignment) const {
    cublasLtMatmulPreference_t made = nullptr;
    check(api_, api_.preference_create(&made), "describing a search");
    const Owned<cublasLtMatmulPreference_t> preference(made, api_.preference_destroy);
    set(api_, preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, most_workspace);
    // Parts of a sum are added in f32 and in a fixed order: the same bits in every run.
    set(api_, preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      set(api_, preference, attribute, static_cast<std::uint32_t>(alignment));
    }
    std::array<cublasLtMatmulHeuristicResult_t, plans_wanted> results{};
    int count = 0;
    const cublasStatus_t status =
        api_.heuristic(handle_, desc_.get(), a_.get(), b_.get(), c_.get(), c_.get(),
                       preference.get(), plans_wanted, results.data(), &count);
    if (status != CUBLAS_STATUS_SUCCESS) return {};
    return {results.begin(), results.begin() + count};
  }

  void run(const cublasLtMatmulAlgo_t& algorithm, std::size_t workspace,
           const PlanOperands& operands) {
    const float one = 1.0F, zero = 0.0F;
    const std::lock_guard lock(mutex_);  // the bias is part of the description
    if (extra_ != ProductExtra::none) {
      const void* bias = extra_ == ProductExtra::bias ? operands.in[2] : operands.out[1];
      set(api_, desc_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    }
    check(
        api_,
        api_.matmul(handle_, desc_.get(), &one, operands.in[1], a_.get(), operands.in[0], b_.get(),
                    &zero, operands.out[0], c_.get(), operands.out[0], c_.get(), &algorithm,
                    operands.workspace, workspace, static_cast<cudaStream_t>(stream_)),
        "a matrix product");
  }

 private:
  const Api& api_;
  cublasLtHandle_t handle_;
  Stream stream_;
  ProductExtra extra_;
  std::mutex mutex_;
  Owned<cublasLtMatmulDesc_t> desc_;
  Owned<cublasLtMatrixLayout_t> a_, b_, c_;
};

bool fits(const ProductPlan& plan) {
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  const auto is_side = [](std::int64_t size) { return size > 0 && size <= most; };
  return is_side(plan.rows) && is_side(plan.columns) && is_side(plan.depth);
}

class LoadedCublasLt final : public CublasLt {
 public:
  LoadedCublasLt(const Api& api, Stream stream) : api_(api), stream_(stream) {
    check(api, api.create(&handle_), "starting");
  }
  ~LoadedCublasLt() override { static_cast<void>(api_.destroy(handle_)); }
  LoadedCublasLt(const LoadedCublasLt&) = delete;
  LoadedCublasLt& operator=(const LoadedCublasLt&) = delete;

  std::vector<Candidate> products(const ProductPlan& plan, const void* bias) override {
    std::vector<Candidate> candidates;
    if (!fits(plan)) return candidates;
    const auto product = std::make_shared<Product>(api_, handle_, stream_, plan, bias);
    const std::string family =
        plan.extra == ProductExtra::bias_gradient ? "cublaslt-bgrad:" : "cublaslt:";
    for (const cublasLtMatmulHeuristicResult_t& result : product->search(plan.alignment)) {
      if (result.state != CUBLAS_STATUS_SUCCESS) continue;
      candidates.push_back(
          {family + std::to_string(candidates.size()), true, result.workspaceSize,
           [product, algorithm = result.algo, bytes = result.workspaceSize](
               const PlanOperands& operands) { product->run(algorithm, bytes, operands); }});
    }
    return candidates;
  }

 private:
  const Api& api_;
  Stream stream_;
  cublasLtHandle_t handle_ = nullptr;
};

}  // namespace

std::unique_ptr<CublasLt> make_cublaslt(Stream stream) {
  return made_with<CublasLt, LoadedCublasLt>(loaded(), stream);
}

std::string cublaslt_version(std::string& why) { return version_of(loaded(), why); }

}  // namespace cardiograd::cuda
