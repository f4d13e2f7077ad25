// Convolutions by cuDNN's graph API, as candidates of the plan cache. Implemented by cudnn.cpp, or
// by cudnn_stub.cpp in builds without its headers and on the emulator. The library is loaded when
// the program runs; where it is missing there are no candidates.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/conv1d_direct.h"
#include "kernels/cuda/plan_cache.h"
#include "kernels/cuda/runtime.h"

namespace cardiograd::cuda {

// The order of operands: forward x, weight, bias -> y; data dy, weight -> dx; weight x, dy ->
// dweight.
enum class ConvolutionPass : std::uint8_t { forward, data, weight };

// The order of the tensors that the library sees. channels_last: x and y [N, L, C] as ours, weights
// [Co, k, Ci / groups]; channels_first: x and y [N, C, L], weights [Co, Ci / groups, k].
enum class ConvolutionLayout : std::uint8_t { channels_last, channels_first };

struct ConvolutionPlan {
  ConvolutionPass pass = ConvolutionPass::forward;
  Conv1dShape shape;
  bool bias = false;         // forward alone: added by the same plan
  bool relu = false;         // forward alone: what is negative becomes 0, in the same plan
  DType dtype = DType::f32;  // f32 or bf16, of all operands; sums are f32
  MathMode math = MathMode::exact;
  ConvolutionLayout layout = ConvolutionLayout::channels_last;
  int alignment = 16;       // bytes that the addresses of x and y are multiples of,
  int bias_alignment = 16;  // and the bias's; weights are the caller's copy, aligned to 256
};

// How the names of its candidates begin: "cudnn-ncl-bias".
inline std::string family_of(const ConvolutionPlan& plan) {
  return std::string("cudnn") + (plan.layout == ConvolutionLayout::channels_first ? "-ncl" : "") +
         (plan.bias ? "-bias" : "") + (plan.relu ? "-relu" : "");
}

class Cudnn {
 public:
  virtual ~Cudnn() = default;
  // The best plans by the library's own estimate, best first; none where it has no such
  // convolution. They stay valid as long as this. Their operands have the plan's layout, into which
  // the caller permutes ours; of weights, cuDNN has tensor-core kernels in these orders alone.
  virtual std::vector<Candidate> convolutions(const ConvolutionPlan& plan) = 0;
};

// For work on one stream of the current device; null where the library is missing or refuses.
std::unique_ptr<Cudnn> make_cudnn(Stream stream);

// "9.19.0", or empty where the library is missing; `why` then says what the loader said.
std::string cudnn_version(std::string& why);

}  // namespace cardiograd::cuda
