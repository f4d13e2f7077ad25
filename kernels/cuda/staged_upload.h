// Rows of host memory on their way to a device through two pinned buffers: while one is filled, the
// other is under way.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include "kernels/cuda/runtime.h"
#include "kernels/view.h"

namespace cardiograd::cuda {

class OwnedEvent {
 public:
  OwnedEvent() = default;
  OwnedEvent(const OwnedEvent&) = delete;
  OwnedEvent& operator=(const OwnedEvent&) = delete;
  ~OwnedEvent() { destroy_event(event_); }
  Event get() const { return event_; }

 private:
  Event event_ = create_event();
};

class StagedUpload {
 public:
  StagedUpload() = default;
  StagedUpload(const StagedUpload&) = delete;
  StagedUpload& operator=(const StagedUpload&) = delete;

  // y[i] = x[rows[i]], x on the host, y on the stream's device. Returns when x has been read.
  void copy_rows(const ConstView& x, std::span<const std::int32_t> rows, const View& y,
                 Stream stream) {
    if (rows.empty() || y.bytes() == 0) return;
    const std::size_t size = y.bytes() / rows.size();
    const std::size_t most = std::max(most_bytes / size, std::size_t{1});
    auto* to = static_cast<std::byte*>(y.data);
    for (std::size_t first = 0; first < rows.size(); first += most) {
      const std::size_t count = std::min(most, rows.size() - first);
      Buffer& buffer = buffers_[next_];
      next_ = 1 - next_;
      std::byte* staged = buffer.take(count * size);
      for (std::size_t i = 0; i < count; ++i) {
        const auto row = static_cast<std::size_t>(rows[first + i]);
        std::memcpy(staged + i * size, static_cast<const std::byte*>(x.data) + row * size, size);
      }
      copy_from_pinned(to + first * size, staged, count * size, stream);
      record_event(buffer.copied.get(), stream);
      buffer.under_way = true;
    }
  }

 private:
  // Longer pieces gain nothing, and pinned memory is scarce.
  static constexpr std::size_t most_bytes = std::size_t{4} << 20;

  struct Buffer {
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { release_pinned(data); }

    // Memory that no copy reads any more.
    std::byte* take(std::size_t bytes) {
      if (under_way) synchronize_event(copied.get());
      under_way = false;
      if (size < bytes) {
        release_pinned(data);
        data = nullptr;
        size = 0;
        data = static_cast<std::byte*>(allocate_pinned(bytes));
        size = bytes;
      }
      return data;
    }

    std::byte* data = nullptr;
    std::size_t size = 0;
    OwnedEvent copied;
    bool under_way = false;
  };

  std::array<Buffer, 2> buffers_;
  std::size_t next_ = 0;
};

}  // namespace cardiograd::cuda
