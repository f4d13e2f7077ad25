#include "tests/emulator/shared_memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "tests/support/address_sanitizer.h"

namespace cardiograd::emulator {
namespace {

constexpr std::size_t guard_bytes = 64;
constexpr unsigned char guard_byte = 0xA5;
// Room for the arrays and for the guards of many of them.
constexpr std::size_t arena_bytes = 512 * 1024;

constexpr std::size_t rounded_up(std::size_t bytes) { return (bytes + 15) / 16 * 16; }

}  // namespace

SharedMemory::SharedMemory()
    : arena_(static_cast<unsigned char*>(std::aligned_alloc(256, arena_bytes))) {
  if (arena_ == nullptr) throw std::bad_alloc();
}

SharedMemory::~SharedMemory() {
  ASAN_UNPOISON_MEMORY_REGION(arena_, arena_bytes);
  std::free(arena_);
}

void SharedMemory::begin_launch(std::size_t dynamic_bytes) {
  ASAN_UNPOISON_MEMORY_REGION(arena_, arena_bytes);
  arrays_.clear();
  used_ = 0;
  static_bytes_ = 0;
  dynamic_bytes_ = dynamic_bytes;
  // A launch without dynamic memory gets none: its first byte is a guard.
  dynamic_ = place(nullptr, "of the launch's dynamic memory", dynamic_bytes);
}

void SharedMemory::begin_block() {
  for (const Array& array : arrays_) std::memset(array.data, 0xFF, array.bytes);
}

SharedMemory::Found SharedMemory::array(const void* tag, const char* name, std::size_t bytes) {
  for (const Array& array : arrays_) {
    if (array.tag == tag) return {array.data, ""};
  }
  static_bytes_ += rounded_up(bytes);
  if (static_bytes_ > most_static_bytes || static_bytes_ + dynamic_bytes_ > most_bytes) {
    return {nullptr, "the shared array " + std::string(name) + " makes " +
                         std::to_string(static_bytes_) +
                         " bytes of static shared memory, at most " +
                         std::to_string(most_static_bytes) + " can be had"};
  }
  return {place(tag, name, bytes), ""};
}

unsigned char* SharedMemory::place(const void* tag, const std::string& name, std::size_t bytes) {
  const std::size_t whole = guard_bytes + rounded_up(bytes) + guard_bytes;
  if (used_ + whole > arena_bytes) throw std::bad_alloc();
  unsigned char* begin = arena_ + used_;
  unsigned char* data = begin + guard_bytes;
  std::memset(begin, guard_byte, whole);
  std::memset(data, 0xFF, bytes);
  ASAN_POISON_MEMORY_REGION(begin, guard_bytes);
  ASAN_POISON_MEMORY_REGION(data + bytes, whole - guard_bytes - bytes);
  used_ += whole;
  arrays_.push_back({tag, name, data, bytes});
  return data;
}

#if defined(CARDIOGRAD_ADDRESS_SANITIZER)
std::string SharedMemory::broken_guard() const { return ""; }
#else
std::string SharedMemory::broken_guard() const {
  for (const Array& array : arrays_) {
    const unsigned char* begin = array.data - guard_bytes;
    const unsigned char* end = array.data + rounded_up(array.bytes) + guard_bytes;
    const auto intact = [](unsigned char byte) { return byte == guard_byte; };
    if (!std::all_of(begin, static_cast<const unsigned char*>(array.data), intact) ||
        !std::all_of(static_cast<const unsigned char*>(array.data) + array.bytes, end, intact)) {
      return array.name;
    }
  }
  return "";
}
#endif

}  // namespace cardiograd::emulator
