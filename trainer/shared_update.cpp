#include "trainer/shared_update.h"

#include <algorithm>

#include "kernels/threads.h"
#include "nn/layer_scope.h"
#include "trainer/pending_sum.h"

namespace cardiograd {

namespace {

// What is at hand of all buffers stays in a core's second cache.
constexpr std::int64_t elements_of_a_thread = 32768;

}  // namespace

bool SharedUpdate::is_possible(const FlatParameters& parameters, const Optimizer& optimizer,
                               const Ranks& ranks) {
  std::vector<Tensor> buffers = optimizer.kept();
  buffers.push_back(parameters.values());
  buffers.push_back(parameters.gradients());
  return std::all_of(buffers.begin(), buffers.end(), [&](const Tensor& buffer) {
    return !ranks.communicator().places_of(buffer.view()).empty();
  });
}

SharedUpdate::SharedUpdate(FlatParameters& parameters, Optimizer& optimizer, const Ranks& ranks)
    : parameters_(parameters),
      optimizer_(optimizer),
      ranks_(ranks),
      gradients_(places_of(parameters.gradients())),
      values_(places_of(parameters.values())) {
  for (const Tensor& flat : optimizer.kept()) kept_.push_back(places_of(flat));
  optimizer.collect_with([this] { collect(); });
}

SharedUpdate::Places SharedUpdate::places_of(const Tensor& flat) const {
  Places places;
  for (const View& place : ranks_.communicator().places_of(flat.view())) {
    places.push_back(Tensor::borrow(ranks_.backend(), place, flat.impl()));
  }
  return places;
}

SharedUpdate::Part SharedUpdate::part_of(int rank) const {
  const Segment segment =
      segment_of(static_cast<std::size_t>(parameters_.values().numel()), ranks_.size(), rank);
  return {static_cast<std::int64_t>(segment.begin), static_cast<std::int64_t>(segment.size())};
}

// In rank order: what the ranks before this one have is added up apart.
void SharedUpdate::add_up(std::int64_t first, std::int64_t count) {
  Backend& backend = *ranks_.backend();
  const auto place = [&](int rank) {
    return gradients_[static_cast<std::size_t>(rank)].window(first, {count}).view();
  };
  const View mine = place(ranks_.rank());
  if (ranks_.rank() > 0) {
    View before = place(0);
    if (ranks_.rank() > 1) {
      if (!before_.defined() || before_.numel() < count) {
        before_ = Tensor::empty(ranks_.backend(), {count}, mine.dtype);
      }
      before = before_.window(0, {count}).view();
      backend.copy(place(0), before);
      for (int rank = 1; rank < ranks_.rank(); ++rank) backend.accumulate(place(rank), before);
    }
    backend.accumulate(before, mine);
  }
  for (int rank = ranks_.rank() + 1; rank < ranks_.size(); ++rank) {
    backend.accumulate(place(rank), mine);
  }
}

void SharedUpdate::run(const Tensor& guard, const std::string& step) {
  const PassScope pass(Pass::update);
  parameters_.finish_gradients();
  ranks_.communicator().wait_all();
  ranks_.communicator().barrier("the gradients of " + step);
  const Part part = part_of(ranks_.rank());
  const std::int64_t end = part.first + part.count;
  const std::int64_t at_hand = elements_of_a_thread * thread_limit();
  for (std::int64_t first = part.first; first < end; first += at_hand) {
    const std::int64_t count = std::min(at_hand, end - first);
    add_up(first, count);
    optimizer_.update_part(first, count, guard);
    const View values = parameters_.values().window(first, {count}).view();
    for (int rank = 0; rank < ranks_.size(); ++rank) {
      if (rank == ranks_.rank()) continue;
      const Tensor& there = values_[static_cast<std::size_t>(rank)];
      ranks_.backend()->copy(values, there.window(first, {count}).view());
    }
  }
  ranks_.communicator().barrier("the update of " + step);
}

// The others are between two updates: none begins before this rank has come to it.
void SharedUpdate::collect() const {
  for (const Places& places : kept_) {
    for (int owner = 0; owner < ranks_.size(); ++owner) {
      if (owner == ranks_.rank()) continue;
      const Part part = part_of(owner);
      const auto place = [&](int rank) {
        return places[static_cast<std::size_t>(rank)].window(part.first, {part.count}).view();
      };
      ranks_.backend()->copy(place(owner), place(ranks_.rank()));
    }
  }
}

}  // namespace cardiograd
