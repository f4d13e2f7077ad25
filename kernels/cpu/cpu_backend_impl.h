// CpuBackend's class, private to kernels/cpu. Its methods are defined one family a file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace cardiograd {

class BlockCache;      // memory.cpp: freed blocks, kept for the next step
class PrimitiveCache;  // onednn.h: oneDNN primitives by shape

class CpuBackend final : public Backend {
 public:
  CpuBackend();
  ~CpuBackend() override;

#include "kernels/backend_overrides.inl"
  void trace_memory(MemoryTrace* trace) override;

 private:
  std::unique_ptr<BlockCache> blocks_;
  std::unique_ptr<PrimitiveCache> primitives_;
};

}  // namespace cardiograd
