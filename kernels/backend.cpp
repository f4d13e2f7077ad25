#include "kernels/backend.h"

#include <optional>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/device_timer.h"
#include "kernels/text.h"

namespace cardiograd {

std::int64_t Conv1dSpec::output_length(std::int64_t length, std::int64_t kernel) const {
  const std::int64_t reach = length + 2 * padding - dilation * (kernel - 1) - 1;
  return reach < 0 ? 0 : reach / stride + 1;
}

std::int64_t Pool1dSpec::output_length(std::int64_t length) const {
  const std::int64_t reach = length + 2 * padding - kernel;
  return reach < 0 ? 0 : reach / stride + 1;
}

std::vector<std::string> OptimizerSpec::state_names() const {
  switch (kind) {
    case OptimizerKind::sgd:
      if (momentum > 0.0) return {"momentum_buffer"};
      return {};
    case OptimizerKind::rmsprop: {
      std::vector<std::string> names{"square_avg"};
      if (centered) names.emplace_back("grad_avg");
      if (momentum > 0.0) names.emplace_back("momentum_buffer");
      return names;
    }
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      break;
  }
  return {"exp_avg", "exp_avg_sq"};
}

namespace {

// The number of "cuda" or "cuda:N", or nothing for another device.
std::optional<int> cuda_index(std::string_view device) {
  if (device == "cuda") return 0;
  constexpr std::string_view prefix = "cuda:";
  int index = 0;
  const bool is_index =
      device.starts_with(prefix) && parse_number(device.substr(prefix.size()), index) && index >= 0;
  return is_index ? std::optional<int>(index) : std::nullopt;
}

}  // namespace

void Backend::trace_memory(MemoryTrace*) {}

void Backend::upload_rows(ConstView x, std::span<const std::int32_t> rows, View y) {
  if (rows.empty()) return;
  const std::size_t size = y.bytes() / rows.size();
  const auto* from = static_cast<const std::byte*>(x.data);
  auto* to = static_cast<std::byte*>(y.data);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    copy_from_host(to + i * size, from + static_cast<std::size_t>(rows[i]) * size, size);
  }
}

std::shared_ptr<Backend> make_backend(std::string_view device, const BackendOptions& options) {
  if (device == "cpu") return make_cpu_backend();
  if (const std::optional<int> index = cuda_index(device))
    return make_cuda_backend(*index, options);
  throw InputError("device \"" + std::string(device) +
                   "\" is unknown: use \"cpu\", \"cuda\" or \"cuda:N\"");
}

TimedDevice make_timed_device(std::string_view device) {
  if (const std::optional<int> index = cuda_index(device)) return make_timed_cuda_device(*index);
  throw InputError("device \"" + std::string(device) +
                   "\" has no kernels to time: use \"cuda\" or \"cuda:N\"");
}

std::string describe_backend(const Backend& backend) {
  return backend.name().starts_with("cuda") ? cuda_backend_description()
                                            : cpu_backend_description();
}

std::string built_backends() {
  return cpu_backend_description() + "; " + cuda_backend_description();
}

}  // namespace cardiograd
