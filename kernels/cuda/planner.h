// A backend's libraries and its plan cache. Operations that have more than one way to be computed
// go through run_plan.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/block_cache.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/cudnn.h"
#include "kernels/cuda/cudnn_rnn.h"
#include "kernels/cuda/plan_cache.h"
#include "kernels/cuda/plan_file.h"
#include "kernels/cuda/runtime.h"

namespace cardiograd::cuda {

class Planner {
 public:
  // For work on one stream of device `index`, which this thread has selected. What users should
  // know goes to standard error.
  Planner(int index, Stream stream, BlockCache& workspaces, const PlanOptions& options);

  PlanCache& cache() { return cache_; }
  // How products of this dtype are computed.
  MathMode math(DType dtype) const { return dtype == DType::f32 ? math_ : MathMode::exact; }
  // What the libraries offer; nothing where one is missing or fails.
  std::vector<Candidate> products(const ProductPlan& plan, const void* bias);
  std::vector<Candidate> convolutions(const ConvolutionPlan& plan);
  std::vector<std::shared_ptr<const RnnPlan>> lstm(const RnnShape& shape);

 private:
  // Whether rules.only could mean a plan of this family ("cudnn-bias:"); the others are not built.
  bool may_serve(std::string_view family) const;

  MathMode math_;
  std::string only_;  // PlanRules::only
  std::unique_ptr<CublasLt> cublaslt_;
  std::unique_ptr<Cudnn> cudnn_;
  std::unique_ptr<CudnnRnn> cudnn_rnn_;
  PlanCache cache_;  // its plans use the libraries
};

// Without a planner, our own kernel; else the fastest of it and of what offers() gives.
template <class Own, class Offers>
void run_plan(Planner* planner, const PlanKey& key, const PlanOperands& operands, const Own& own,
              const Offers& offers) {
  if (planner == nullptr) {
    own(operands);
    return;
  }
  planner->cache().run(key, operands, [&] {
    std::vector<Candidate> all{{"own", true, 0, own}};
    for (Candidate& each : offers()) all.push_back(std::move(each));
    return all;
  });
}

// The largest power of two, at most 16, that divides all addresses; absent operands do not count.
int common_alignment(std::initializer_list<const void*> operands);

// What a user asks for. An environment variable that is set and not empty counts instead of the
// option: CARDIOGRAD_PLANS, CARDIOGRAD_PLAN_FILE, CARDIOGRAD_DETERMINISTIC (0 or 1). Throws
// InputError for other values of the last.
PlanOptions plan_options(const BackendOptions& wanted);

// "cuBLASLt 13.1.0, no cuDNN (libcudnn.so.9: cannot open ...)"
std::string library_description();

// ---- Asked of CUDA by planner_device.cpp, of the emulator by tests/emulator/planner_device.cpp --

bool is_capturing(Stream stream);
// GPU, capability, driver and runtime of device `index`; the rest is the planner's.
PlanMachine machine_of(int index);

}  // namespace cardiograd::cuda
