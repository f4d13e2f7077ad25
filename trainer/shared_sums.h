// Sums between the processes of one machine without messages: each rank's view lies in memory that
// all of them reach, each rank adds up one segment of all views and writes the sum into every one.
// Two counters of each rank say how far it is; who waits looks at them, without a lock that a dead
// process could hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/view.h"
#include "trainer/pending_sum.h"

namespace cardiograd {

// Memory of several processes. It has no name in any file system: it is gone with the last process
// that has it, however that ends.
class SharedMemory {
 public:
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory();

  // Zeros; null where the system gives none.
  static std::shared_ptr<SharedMemory> make(std::size_t bytes);
  // What `address` names, of another process that still has it; null where that is not within
  // reach (another container), or not of this size.
  static std::shared_ptr<SharedMemory> open(const std::vector<std::byte>& address,
                                            std::size_t bytes);

  std::vector<std::byte> address() const;
  // Takes pages, near the calling process, that would else come with the first access, which cannot
  // fail in good order. False where memory is short.
  bool reserve(std::size_t offset, std::size_t bytes);
  std::byte* data() const { return data_; }

 private:
  SharedMemory() = default;
  bool map(std::size_t bytes);

  int file_ = -1;
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// One region of `bytes` for each rank. Calls as Communicator's: all ranks, in the same order.
class SharedSums : public std::enable_shared_from_this<SharedSums> {
 public:
  // Of the memory that `size` ranks share.
  static std::size_t bytes_for(int size, std::size_t bytes);
  // Null where memory is short.
  static std::shared_ptr<SharedSums> join(std::shared_ptr<SharedMemory> memory, int rank, int size,
                                          std::size_t bytes);

  // This rank's region; begins at a page.
  std::byte* mine() const { return region(rank_); }
  // Whether the view lies in this rank's region.
  bool holds(const View& view) const;
  // The same place in each rank's region.
  std::vector<View> places_of(const View& view) const;
  // The sum of a view of f32 or f64 that this region holds, and the others' regions at the same
  // place; at most most_pending_sums at once. Its advance() throws LostRank where a rank adds up
  // another place.
  std::unique_ptr<PendingSum> start(const View& view, std::string what);

 private:
  friend class SharedSum;
  struct Extent {
    std::uint64_t offset = 0;  // bytes
    std::uint64_t bytes = 0;
  };
  struct Seat;

  SharedSums() = default;
  Seat& seat(int rank) const;
  std::size_t offset_of(const View& view) const;
  std::byte* region(int rank) const;

  std::shared_ptr<SharedMemory> memory_;
  int rank_ = 0;
  int size_ = 0;
  std::size_t bytes_ = 0;
  std::uint64_t started_ = 0;
};

}  // namespace cardiograd
