// Memory of the CPU backend: freed blocks are kept by size and handed out again, so that a training
// step asks the operating system for nothing after the first one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

namespace cardiograd {

class BlockCache {
 public:
  BlockCache() = default;
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;
  // Frees what is kept. Blocks still in use stay valid and are their owners' leak.
  ~BlockCache();

  // 64-byte aligned, of unspecified content, never null. Throws DeviceError when the memory cannot
  // be had. Thread-safe, as is deallocate.
  void* allocate(std::size_t bytes);
  // `bytes` as given to allocate.
  void deallocate(void* data, std::size_t bytes) noexcept;

  std::size_t bytes_in_use() const;
  std::size_t bytes_kept() const;
  // Gives every kept block back to the operating system.
  void release() noexcept;

  // The size of the block that serves a request: four sizes to each power of two, 64 at least.
  static std::size_t block_size(std::size_t bytes);

 private:
  void release_locked() noexcept;

  mutable std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> kept_;  // by block size
  std::size_t in_use_ = 0;
  std::size_t kept_bytes_ = 0;
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
