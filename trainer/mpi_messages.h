// MPI's messages between this rank and the others, and its errors. For the files that speak MPI.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <mpi.h>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "trainer/communicator.h"

namespace cardiograd {

// Throws DeviceError with MPI's words for what went wrong at `what`.
inline void check_mpi(int status, std::string_view what) {
  if (status == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(status, text.data(), &length);
  throw DeviceError("MPI failed at " + std::string(what) + ": " +
                    std::string(text.data(), static_cast<std::size_t>(length)));
}

// The messages of one step of an operation.
class Messages {
 public:
  Messages(MPI_Comm comm, std::string what) : comm_(comm), what_(std::move(what)) {}

  const std::string& what() const { return what_; }

  void send(int peer, const void* data, std::size_t bytes, int tag) {
    each_piece(bytes, [&](std::size_t offset, int count) {
      MPI_Request request = MPI_REQUEST_NULL;
      check_mpi(MPI_Isend(static_cast<const std::byte*>(data) + offset, count, MPI_BYTE, peer, tag,
                          comm_, &request),
                what_);
      add(request, peer, -1);
    });
  }
  void receive(int peer, void* data, std::size_t bytes, int tag) {
    each_piece(bytes, [&](std::size_t offset, int count) {
      MPI_Request request = MPI_REQUEST_NULL;
      check_mpi(MPI_Irecv(static_cast<std::byte*>(data) + offset, count, MPI_BYTE, peer, tag, comm_,
                          &request),
                what_);
      add(request, peer, count);
    });
  }

  // Whether all have come and gone. Throws where a message is not of the length that was expected.
  bool done() {
    if (requests_.empty()) return true;
    int count = 0;
    indices_.resize(requests_.size());
    statuses_.resize(requests_.size());
    const int status = MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &count,
                                    indices_.data(), statuses_.data());
    if (count == MPI_UNDEFINED) count = 0;
    check_lengths(status, count);
    open_ -= static_cast<std::size_t>(count);
    if (open_ > 0) return false;
    requests_.clear();
    peers_.clear();
    lengths_.clear();
    return true;
  }

  // The ranks of those that are under way.
  std::set<int> peers() const {
    std::set<int> result;
    for (std::size_t each = 0; each < requests_.size(); ++each) {
      if (requests_[each] != MPI_REQUEST_NULL) result.insert(peers_[each]);
    }
    return result;
  }

 private:
  // MPI counts in int.
  template <class F>
  static void each_piece(std::size_t bytes, F&& f) {
    constexpr std::size_t piece = std::size_t{1} << 30;
    for (std::size_t offset = 0; offset < bytes; offset += piece) {
      f(offset, static_cast<int>(std::min(piece, bytes - offset)));
    }
  }
  void add(MPI_Request request, int peer, int length) {
    requests_.push_back(request);
    peers_.push_back(peer);
    lengths_.push_back(length);
    ++open_;
  }
  void check_lengths(int status, int count) {
    if (status != MPI_SUCCESS && status != MPI_ERR_IN_STATUS) check_mpi(status, what_);
    for (int each = 0; each < count; ++each) {
      const auto at = static_cast<std::size_t>(indices_[static_cast<std::size_t>(each)]);
      const MPI_Status& of = statuses_[static_cast<std::size_t>(each)];
      int got = 0;
      if (lengths_[at] >= 0) MPI_Get_count(&of, MPI_BYTE, &got);
      const bool failed = status == MPI_ERR_IN_STATUS && of.MPI_ERROR != MPI_SUCCESS;
      if (failed || (lengths_[at] >= 0 && got != lengths_[at])) {
        throw LostRank("rank " + std::to_string(peers_[at]) + " is out of step at " + what_ +
                       ": it sent a message of another length than the " +
                       std::to_string(lengths_[at]) + " bytes that belong there");
      }
    }
  }

  MPI_Comm comm_;
  std::string what_;
  std::vector<MPI_Request> requests_;
  std::vector<int> peers_;
  std::vector<int> lengths_;  // -1: sent
  std::vector<int> indices_;
  std::vector<MPI_Status> statuses_;
  std::size_t open_ = 0;
};

}  // namespace cardiograd
