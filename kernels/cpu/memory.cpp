// The CPU backend's life and memory: BlockCache, allocation, copies.
#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <omp.h>
#include <sys/mman.h>

#include "kernels/cpu/block_cache.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/simd.h"

namespace cardiograd {

namespace {

constexpr std::size_t smallest_block = 64;
constexpr std::size_t huge_page = std::size_t{2} << 20;
// No process has more address space; beyond it lie sizes whose rounding would overflow.
constexpr std::size_t largest_block = std::size_t{1} << 47;

// Null when there is no memory.
void* system_allocate(std::size_t size) {
  if (size < huge_page) return std::aligned_alloc(smallest_block, size);
  void* data = std::aligned_alloc(huge_page, (size + huge_page - 1) / huge_page * huge_page);
#if defined(MADV_HUGEPAGE)
  // Advice only: without huge pages the memory works all the same.
  if (data != nullptr) static_cast<void>(madvise(data, size, MADV_HUGEPAGE));
#endif
  return data;
}

}  // namespace

MemorySource host_memory() {
  return {"cpu", system_allocate, [](void* data) noexcept { std::free(data); }};
}

BlockCache::~BlockCache() {
  release();
  for (const auto& arena : arenas_) source_.release(arena->memory());
}

std::size_t BlockCache::block_size(std::size_t bytes) {
  if (bytes <= smallest_block) return smallest_block;
  if (bytes > largest_block) return bytes;
  const std::size_t power = std::bit_floor(bytes - 1);
  const std::size_t step = power / 4 < smallest_block ? smallest_block : power / 4;
  return (bytes + step - 1) / step * step;
}

void* BlockCache::allocate(std::size_t bytes) {
  const std::size_t size = block_size(bytes);
  const std::lock_guard lock(mutex_);
  const bool ours = thread_ == std::this_thread::get_id();
  if (ours && serving_ != nullptr) return serving_->allocate(bytes);
  void* data = take(size, bytes);
  mark(data, bytes, size);
  if (ours && trace_ != nullptr) trace_->allocated(data, bytes);
  return data;
}

// A block that was kept, or else fresh memory.
void* BlockCache::take(std::size_t size, std::size_t bytes) {
  void* data = nullptr;
  if (const auto found = kept_.find(size); found != kept_.end() && !found->second.empty()) {
    data = found->second.back();
    found->second.pop_back();
    kept_bytes_ -= size;
  } else if (size <= largest_block) {
    data = source_.allocate(size);
    if (data == nullptr) {
      release_locked();
      data = source_.allocate(size);
    }
  }
  if (data == nullptr) {
    throw DeviceError("the " + source_.name + " has no " + std::to_string(bytes) +
                      " bytes of memory left (" + std::to_string(in_use_) +
                      " bytes are in use): use a smaller batch, model or record length");
  }
  in_use_ += size;
  return data;
}

void BlockCache::deallocate(void* data, std::size_t bytes) noexcept {
  if (data == nullptr) return;
  const std::size_t size = block_size(bytes);
  const std::lock_guard lock(mutex_);
  if (Arena* arena = arena_of(data)) return arena->deallocate(data);
  if (trace_ != nullptr) trace_->deallocated(data);
  in_use_ -= size;
  mark(data, 0, size);
  try {
    kept_[size].push_back(data);
    kept_bytes_ += size;
  } catch (...) {  // no memory to remember the block with
    mark(data, size, size);
    source_.release(data);
  }
}

void BlockCache::mark(void* data, std::size_t used, std::size_t size) const noexcept {
  if (source_.mark != nullptr) source_.mark(data, used, size);
}

Arena* BlockCache::arena_of(const void* data) const noexcept {
  for (const auto& arena : arenas_) {
    if (arena->owns(data)) return arena.get();
  }
  return nullptr;
}

void BlockCache::trace(MemoryTrace* trace) {
  const std::lock_guard lock(mutex_);
  trace_ = trace;
  thread_ = std::this_thread::get_id();
}

void BlockCache::serve_from(Arena* arena) {
  const std::lock_guard lock(mutex_);
  serving_ = arena;
  thread_ = std::this_thread::get_id();
}

Arena& BlockCache::add_arena(const MemoryTrace& trace) {
  ArenaLayout layout = lay_out(trace.blocks(), Arena::alignment);
  const std::lock_guard lock(mutex_);
  release_locked();  // what the traced pass left behind would be there twice
  const std::size_t size = std::max(layout.bytes, Arena::alignment);
  void* memory = take(size, size);
  mark(memory, size, size);
  arenas_.push_back(std::make_unique<Arena>(trace.blocks(), std::move(layout), memory));
  return *arenas_.back();
}

void BlockCache::remove_arena(const Arena& arena) noexcept {
  const std::lock_guard lock(mutex_);
  if (arena.alive() > 0) return;
  const auto found = std::find_if(arenas_.begin(), arenas_.end(),
                                  [&](const auto& each) { return each.get() == &arena; });
  if (found == arenas_.end()) return;
  in_use_ -= std::max(arena.bytes(), Arena::alignment);
  source_.release(arena.memory());
  arenas_.erase(found);
}

std::size_t BlockCache::bytes_in_use() const {
  const std::lock_guard lock(mutex_);
  return in_use_;
}

std::size_t BlockCache::bytes_kept() const {
  const std::lock_guard lock(mutex_);
  return kept_bytes_;
}

void BlockCache::release() noexcept {
  const std::lock_guard lock(mutex_);
  release_locked();
}

void BlockCache::release_locked() noexcept {
  for (auto& [size, blocks] : kept_) {
    for (void* data : blocks) {
      mark(data, size, size);
      source_.release(data);
    }
    blocks.clear();
  }
  kept_bytes_ = 0;
}

CpuBackend::CpuBackend()
    : blocks_(std::make_unique<BlockCache>()),
      primitives_(std::make_unique<PrimitiveCache>(*blocks_)) {}

CpuBackend::~CpuBackend() = default;

std::string CpuBackend::name() const { return "cpu"; }

DType CpuBackend::default_dtype() const { return DType::f32; }

void* CpuBackend::allocate(std::size_t bytes) { return blocks_->allocate(bytes); }

void CpuBackend::deallocate(void* data, std::size_t bytes) noexcept {
  blocks_->deallocate(data, bytes);
}

void CpuBackend::trace_memory(MemoryTrace* trace) { blocks_->trace(trace); }

void CpuBackend::copy_from_host(void* device, const void* host, std::size_t bytes) {
  if (bytes > 0) std::memcpy(device, host, bytes);
}

void CpuBackend::copy_to_host(void* host, const void* device, std::size_t bytes) {
  if (bytes > 0) std::memcpy(host, device, bytes);
}

void CpuBackend::synchronize() {}

std::shared_ptr<Backend> make_cpu_backend() { return std::make_shared<CpuBackend>(); }

std::string cpu_backend_description() {
  const int threads = omp_get_max_threads();
  return "cpu (oneDNN " + onednn_version() + ", " + simd_kernels().name + ", " +
         std::to_string(threads) + (threads == 1 ? " thread)" : " threads)");
}

}  // namespace cardiograd
