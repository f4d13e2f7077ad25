// Memory of a backend: freed blocks are kept by size and handed out again, so that a training step
// asks the system for nothing after the first one. On a GPU, whose operations all go to one stream,
// a block may be handed out again before the work that used it is done: what uses it next comes
// after that work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kernels/arena.h"

namespace cardiograd {

// Where a cache gets its blocks from.
struct MemorySource {
  std::string name = "cpu";  // for the sentence when memory is out
  // Null when there is none; 64-byte aligned.
  std::function<void*(std::size_t size)> allocate;
  void (*release)(void* data) noexcept;
  // Optional: told that of a block of `size` bytes the first `used` are handed out (0: none), so
  // that memory checkers see the rest as out of bounds.
  void (*mark)(void* data, std::size_t used, std::size_t size) noexcept = nullptr;
};
MemorySource host_memory();

class BlockCache {
 public:
  explicit BlockCache(const MemorySource& source = host_memory()) : source_(source) {}
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;
  // Frees what is kept. Blocks still in use stay valid and are their owners' leak.
  ~BlockCache();

  // 64-byte aligned, of unspecified content, never null. Throws DeviceError when the memory cannot
  // be had. Thread-safe, as is deallocate.
  void* allocate(std::size_t bytes);
  // `bytes` as given to allocate.
  void deallocate(void* data, std::size_t bytes) noexcept;

  // From now on, what this thread asks for, and what of it is given back, is noted (null: no
  // longer).
  void trace(MemoryTrace* trace);
  // Memory for the blocks of a trace; it stays until remove_arena, or for good where some of its
  // blocks have not been given back by then. Throws DeviceError when the memory cannot be had.
  Arena& add_arena(const MemoryTrace& trace);
  void remove_arena(const Arena& arena) noexcept;
  // From now on, what this thread asks for comes from the arena (null: no longer).
  void serve_from(Arena* arena);

  std::size_t bytes_in_use() const;
  std::size_t bytes_kept() const;
  // Gives every kept block back to its source.
  void release() noexcept;

  // The size of the block that serves a request: four sizes to each power of two, 64 at least.
  static std::size_t block_size(std::size_t bytes);

 private:
  void release_locked() noexcept;
  void mark(void* data, std::size_t used, std::size_t size) const noexcept;
  void* take(std::size_t size, std::size_t bytes);
  Arena* arena_of(const void* data) const noexcept;

  const MemorySource source_;
  mutable std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> kept_;  // by block size
  std::size_t in_use_ = 0;
  std::size_t kept_bytes_ = 0;
  std::vector<std::unique_ptr<Arena>> arenas_;
  MemoryTrace* trace_ = nullptr;
  Arena* serving_ = nullptr;
  std::thread::id thread_;  // whose requests are traced or served
};

// A block of `count` elements for the length of a call.
template <class T>
class Scratch {
 public:
  Scratch(BlockCache& blocks, std::int64_t count)
      : blocks_(blocks),
        bytes_(static_cast<std::size_t>(count) * sizeof(T)),
        data_(static_cast<T*>(blocks.allocate(bytes_))) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { blocks_.deallocate(data_, bytes_); }

  T* data() const { return data_; }
  T& operator[](std::int64_t i) const { return data_[i]; }

 private:
  BlockCache& blocks_;
  std::size_t bytes_;
  T* data_;
};

}  // namespace cardiograd
