// Layers of LSTM by cuDNN's RNN API, as candidates of the plan cache. Implemented by cudnn_rnn.cpp,
// or by cudnn_stub.cpp in builds without its headers. The library is loaded when the program runs;
// where it is missing there are no plans.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/plan_cache.h"
#include "kernels/cuda/runtime.h"
#include "kernels/dtype.h"

namespace cardiograd::cuda {

// One layer, from the first time step to the last, of sequences of one length.
struct RnnShape {
  std::int64_t records = 0;
  std::int64_t length = 0;
  std::int64_t inputs = 0;
  std::int64_t units = 0;
  DType dtype = DType::f32;  // f32 or bf16, of all operands; sums are f32
  MathMode math = MathMode::exact;
};

// Where a layer's parameters lie in the one block that the library wants: the first element of each
// gate's matrix (units x inputs, units x units, row by row) and vectors; gates i, f, g, o.
struct RnnWeights {
  std::int64_t size = 0;  // elements of the block, with whatever lies between the parts
  std::int64_t ih[4] = {};
  std::int64_t hh[4] = {};
  std::int64_t bias_ih[4] = {};
  std::int64_t bias_hh[4] = {};
};

// Addresses are multiples of 16. `lengths`: the i32 length of each sequence, on the device.
struct RnnForward {
  const void* lengths = nullptr;
  const void* x = nullptr;        // [N, L, I]
  const void* weights = nullptr;  // RnnWeights
  void* y = nullptr;              // [N, L, H]
  void* last = nullptr;           // optional: [N, H], h of the last step
  void* workspace = nullptr;
  void* reserve = nullptr;  // for backward; null: there will be none
};
struct RnnBackward {
  const void* lengths = nullptr;
  const void* x = nullptr;
  const void* y = nullptr;
  const void* dy = nullptr;
  const void* dlast = nullptr;  // optional
  const void* weights = nullptr;
  void* dx = nullptr;
  void* dweights = nullptr;  // the gradients are added to what is there
  void* workspace = nullptr;
  void* reserve = nullptr;  // as forward left it; it is used up
};

// One of the library's algorithms for a shape.
class RnnPlan {
 public:
  virtual ~RnnPlan() = default;
  std::string name;  // "cudnn:persist-small-h"
  bool deterministic = false;
  RnnWeights weights;
  std::size_t workspace = 0;            // bytes, of a forward with reserve and of backward
  std::size_t inference_workspace = 0;  // bytes, of a forward without
  std::size_t reserve = 0;              // bytes

  // Queue the work. They throw where the library refuses.
  virtual void forward(const RnnForward& operands) const = 0;
  virtual void backward(const RnnBackward& operands) const = 0;
};

class CudnnRnn {
 public:
  virtual ~CudnnRnn() = default;
  // A plan for each algorithm that the library has for this shape. They stay valid as long as this.
  virtual std::vector<std::shared_ptr<const RnnPlan>> lstm(const RnnShape& shape) = 0;
};

// For work on one stream of the device that is current when plans are asked for; null where the
// library is missing.
std::unique_ptr<CudnnRnn> make_cudnn_rnn(Stream stream);

}  // namespace cardiograd::cuda
