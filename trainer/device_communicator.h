// A communicator between processes with a GPU each: gradients by the device group (NCCL), host
// bytes through a communicator of the host's (MPI), or through the group where there is none.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/device_group.h"
#include "trainer/communicator.h"

namespace cardiograd {

class DeviceCommunicator final : public Communicator {
 public:
  // Waits, with the time-out, until the group's ranks have joined. `host` may be null.
  DeviceCommunicator(const Launch& launch, double timeout_seconds, std::shared_ptr<Backend> backend,
                     std::unique_ptr<DeviceGroup> group, std::shared_ptr<Communicator> host);

  std::string name() const override;
  void set_timeout(double seconds) override;
  Ticket start_all_reduce_sum(const View& view, std::string_view what) override;
  void wait(Ticket ticket) override;
  void wait_all() override;
  void finish(std::string_view what) override;
  // Polls; where the group fails or the time is over, aborts it and throws.
  void wait_until(const std::function<bool()>& done, std::string_view what) override;
  std::vector<Bytes> all_gather_bytes(std::span<const std::byte> bytes,
                                      std::string_view what) override;
  std::vector<Bytes> gather_bytes(std::span<const std::byte> bytes, std::string_view what) override;
  void broadcast_bytes(Bytes& bytes, std::string_view what) override;
  void answer_calls() override;
  std::vector<int> silent_ranks(double seconds) override;

 private:
  void until_ready(std::string_view what);
  [[noreturn]] void give_up(std::string_view what, const std::string& reason);
  void check_alive() const;
  // As many bytes of every rank, through device memory.
  Bytes gather_equal(std::span<const std::byte> bytes, std::string_view what);

  std::shared_ptr<Backend> backend_;
  std::shared_ptr<Communicator> host_;
  std::unique_ptr<DeviceGroup> group_;  // ends before the backend whose queue it follows
  Ticket first_ = 0;                    // of those that wait_all has not seen; its slot is 0
  Ticket next_ = 0;
  std::string lost_;  // the sentence that every call repeats
};

// The host side through `host`, whose ranks these are.
std::shared_ptr<Communicator> make_device_communicator(const std::shared_ptr<Backend>& backend,
                                                       const Launch& launch,
                                                       const std::shared_ptr<Communicator>& host);
// By NCCL alone, which meets at launch.master_address.
std::shared_ptr<Communicator> make_device_communicator(const std::shared_ptr<Backend>& backend,
                                                       const Launch& launch,
                                                       double timeout_seconds);

}  // namespace cardiograd
