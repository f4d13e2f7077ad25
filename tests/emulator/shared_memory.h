// The shared memory of a block: arrays found by the place that declares them, each between guards.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace cardiograd::emulator {

class SharedMemory {
 public:
  static constexpr std::size_t most_static_bytes = 48 * 1024;
  static constexpr std::size_t most_bytes = 227 * 1024;  // Hopper's

  SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory();

  // Forgets all arrays; dynamic memory of that size.
  void begin_launch(std::size_t dynamic_bytes);
  // Fills every array with 0xFF: NaN, or -1.
  void begin_block();

  struct Found {
    void* data;
    std::string error;  // where data is null
  };
  // The block's array that `tag` stands for.
  Found array(const void* tag, const char* name, std::size_t bytes);
  void* dynamic() const { return dynamic_; }

  // The name of an array whose guards were written to. Under AddressSanitizer the guards may not be
  // touched at all, and the write itself is reported.
  std::string broken_guard() const;

 private:
  struct Array {
    const void* tag;
    std::string name;
    unsigned char* data;
    std::size_t bytes;
  };
  unsigned char* place(const void* tag, const std::string& name, std::size_t bytes);

  unsigned char* arena_;
  std::size_t used_ = 0;  // bytes of the arena, guards and all
  std::size_t static_bytes_ = 0;
  std::size_t dynamic_bytes_ = 0;
  void* dynamic_ = nullptr;
  std::vector<Array> arrays_;
};

}  // namespace cardiograd::emulator
