#include "kernels/cuda/planner.h"

#include <bit>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>

#include "kernels/error.h"
#include "kernels/text.h"

namespace cardiograd::cuda {
namespace {

// Raised when our own kernels have become faster or slower: timings of before no longer hold.
constexpr int kernel_generation = 1;

void say(const std::string& sentence) {
  std::fprintf(stderr, "cardiograd: %s\n", sentence.c_str());
}

class StreamTimer final : public PlanTimer {
 public:
  explicit StreamTimer(Stream stream)
      : stream_(stream), begin_(create_event()), end_(create_event()) {}
  ~StreamTimer() override {
    destroy_event(begin_);
    destroy_event(end_);
  }
  StreamTimer(const StreamTimer&) = delete;
  StreamTimer& operator=(const StreamTimer&) = delete;

  bool is_capturing() override { return cuda::is_capturing(stream_); }

  double milliseconds(const std::function<void()>& run, int repetitions) override {
    synchronize(stream_);
    record_event(begin_, stream_);
    for (int i = 0; i < repetitions; ++i) run();
    record_event(end_, stream_);
    return static_cast<double>(elapsed_milliseconds(begin_, end_));
  }

 private:
  Stream stream_;
  Event begin_;
  Event end_;
};

// A library that fails to describe its plans offers none.
template <class Offer>
auto offered(const Offer& offer) -> decltype(offer()) {
  try {
    return offer();
  } catch (const std::exception&) {
    return {};
  }
}

bool wants_libraries(const PlanOptions& options) { return !options.rules.only.starts_with("own"); }

PlanMachine whole_machine_of(int index) {
  PlanMachine machine = machine_of(index);
  const auto or_absent = [](std::string version) {
    return version.empty() ? std::string("absent") : version;
  };
  std::string why;
  machine.cublaslt = or_absent(cublaslt_version(why));
  machine.cudnn = or_absent(cudnn_version(why));
  machine.cardiograd = CARDIOGRAD_VERSION "/" + std::to_string(kernel_generation);
  return machine;
}

}  // namespace

Planner::Planner(int index, Stream stream, BlockCache& workspaces, const PlanOptions& options)
    : math_(options.math),
      only_(options.rules.only),
      cublaslt_(wants_libraries(options) ? make_cublaslt(stream) : nullptr),
      cudnn_(wants_libraries(options) ? make_cudnn(stream) : nullptr),
      cudnn_rnn_(wants_libraries(options) ? make_cudnn_rnn(stream) : nullptr),
      cache_(options.rules, std::make_unique<StreamTimer>(stream), workspaces, say) {
  if (!options.keep || !options.rules.only.empty()) return;
  const PlanMachine machine = whole_machine_of(index);
  if (const auto path = plan_file_path(machine, options.file))
    keep_in_file(cache_, *path, machine, say);
}

bool Planner::may_serve(std::string_view family) const {
  return family.starts_with(only_) || only_.starts_with(family);
}

std::vector<Candidate> Planner::products(const ProductPlan& plan, const void* bias) {
  if (!cublaslt_ || !may_serve("cublaslt")) return {};
  return offered([&] { return cublaslt_->products(plan, bias); });
}

std::vector<Candidate> Planner::convolutions(const ConvolutionPlan& plan) {
  if (!cudnn_ || !may_serve(family_of(plan) + ":")) return {};
  return offered([&] { return cudnn_->convolutions(plan); });
}

std::vector<std::shared_ptr<const RnnPlan>> Planner::lstm(const RnnShape& shape) {
  if (!cudnn_rnn_ || !may_serve("cudnn:")) return {};
  return offered([&] { return cudnn_rnn_->lstm(shape); });
}

int common_alignment(std::initializer_list<const void*> operands) {
  std::uintptr_t bits = 16;
  for (const void* operand : operands) bits |= std::bit_cast<std::uintptr_t>(operand);
  return 1 << std::countr_zero(bits);
}

PlanOptions plan_options(const BackendOptions& wanted) {
  const auto chosen = [](const char* name, const std::string& otherwise) {
    const char* value = std::getenv(name);
    return value == nullptr || *value == '\0' ? otherwise : std::string(value);
  };
  PlanOptions options;
  options.math = wanted.tf32 ? MathMode::tf32 : MathMode::exact;
  options.keep = true;
  options.file = chosen("CARDIOGRAD_PLAN_FILE", wanted.plan_file);
  options.rules.only = chosen("CARDIOGRAD_PLANS", wanted.plans);
  if (options.rules.only == "measure") options.rules.only.clear();
  const std::string deterministic =
      chosen("CARDIOGRAD_DETERMINISTIC", wanted.deterministic ? "1" : "0");
  if (deterministic != "0" && deterministic != "1") {
    throw InputError("CARDIOGRAD_DETERMINISTIC is 0 or 1, not " + quote(deterministic));
  }
  options.rules.deterministic = deterministic == "1";
  return options;
}

std::string library_description() {
  const auto describe = [](std::string_view name, auto version_of) {
    std::string why;
    const std::string version = version_of(why);
    return version.empty() ? "no " + std::string(name) + " (" + why + ")"
                           : std::string(name) + " " + version;
  };
  return describe("cuBLASLt", cublaslt_version) + ", " + describe("cuDNN", cudnn_version);
}

}  // namespace cardiograd::cuda
