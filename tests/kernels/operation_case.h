// One call of one Backend operation, described apart from any backend: what its operands are, how
// to fill them, and the call. The same description serves the comparison with the reference, the
// gradient check and timing.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"

namespace cardiograd::cases {

// count values for an operand, from a seed; exact in float32 and in the operand's dtype.
using Values = std::function<std::vector<double>(std::int64_t count, std::uint64_t seed)>;

Values uniform(double low = -1.0, double high = 1.0);
// Uniform in [-1, 1), but never nearer than 0.05 to zero, where ReLU has its kink.
Values off_zero();
// Whole numbers in low .. high.
Values whole(int low, int high);
// These, repeated as often as needed.
Values listed(std::vector<double> values);

enum class Role : std::uint8_t {
  input,    // filled, must stay as it is
  derived,  // an input that the case's `prepare` computes on the reference (a saved forward value)
  output,   // holds NaN before the call
  in_out,   // filled, then compared
};

class BoundOperands;
using Call = std::function<void(Backend&, const BoundOperands&)>;

struct Operand {
  std::string name;
  Role role = Role::input;
  std::optional<DType> dtype;  // none: the backend's floating dtype
  Dims dims;
  Values values = nullptr;  // input and in_out
  // Outputs: bit for bit instead of within the tolerance. Integers always are.
  bool exact = false;
  // Outputs whose value a rounding error may decide (which of two near-equal values is larger):
  // true where the two backends must agree. Called on the reference, after the call.
  std::function<std::vector<bool>(Backend&, const BoundOperands&)> decided = nullptr;
  bool statistic = false;  // statistics_dtype of the backend's floating dtype

  DType stored_as(DType floating) const {
    return dtype.value_or(statistic ? statistics_dtype(floating) : floating);
  }
};

struct OperationCase {
  std::string name;
  std::vector<Operand> operands;
  Call call;
  Call prepare = nullptr;
  // A backward case's forward case: each output "dNAME" is the gradient with respect to the forward
  // input NAME, for the cotangent "dy" of the forward output "y".
  std::shared_ptr<const OperationCase> forward = nullptr;

  OperationCase& add(Operand operand) {
    operands.push_back(std::move(operand));
    return *this;
  }
  OperationCase& input(std::string operand, Dims dims, Values values = uniform());
  OperationCase& output(std::string operand, Dims dims);
  OperationCase& in_out(std::string operand, Dims dims, Values values = uniform());
  // The operand added last is a statistic.
  OperationCase& statistic();
  bool has(std::string_view operand) const;
  const Operand& at(std::string_view operand) const;
};

// The case of a backward method: all operands of `forward` are its inputs (outputs as the reference
// computes them), dy is random, and `gradients` ("dx", ...) are its outputs. Names of gradients
// whose forward operand is absent (no bias) are skipped.
OperationCase backward_case(const OperationCase& forward, const std::vector<std::string>& gradients,
                            Call call);

using OperandValues = std::map<std::string, std::vector<double>, std::less<>>;

// The operands of a case in a backend's memory, each with guard bytes on both sides.
class BoundOperands {
 public:
  // `shift`: how many elements each operand starts beyond a 64-byte boundary.
  BoundOperands(Backend& backend, const std::vector<Operand>& operands, int shift = 0);
  ~BoundOperands();
  BoundOperands(const BoundOperands&) = delete;
  BoundOperands& operator=(const BoundOperands&) = delete;

  // Throws InputError when the case has no such operand.
  View operator[](std::string_view name) const;
  // An absent view when the case has no such operand.
  View optional(std::string_view name) const;

  std::vector<double> read(std::string_view name) const;
  void write(std::string_view name, const std::vector<double>& values) const;
  // Fills inputs with `values`, outputs with what no operation may leave behind (NaN).
  void reset(const OperandValues& values) const;
  // Calls the operation and waits for it. Under AddressSanitizer nobody may touch a guard
  // meanwhile, on a backend whose memory is the host's.
  void call(const Call& operation) const;
  // The names of operands whose guards were written to; empty when all is well.
  std::string broken_guards() const;

 private:
  struct Slot {
    const Operand* operand = nullptr;
    void* block = nullptr;
    std::size_t bytes = 0;   // of the block
    std::size_t offset = 0;  // of the operand in it
    View view;
  };
  const Slot& slot(std::string_view name) const;
  std::vector<unsigned char> bytes_of(const Slot& slot) const;

  Backend& backend_;
  std::vector<Slot> slots_;
};

// Values of every input of the case, derived ones included; these are rounded to float32 unless the
// gradient check asks for them as they are.
OperandValues make_inputs(const OperationCase& operation_case, bool round_derived = true);

struct Tolerance {
  double nmse = 1e-7;       // sum (a - b)^2 / sum b^2
  double max_error = 1e-4;  // max |a - b| / max |b|
};

// Runs the case on the backend and on the reference. Returns what is wrong, or nothing. Statistics
// are held to the default tolerance, whatever the others are stored in.
std::string check_case(const OperationCase& operation_case, Backend& backend,
                       const Tolerance& tolerance = {});

}  // namespace cardiograd::cases
