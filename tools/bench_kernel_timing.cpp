#include "tools/bench_kernel_timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "kernels/convert.h"
#include "kernels/philox.h"

namespace cardiograd {
namespace {

constexpr int most_copies = 64;
constexpr int fewest_rounds = 5;
constexpr double shortest_round = 1000.0;       // microseconds, where copies are few
constexpr double longest_measurement = 5e5;     // microseconds of all rounds, beyond the fewest
constexpr std::int64_t distinct = 1 << 20;      // values; then they repeat
constexpr std::size_t caches_between_uses = 4;  // how many L2s full lie between two uses

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2.0;
}

template <class T>
void write_values(const BenchOperand& operand, std::vector<unsigned char>& bytes) {
  const RandomKey key{1, 0, 0};
  const bool whole = std::is_integral_v<T>;
  const std::int64_t count = std::min(operand.dims.numel(), distinct);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t word =
        key.draw(0, static_cast<std::uint32_t>(i / 4))[static_cast<std::size_t>(i % 4)];
    double value =
        operand.low + (operand.high - operand.low) * static_cast<double>(Philox::uniform(word));
    if (whole) value = std::floor(value);
    T element;
    if constexpr (std::is_same_v<T, BFloat16>) {
      element = BFloat16(static_cast<float>(value));
    } else {
      element = static_cast<T>(value);
    }
    std::memcpy(bytes.data() + static_cast<std::size_t>(i) * sizeof(T), &element, sizeof(T));
  }
}

// The values of an operand, as bytes.
std::vector<unsigned char> values_of(const BenchOperand& operand) {
  const std::size_t size = size_of(operand.dtype);
  std::vector<unsigned char> bytes(static_cast<std::size_t>(operand.dims.numel()) * size);
  switch (operand.dtype) {
    case DType::f32:
      write_values<float>(operand, bytes);
      break;
    case DType::f64:
      write_values<double>(operand, bytes);
      break;
    case DType::bf16:
      write_values<BFloat16>(operand, bytes);
      break;
    case DType::i16:
      write_values<std::int16_t>(operand, bytes);
      break;
    case DType::i32:
      write_values<std::int32_t>(operand, bytes);
      break;
    case DType::u8:
      write_values<std::uint8_t>(operand, bytes);
      break;
  }
  const std::size_t block = static_cast<std::size_t>(distinct) * size;
  for (std::size_t at = block; at < bytes.size(); at += block) {
    std::memcpy(bytes.data() + at, bytes.data(), std::min(block, bytes.size() - at));
  }
  return bytes;
}

std::size_t memory_of(const BenchCase& bench_case) {
  std::size_t bytes = 0;
  for (const BenchOperand& operand : bench_case.operands) {
    bytes += static_cast<std::size_t>(operand.dims.numel()) * size_of(operand.dtype);
  }
  return bytes;
}

// Between two uses of one copy, the others fill the L2 several times.
int copies_of(const BenchCase& bench_case, std::size_t cache) {
  const std::size_t wanted =
      caches_between_uses * cache / std::max<std::size_t>(memory_of(bench_case), 1);
  return static_cast<int>(std::min<std::size_t>(wanted + 2, most_copies));
}

BenchCase emptying_copy(std::size_t cache) {
  const auto count = static_cast<std::int64_t>(caches_between_uses * cache / sizeof(float) + 1);
  BenchCase copy{"copy", "", DType::f32,
                 [](Backend& backend, const BenchViews& o) { backend.copy(o["x"], o["y"]); }};
  return copy.read("x", {count}).written("y", {count});
}

}  // namespace

BenchOperands::BenchOperands(Backend& backend, const BenchCase& bench_case, int copies)
    : backend_(backend), copies_(static_cast<std::size_t>(copies)) {
  blocks_.reserve(copies_.size() * bench_case.operands.size());
  for (const BenchOperand& operand : bench_case.operands) {
    ConstView first;
    for (BenchViews& each : copies_) {
      const View view = allocate(operand);
      each.add(operand.name, view);
      if (operand.role == BenchRole::written) continue;
      if (first.present()) {
        backend_.copy(first, view);
      } else {
        const std::vector<unsigned char> values = values_of(operand);
        backend_.copy_from_host(view.data, values.data(), values.size());
        first = view;
      }
    }
  }
}

BenchOperands::~BenchOperands() {
  for (const View& block : blocks_) backend_.deallocate(block.data, block.bytes());
}

View BenchOperands::allocate(const BenchOperand& operand) {
  View view{nullptr, operand.dtype, operand.dims};
  view.data = backend_.allocate(view.bytes());
  blocks_.push_back(view);
  return view;
}

// ---- Timing -------------------------------------------------------------------------------------

// One case's calls, which take the copies of its operands in turn.
class KernelTimer::Batch {
 public:
  Batch(const TimedDevice& device, const BenchCase& bench_case)
      : backend_(*device.backend),
        case_(bench_case),
        operands_(backend_, bench_case, copies_of(bench_case, device.cache)),
        calls_(operands_.copies()) {
    queue();  // fills the cache of scratch memory, and loads the kernels
    backend_.synchronize();
    const auto begin = std::chrono::steady_clock::now();
    queue();
    const std::chrono::duration<double, std::micro> elapsed =
        std::chrono::steady_clock::now() - begin;
    backend_.synchronize();
    queueing_ = elapsed.count() / calls_;
  }

  void queue() const {
    for (int i = 0; i < calls_; ++i) case_.call(backend_, operands_[i % operands_.copies()]);
  }
  // Longer batches, where copies are so few that these go round without meeting the cache.
  void lengthen(double microseconds) {
    if (operands_.copies() == most_copies) return;
    const double turns = shortest_round / std::max(microseconds * calls_, 1.0);
    calls_ *= static_cast<int>(std::clamp(turns, 1.0, 8.0));
  }

  int calls() const { return calls_; }
  int copies() const { return operands_.copies(); }
  // Microseconds that the host needs to queue a whole batch.
  double queueing() const { return queueing_ * calls_; }

 private:
  Backend& backend_;
  const BenchCase& case_;
  BenchOperands operands_;
  int calls_;
  double queueing_ = 0.0;
};

KernelTimer::KernelTimer(const TimedDevice& device, int rounds)
    : device_(device),
      rounds_(rounds),
      copy_(emptying_copy(device.cache)),
      buffers_(*device.backend, copy_, 1) {
  queue_copies(1);
  device_.timer->begin();
  queue_copies(1);
  device_.timer->end();
  copy_microseconds_ = std::max(device_.timer->microseconds(), 1.0);
}

KernelTimer::~KernelTimer() = default;

void KernelTimer::queue_copies(int count) {
  for (int i = 0; i < count; ++i) copy_.call(*device_.backend, buffers_[0]);
}

KernelTime KernelTimer::time(const BenchCase& bench_case) {
  Batch batch(device_, bench_case);
  const auto round = [&] {
    constexpr double margin = 2.0;
    constexpr double most = 200.0;
    const double copies = margin * batch.queueing() / copy_microseconds_;
    queue_copies(1 + static_cast<int>(std::min(copies, most)));
    device_.timer->begin();
    batch.queue();
    device_.timer->end();
    return device_.timer->microseconds() / batch.calls();
  };
  const double first = round();
  batch.lengthen(first);
  const double affordable = longest_measurement / std::max(first * batch.calls(), 1.0);
  const int most = std::max(rounds_, 1);
  const int rounds = static_cast<int>(std::clamp(
      affordable, static_cast<double>(std::min(fewest_rounds, most)), static_cast<double>(most)));
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) times.push_back(round());
  return {median(std::move(times)), rounds, batch.calls(), batch.copies()};
}

// ---- Ceilings -----------------------------------------------------------------------------------

KernelCeilings KernelCeilings::measure(KernelTimer& timer, const BenchSizes& sizes) {
  const auto seconds = [&](const BenchCase& each) { return 1e-6 * timer.time(each).microseconds; };
  const BenchCase copy = copy_ceiling_case(sizes);
  const BenchCase f32 = product_ceiling_case(DType::f32, sizes);
  const BenchCase bf16 = product_ceiling_case(DType::bf16, sizes);
  KernelCeilings ceilings;
  ceilings.copy = copy.bytes() / seconds(copy);
  ceilings.product_f32 = f32.flops / seconds(f32);
  ceilings.product_bf16 = bf16.flops / seconds(bf16);
  ceilings.launch_microseconds = 1e6 * seconds(launch_ceiling_case());
  return ceilings;
}

KernelBound bound_of(const BenchCase& bench_case, const KernelCeilings& ceilings) {
  const bool tensor_cores = bench_case.product && bench_case.dtype == DType::bf16;
  const double peak = tensor_cores ? ceilings.product_bf16 : ceilings.product_f32;
  KernelBound bound{"memory", 1e6 * bench_case.bytes() / ceilings.copy};
  const double arithmetic = 1e6 * bench_case.flops / peak;
  if (arithmetic > bound.microseconds) bound = {"arithmetic", arithmetic};
  if (ceilings.launch_microseconds > bound.microseconds) {
    bound = {"launch", ceilings.launch_microseconds};
  }
  return bound;
}

}  // namespace cardiograd
