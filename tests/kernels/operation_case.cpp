#include "tests/kernels/operation_case.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iomanip>
#include <sstream>
#include <type_traits>

#include "tests/reference/reference_backend.h"
#include "tests/support/address_sanitizer.h"
#include "tests/support/random_values.h"

namespace cardiograd::cases {

namespace {

constexpr std::size_t guard_bytes = 64;
constexpr unsigned char guard_byte = 0xA5;

bool is_filled(Role role) { return role != Role::output; }
bool is_compared(Role role) { return role == Role::output || role == Role::in_out; }

// All bits set is NaN in each floating dtype and -1 in the signed ones. For u8 it would be
// Backend::conv_relu_pool_dead, an honest answer.
unsigned char poison_of(DType dtype) { return dtype == DType::u8 ? 0xEE : 0xFF; }

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

std::string text_of(double value) {
  std::ostringstream text;
  text << std::setprecision(9) << value;
  return text.str();
}

std::string compare_exactly(const std::vector<double>& actual, const std::vector<double>& expected,
                            const std::vector<bool>& decided) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if ((decided.empty() || decided[i]) && !same(actual[i], expected[i])) {
      return "element " + std::to_string(i) + " is " + text_of(actual[i]) + ", expected " +
             text_of(expected[i]);
    }
  }
  return "";
}

std::string compare_closely(const std::vector<double>& actual, const std::vector<double>& expected,
                            const Tolerance& tolerance) {
  double error = 0.0;
  double size = 0.0;
  double largest_error = 0.0;
  double largest = 0.0;
  std::size_t worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (same(actual[i], expected[i]) && !std::isfinite(expected[i])) continue;
    const double difference = std::fabs(actual[i] - expected[i]);
    if (!std::isfinite(difference)) {
      return "element " + std::to_string(i) + " is " + text_of(actual[i]) + ", expected " +
             text_of(expected[i]);
    }
    error += difference * difference;
    size += expected[i] * expected[i];
    largest = std::max(largest, std::fabs(expected[i]));
    if (difference > largest_error) {
      largest_error = difference;
      worst = i;
    }
  }
  // Where nothing but zeros is expected there is no scale to be relative to.
  const double count = static_cast<double>(std::max<std::size_t>(expected.size(), 1));
  const bool close =
      size > 0.0 ? error <= tolerance.nmse * size && largest_error <= tolerance.max_error * largest
                 : error <= 1e-12 * count;
  if (close) return "";
  return "NMSE " + text_of(size > 0.0 ? error / size : error) + "; the worst is element " +
         std::to_string(worst) + ": " + text_of(actual[worst]) + ", expected " +
         text_of(expected[worst]);
}

// The values as operands of the backend's floating dtype hold them: both backends get the same.
OperandValues stored_as(DType floating, const OperationCase& operation_case, OperandValues values) {
  if (floating != DType::bf16) return values;
  for (const Operand& operand : operation_case.operands) {
    const auto found = values.find(operand.name);
    if (found == values.end() || operand.stored_as(floating) != DType::bf16) continue;
    for (double& value : found->second) {
      value = static_cast<float>(BFloat16(static_cast<float>(value)));
    }
  }
  return values;
}

struct Expected {
  std::vector<double> values;
  std::vector<bool> decided;  // empty: all
};

std::map<std::string, Expected> run_on_reference(const OperationCase& operation_case,
                                                 const OperandValues& inputs) {
  ReferenceBackend reference;
  const BoundOperands operands(reference, operation_case.operands);
  operands.reset(inputs);
  operation_case.call(reference, operands);
  std::map<std::string, Expected> expected;
  for (const Operand& operand : operation_case.operands) {
    if (!is_compared(operand.role)) continue;
    Expected& entry = expected[operand.name];
    entry.values = operands.read(operand.name);
    if (operand.decided) entry.decided = operand.decided(reference, operands);
  }
  return expected;
}

std::string compare_operand(const Operand& operand, DType floating, const BoundOperands& operands,
                            const OperandValues& inputs,
                            const std::map<std::string, Expected>& expected,
                            const Tolerance& tolerance) {
  const std::vector<double> actual = operands.read(operand.name);
  if (!is_compared(operand.role)) {
    return compare_exactly(actual, inputs.at(operand.name), {}).empty() ? "" : "was changed";
  }
  const Expected& entry = expected.at(operand.name);
  const auto undecided = std::count(entry.decided.begin(), entry.decided.end(), false);
  if (undecided * 10 > static_cast<std::int64_t>(entry.decided.size())) {
    return "has more than a tenth undecided elements: change the case's values";
  }
  const DType stored = operand.stored_as(floating);
  if (operand.exact || !is_floating(stored)) {
    return compare_exactly(actual, entry.values, entry.decided);
  }
  return compare_closely(actual, entry.values, operand.statistic ? Tolerance{} : tolerance);
}

}  // namespace

Values uniform(double low, double high) {
  return [=](std::int64_t count, std::uint64_t seed) {
    return testing::uniform_values(count, low, high, seed);
  };
}

Values off_zero() {
  return [](std::int64_t count, std::uint64_t seed) {
    std::vector<double> values = testing::uniform_values(count, -0.95, 0.95, seed);
    for (double& value : values) {
      value = static_cast<float>(value < 0.0 ? value - 0.05 : value + 0.05);
    }
    return values;
  };
}

Values whole(int low, int high) {
  return [=](std::int64_t count, std::uint64_t seed) {
    std::vector<double> values = testing::uniform_values(count, low, high + 1.0, seed);
    for (double& value : values) value = std::min(std::floor(value), static_cast<double>(high));
    return values;
  };
}

Values listed(std::vector<double> values) {
  return [values = std::move(values)](std::int64_t count, std::uint64_t) {
    std::vector<double> result;
    for (std::int64_t i = 0; i < count; ++i) {
      result.push_back(static_cast<float>(values[static_cast<std::size_t>(i) % values.size()]));
    }
    return result;
  };
}

OperationCase& OperationCase::input(std::string operand, Dims dims, Values values) {
  return add({std::move(operand), Role::input, {}, dims, std::move(values)});
}

OperationCase& OperationCase::output(std::string operand, Dims dims) {
  return add({std::move(operand), Role::output, {}, dims, nullptr});
}

OperationCase& OperationCase::in_out(std::string operand, Dims dims, Values values) {
  return add({std::move(operand), Role::in_out, {}, dims, std::move(values)});
}

OperationCase& OperationCase::statistic() {
  operands.back().statistic = true;
  return *this;
}

bool OperationCase::has(std::string_view operand) const {
  return std::any_of(operands.begin(), operands.end(),
                     [&](const Operand& each) { return each.name == operand; });
}

const Operand& OperationCase::at(std::string_view operand) const {
  for (const Operand& each : operands) {
    if (each.name == operand) return each;
  }
  throw InputError("case " + name + " has no operand " + std::string(operand));
}

OperationCase backward_case(const OperationCase& forward, const std::vector<std::string>& gradients,
                            Call call) {
  OperationCase backward{forward.name, forward.operands, std::move(call), forward.call,
                         std::make_shared<const OperationCase>(forward)};
  for (Operand& operand : backward.operands) {
    if (operand.role == Role::output) operand.role = Role::derived;
    // What a forward call updates in place (running statistics) is no business of its backward.
    if (operand.role == Role::in_out) operand.role = Role::derived;
  }
  backward.input("dy", forward.at("y").dims);
  for (const std::string& gradient : gradients) {
    const std::string of = gradient.substr(1);
    if (forward.has(of)) backward.output(gradient, forward.at(of).dims);
  }
  return backward;
}

BoundOperands::BoundOperands(Backend& backend, const std::vector<Operand>& operands, int shift)
    : backend_(backend) {
  slots_.reserve(operands.size());
  for (const Operand& operand : operands) {
    Slot slot;
    slot.operand = &operand;
    slot.view.dtype = operand.stored_as(backend.default_dtype());
    slot.view.dims = operand.dims;
    slot.offset = guard_bytes + static_cast<std::size_t>(shift) * size_of(slot.view.dtype);
    slot.bytes = slot.offset + slot.view.bytes() + guard_bytes;
    slot.block = backend.allocate(slot.bytes);
    slot.view.data = static_cast<char*>(slot.block) + slot.offset;
    slots_.push_back(slot);
  }
}

BoundOperands::~BoundOperands() {
  for (const Slot& slot : slots_) backend_.deallocate(slot.block, slot.bytes);
}

const BoundOperands::Slot& BoundOperands::slot(std::string_view name) const {
  for (const Slot& each : slots_) {
    if (each.operand->name == name) return each;
  }
  throw InputError("the case has no operand " + std::string(name));
}

View BoundOperands::operator[](std::string_view name) const { return slot(name).view; }

View BoundOperands::optional(std::string_view name) const {
  const bool present = std::any_of(slots_.begin(), slots_.end(),
                                   [&](const Slot& each) { return each.operand->name == name; });
  return present ? slot(name).view : View{};
}

std::vector<unsigned char> BoundOperands::bytes_of(const Slot& slot) const {
  std::vector<unsigned char> bytes(slot.bytes);
  backend_.copy_to_host(bytes.data(), slot.block, slot.bytes);
  return bytes;
}

std::vector<double> BoundOperands::read(std::string_view name) const {
  const Slot& from = slot(name);
  const std::vector<unsigned char> bytes = bytes_of(from);
  std::vector<double> values(static_cast<std::size_t>(from.view.numel()));
  dispatch(from.view.dtype, [&](auto element) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::memcpy(&element, bytes.data() + from.offset + i * sizeof(element), sizeof(element));
      if constexpr (std::is_same_v<decltype(element), BFloat16>) {
        values[i] = static_cast<float>(element);
      } else {
        values[i] = static_cast<double>(element);
      }
    }
  });
  return values;
}

void BoundOperands::write(std::string_view name, const std::vector<double>& values) const {
  const Slot& to = slot(name);
  std::vector<unsigned char> bytes(to.bytes, guard_byte);
  dispatch(to.view.dtype, [&](auto element) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if constexpr (std::is_same_v<decltype(element), BFloat16>) {
        element = BFloat16(static_cast<float>(values[i]));
      } else {
        element = static_cast<decltype(element)>(values[i]);
      }
      std::memcpy(bytes.data() + to.offset + i * sizeof(element), &element, sizeof(element));
    }
  });
  backend_.copy_from_host(to.block, bytes.data(), bytes.size());
}

void BoundOperands::reset(const OperandValues& values) const {
  for (const Slot& each : slots_) {
    if (is_filled(each.operand->role)) {
      write(each.operand->name, values.at(each.operand->name));
      continue;
    }
    std::vector<unsigned char> bytes(each.bytes, guard_byte);
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(each.offset), each.view.bytes(),
                poison_of(each.view.dtype));
    backend_.copy_from_host(each.block, bytes.data(), bytes.size());
  }
}

void BoundOperands::call(const Call& operation) const {
  const auto for_each_guard = [&](auto&& f) {
    for (const Slot& each : slots_) {
      auto* begin = static_cast<unsigned char*>(each.block);
      const std::size_t end = each.offset + each.view.bytes();
      f(begin, each.offset);
      f(begin + end, each.bytes - end);
    }
  };
  struct Restore {
    const decltype(for_each_guard)& all;
    ~Restore() {
      all([](void* guard, std::size_t bytes) { ASAN_UNPOISON_MEMORY_REGION(guard, bytes); });
    }
  } restore{for_each_guard};
  for_each_guard([](void* guard, std::size_t bytes) { ASAN_POISON_MEMORY_REGION(guard, bytes); });
  operation(backend_, *this);
  backend_.synchronize();
}

std::string BoundOperands::broken_guards() const {
  std::string names;
  for (const Slot& each : slots_) {
    const std::vector<unsigned char> bytes = bytes_of(each);
    const auto intact = [](unsigned char byte) { return byte == guard_byte; };
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(each.offset);
    const auto end = begin + static_cast<std::ptrdiff_t>(each.view.bytes());
    if (!std::all_of(bytes.begin(), begin, intact) || !std::all_of(end, bytes.end(), intact)) {
      names += (names.empty() ? "" : ", ") + each.operand->name;
    }
  }
  return names;
}

OperandValues make_inputs(const OperationCase& operation_case, bool round_derived) {
  OperandValues inputs;
  for (const Operand& operand : operation_case.operands) {
    if (!is_filled(operand.role) || !operand.values) continue;
    inputs[operand.name] = operand.values(
        operand.dims.numel(), testing::seed_of(operation_case.name + "/" + operand.name));
  }
  if (!operation_case.prepare) return inputs;
  // The operands of the preparing call: derived ones without values are its outputs.
  std::vector<Operand> operands = operation_case.operands;
  for (Operand& operand : operands) {
    if (operand.role == Role::derived) operand.role = operand.values ? Role::in_out : Role::output;
  }
  ReferenceBackend reference;
  const BoundOperands bound(reference, operands);
  bound.reset(inputs);
  operation_case.prepare(reference, bound);
  for (const Operand& operand : operation_case.operands) {
    if (operand.role != Role::derived) continue;
    std::vector<double> values = bound.read(operand.name);
    if (round_derived) {
      for (double& value : values) value = static_cast<float>(value);
    }
    inputs[operand.name] = std::move(values);
  }
  return inputs;
}

std::string check_case(const OperationCase& operation_case, Backend& backend,
                       const Tolerance& tolerance) {
  const OperandValues inputs =
      stored_as(backend.default_dtype(), operation_case, make_inputs(operation_case));
  const std::map<std::string, Expected> expected = run_on_reference(operation_case, inputs);
  // On a 64-byte boundary, and one element beyond it, as a parameter in a flat buffer may lie.
  for (const int shift : {0, 1}) {
    const std::string where = operation_case.name + (shift ? " (unaligned)" : "") + ": ";
    const BoundOperands operands(backend, operation_case.operands, shift);
    operands.reset(inputs);
    operands.call(operation_case.call);
    if (const std::string broken = operands.broken_guards(); !broken.empty()) {
      return where + "wrote outside " + broken;
    }
    for (const Operand& operand : operation_case.operands) {
      const std::string wrong =
          compare_operand(operand, backend.default_dtype(), operands, inputs, expected, tolerance);
      if (!wrong.empty()) return where + operand.name + " " + wrong;
    }
  }
  return "";
}

}  // namespace cardiograd::cases
