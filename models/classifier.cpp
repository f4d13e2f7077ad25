#include "models/classifier.h"

namespace cardiograd {

const Tensor& ModelInputs::present() const {
  CG_CHECK(signal.defined() || notes.defined(), "a model needs the signal, the notes or both");
  return signal.defined() ? signal : notes;
}

std::int64_t ModelInputs::batch() const {
  const std::int64_t records = present().size(0);
  CG_CHECK(!signal.defined() || !notes.defined() || notes.size(0) == records,
           "a batch has " + std::to_string(records) + " signals, but " +
               std::to_string(notes.size(0)) + " notes");
  return records;
}

Tensor ModelInputs::absent(std::int64_t size) const {
  return Tensor::full(present().backend(), {batch(), size}, present().dtype(), 0.0);
}

}  // namespace cardiograd
