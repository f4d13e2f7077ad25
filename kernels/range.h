// Named stretches of a thread's time, nested, for a profiler that watches the process from outside:
// Nsight Systems, by NVTX (cuda/nvtx.cpp). Nothing where the build has no CUDA
// (cuda/nvtx_stub.cpp); a null call where nobody watches.
#pragma once

namespace cardiograd {

class Range {
 public:
  // From here to the end of this object's life; an empty name: none.
  explicit Range(const char* name);
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
  ~Range();

 private:
  bool open_;
};

}  // namespace cardiograd
