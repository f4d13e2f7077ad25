// All parameters of a module in one buffer, all gradients in another: one kernel does the optimizer
// step, one reduction the norm, one call the all-reduce.
#pragma once

#include <string>
#include <vector>

#include "nn/module.h"

namespace cardiograd {

class FlatParameters {
 public:
  // Moves the module's parameters into one buffer; every tensor that shared their memory through
  // the module sees the move. Parameters begin at multiples of 64 bytes; the padding stays zero.
  // All parameters must have one dtype (ShapeError).
  explicit FlatParameters(const Module& module);

  struct Span {
    std::string name;
    std::int64_t offset = 0;  // elements
    Dims dims;
    TorchLayout layout;
  };

  const Tensor& values() const { return values_; }
  const Tensor& gradients() const { return gradients_; }
  const std::vector<Span>& spans() const { return spans_; }
  // Of `flat`, a buffer laid out like values(): the tensor of one parameter.
  static Tensor part(const Tensor& flat, const Span& span);

  // Marks all gradients as zero, without touching memory.
  void zero_grad();
  // After backward, before anything reads gradients(): writes the zeros of parameters that the loss
  // did not depend on.
  void finish_gradients();

 private:
  Tensor values_;
  Tensor gradients_;
  std::vector<Span> spans_;
  std::vector<Tensor> parameters_;
};

}  // namespace cardiograd
