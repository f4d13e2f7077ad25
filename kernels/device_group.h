// The door to collectives between devices (NCCL between GPUs): cuda/nccl.cpp where NCCL's headers
// were found, which loads the library when the program needs it; cuda/nccl_stub.cpp elsewhere.
// Nothing here waits on the host; who uses it polls, with a deadline of its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/view.h"

namespace cardiograd {

class Backend;

// One rank's membership of a group of devices, each with a process of its own.
class DeviceGroup {
 public:
  enum class State : std::uint8_t { working, ready, failed };

  DeviceGroup() = default;
  DeviceGroup(const DeviceGroup&) = delete;
  DeviceGroup& operator=(const DeviceGroup&) = delete;
  virtual ~DeviceGroup() = default;

  // "NCCL 2.28.9"
  virtual std::string name() const = 0;
  // Of the last call and of everything enqueued: no other call but abort while `working`, for the
  // group's beginning included.
  virtual State state() = 0;
  // What went wrong, where the state is failed.
  virtual std::string failure() = 0;
  // Enqueues, after all that was asked of the backend, on a queue of the group's own, beside what
  // is asked of the backend next.
  virtual void enqueue_all_reduce_sum(const View& view) = 0;
  // all: size x mine, in rank order; u8.
  virtual void enqueue_all_gather(const ConstView& mine, const View& all) = 0;
  // A point on the group's queue, after all enqueued so far; `slot` names it, and a slot may be
  // marked again.
  virtual void mark(std::size_t slot) = 0;
  // What is asked of the backend from now on comes after the mark.
  virtual void join(std::size_t slot) = 0;
  // Whether backend and group have done all that was asked; throws DeviceError where they failed.
  virtual bool idle() = 0;
  // Ends what is under way; the group is of no use afterwards.
  virtual void abort() noexcept = 0;
};

// What the ranks of one group have in common, made by one of them.
using DeviceGroupId = std::array<std::byte, 128>;

// Whether processes on this backend need a group: its memory is not the host's.
bool wants_device_group(const Backend& backend);

// "NCCL 2.28.9", or "no NCCL" with why where the build has its headers.
std::string device_group_library();

// Those below throw DeviceError where there is no NCCL.
DeviceGroupId make_device_group_id();
// The same id on every rank, from where rank 0 is to listen: NCCL's own bootstrap over TCP.
DeviceGroupId make_device_group_id(const std::string& address, int port);

// Begins to join; state() says when all have.
std::unique_ptr<DeviceGroup> make_device_group(const std::shared_ptr<Backend>& backend, int rank,
                                               int size, const DeviceGroupId& id);

}  // namespace cardiograd
