// Work that is asked for again and again, recorded once and then replayed as a whole: a training
// step, on a device where asking costs more than doing (a CUDA graph on a GPU).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/arena.h"
#include "kernels/view.h"

namespace cardiograd {

// Numbers that a device will have computed; see Recorder::values_later.
class LaterValues {
 public:
  LaterValues() = default;
  LaterValues(const LaterValues&) = delete;
  LaterValues& operator=(const LaterValues&) = delete;
  virtual ~LaterValues() = default;
  // Whether get() need not wait.
  virtual bool ready() const = 0;
  // Waits for them, and for nothing that was asked for since.
  virtual std::vector<float> get() const = 0;
};

// Records one piece of work of one backend. It must ask for the same operations on the same shapes
// each time, read what differs from time to time out of tensors that outlive it, and not wait for
// the device. Blocks that it asks for and does not give back stay its own until the recorder is
// gone, and must be given back before.
class Recorder {
 public:
  Recorder() = default;
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;
  virtual ~Recorder() = default;

  // Asks for the work, which is recorded, not done; `trace`: of the memory that it took when it was
  // done before (Backend::trace_memory). Throws Error where it cannot be recorded: then nothing was
  // done, and nothing is recorded.
  virtual void record(const std::function<void()>& work, const MemoryTrace& trace) = 0;
  // After record: asks for the recorded work. Random operations in it draw as in `epoch`, whatever
  // epoch it was recorded in.
  virtual void replay(std::uint32_t epoch) = 0;
  // Of f32, as they are after everything that was asked for until now.
  virtual std::unique_ptr<LaterValues> values_later(const ConstView& values) = 0;

  // Bytes of the arena that the recorded work lives in.
  virtual std::size_t arena_bytes() const = 0;
};

}  // namespace cardiograd
