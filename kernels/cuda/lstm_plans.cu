// The ways to compute an LSTM layer: lstm.cu's kernels, or an algorithm of cuDNN, whichever the
// plan cache measures to be the faster one. Inference is chosen by itself. In training the library
// keeps between its passes what it likes, so that forward and backward are chosen together, by
// timing both on zeros when lstm_saved_size is first asked for a shape; the size of `saved` then
// says which plan filled it. In it lie the library's own memory, y of all steps and the block of
// weights.
//
// The library wants its parameters in one block, and knows no reversed sequence: x, y and their
// gradients are turned around here, which costs a copy of each (8 bytes an element in f32) beside a
// recurrence that waits for L steps. Operands that are not aligned to 16 bytes are copied too.
#include <memory>
#include <mutex>

#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/grid.h"
#include "kernels/cuda/lstm_shape.h"

namespace cardiograd {
namespace cuda {
namespace {

// y[n, t] = x[n, L - 1 - t], lines of `columns` units. Index: 32 bits below 2^31 units.
template <class Unit, class Index>
CG_KERNEL(block_threads)
void lstm_reverse_kernel(const Unit* __restrict__ x, Unit* __restrict__ y, std::int64_t count,
                         std::int64_t steps, std::int64_t columns) {
  const auto width = static_cast<Index>(columns);
  const auto length = static_cast<Index>(steps);
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    const Index line = static_cast<Index>(i) / width;
    const Index t = line % length;
    y[i] =
        x[i + (static_cast<std::int64_t>(length - 1 - t) - static_cast<std::int64_t>(t)) * columns];
  }
}

template <class T>
struct LstmParameters {
  T* weight_ih;
  T* weight_hh;
  T* bias_ih;
  T* bias_hh;
};

// Parameters to the library's block, or what the block has to parameters' gradients: row by row of
// weight_ih, weight_hh and both biases, side by side.
template <class T, bool to_block>
CG_KERNEL(block_threads)
void lstm_parameters_kernel(RnnWeights map, LstmParameters<T> parameters, T* __restrict__ block,
                            std::int64_t inputs, std::int64_t units) {
  const std::int64_t columns = inputs + units + 2;
  for (std::int64_t i = first_item(); i < 4 * units * columns; i += item_step()) {
    const std::int64_t row = i / columns;
    const std::int64_t column = i % columns;
    const std::int64_t gate = row / units;
    const std::int64_t unit = row % units;
    T* mine = nullptr;
    T* theirs = nullptr;
    if (column < inputs) {
      mine = parameters.weight_ih + row * inputs + column;
      theirs = block + map.ih[gate] + unit * inputs + column;
    } else if (column < inputs + units) {
      mine = parameters.weight_hh + row * units + column - inputs;
      theirs = block + map.hh[gate] + unit * units + column - inputs;
    } else if (column == inputs + units) {
      mine = parameters.bias_ih + row;
      theirs = block + map.bias_ih[gate] + unit;
    } else {
      mine = parameters.bias_hh + row;
      theirs = block + map.bias_hh[gate] + unit;
    }
    if constexpr (to_block) {
      *theirs = *mine;
    } else {
      *mine = *theirs;
    }
  }
}

constexpr std::size_t part_alignment = 256;
std::size_t aligned_up(std::size_t bytes) {
  return (bytes + part_alignment - 1) / part_alignment * part_alignment;
}

// Where parts of one block begin.
class Parts {
 public:
  // The part's offset in bytes.
  std::size_t add(std::size_t bytes) {
    const std::size_t first = bytes_;
    bytes_ += aligned_up(bytes);
    return first;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_ = 0;
};

template <class F>
void with_storage(DType dtype, F&& f) {
  dispatch_storage("lstm", {ConstView{nullptr, dtype, {}}}, f);
}

// A layer by one of the library's plans. Operands as in cuda_backend_impl.h.
class LibraryLstm {
 public:
  LibraryLstm(Backend& backend, const Device& device, BlockCache& blocks, const Lstm& shape,
              DType dtype, std::shared_ptr<const RnnPlan> plan)
      : backend_(backend),
        device_(device),
        blocks_(blocks),
        shape_(shape),
        dtype_(dtype),
        plan_(std::move(plan)) {
    Parts parts;
    reserve_ = parts.add(plan_->reserve);
    y_ = parts.add(bytes_of(shape.units));
    weights_ = parts.add(weight_bytes());
    saved_ = static_cast<std::int64_t>(parts.bytes() / size_of(dtype));
    // No other plan's size, so that the size tells them apart.
    if (saved_ == lstm_parts_size(shape.records, shape.length, shape.units)) ++saved_;
  }
  ~LibraryLstm() { blocks_.deallocate(lengths_, lengths_bytes()); }
  LibraryLstm(const LibraryLstm&) = delete;
  LibraryLstm& operator=(const LibraryLstm&) = delete;

  std::int64_t saved() const { return saved_; }

  void forward(const PlanOperands& o) {
    auto* saved = static_cast<char*>(o.out[1]);
    const bool trains = saved != nullptr;
    const bool lends_y = shape_.last_step || shape_.reverse || !is_aligned(o.out[0], 16);
    const Lent x = staged(o.in[0], shape_.inputs);
    const Lent weights = lend(!trains, weight_bytes());
    const Lent y = lend(!trains && lends_y, bytes_of(shape_.units));
    const Lent last = lend(shape_.last_step && !is_aligned(o.out[0], 16), state_bytes());
    const Lent workspace = lend(true, trains ? plan_->workspace : plan_->inference_workspace);
    RnnForward call;
    call.lengths = lengths();
    call.x = x ? x->data() : o.in[0];
    void* const block = trains ? saved + weights_ : weights->data();
    call.weights = block;
    call.y = trains ? saved + y_ : y ? y->data() : o.out[0];
    if (shape_.last_step) call.last = last ? last->data() : o.out[0];
    call.workspace = workspace->data();
    call.reserve = trains ? saved + reserve_ : nullptr;
    with_storage(dtype_, [&](auto element) {
      using T = decltype(element);
      const auto parameter = [&](std::size_t i) {  // only read
        return static_cast<T*>(const_cast<void*>(o.in[i]));
      };
      move_parameters<T, true>({parameter(1), parameter(2), parameter(3), parameter(4)}, block);
    });
    plan_->forward(call);
    if (last) copy_on_device(o.out[0], last->data(), state_bytes(), device_.stream);
    if (!shape_.last_step && call.y != o.out[0]) order(call.y, o.out[0], shape_.units);
  }

  void backward(const PlanOperands& o) {
    auto* saved = static_cast<char*>(o.out[5]);
    const bool lends_dx = shape_.reverse || !is_aligned(o.out[0], 16) || o.out[0] == nullptr;
    const Lent x = staged(o.in[0], shape_.inputs);
    const Lent dy =
        shape_.last_step ? lend(true, bytes_of(shape_.units)) : staged(o.in[4], shape_.units);
    const Lent dlast = lend(shape_.last_step && !is_aligned(o.in[4], 16), state_bytes());
    const Lent dx = lend(lends_dx, bytes_of(shape_.inputs));
    const Lent dweights = lend(true, weight_bytes());
    const Lent workspace = lend(true, plan_->workspace);
    RnnBackward call;
    call.lengths = lengths();
    call.x = x ? x->data() : o.in[0];
    call.y = saved + y_;
    call.dy = dy ? dy->data() : o.in[4];
    if (shape_.last_step) {
      clear(dy->data(), bytes_of(shape_.units));
      if (dlast) copy_on_device(dlast->data(), o.in[4], state_bytes(), device_.stream);
      call.dlast = dlast ? dlast->data() : o.in[4];
    }
    call.weights = saved + weights_;
    call.dx = dx ? dx->data() : o.out[0];
    call.dweights = dweights->data();
    clear(call.dweights, weight_bytes());
    call.workspace = workspace->data();
    call.reserve = saved + reserve_;
    plan_->backward(call);
    with_storage(dtype_, [&](auto element) {
      using T = decltype(element);
      const auto gradient = [&](std::size_t i) { return static_cast<T*>(o.out[i]); };
      move_parameters<T, false>({gradient(1), gradient(2), gradient(3), gradient(4)},
                                call.dweights);
    });
    if (dx && o.out[0] != nullptr) order(dx->data(), o.out[0], shape_.inputs);
  }

 private:
  using Lent = std::unique_ptr<const Scratch<char>>;  // null: the operand itself serves

  // Bytes of a sequence of `columns`.
  std::size_t bytes_of(std::int64_t columns) const {
    return static_cast<std::size_t>(shape_.records * shape_.length * columns) * size_of(dtype_);
  }
  std::size_t state_bytes() const {
    return static_cast<std::size_t>(shape_.records * shape_.units) * size_of(dtype_);
  }
  std::size_t weight_bytes() const {
    return static_cast<std::size_t>(plan_->weights.size) * size_of(dtype_);
  }
  std::size_t lengths_bytes() const { return static_cast<std::size_t>(shape_.records) * 4; }

  Lent lend(bool wanted, std::size_t bytes) const {
    if (!wanted) return nullptr;
    return std::make_unique<const Scratch<char>>(blocks_, static_cast<std::int64_t>(bytes));
  }

  // A copy in the direction's order where the library cannot read the operand itself.
  Lent staged(const void* data, std::int64_t columns) const {
    Lent lent = lend(shape_.reverse || !is_aligned(data, 16), bytes_of(columns));
    if (lent) order(data, lent->data(), columns);
    return lent;
  }

  void clear(void* data, std::size_t bytes) const {
    backend_.fill({data, DType::u8, {static_cast<std::int64_t>(bytes)}}, 0.0);
  }

  // From the order of time to that of the direction, or back.
  void order(const void* from, void* to, std::int64_t columns) const {
    if (!shape_.reverse) {
      copy_on_device(to, from, bytes_of(columns), device_.stream);
      return;
    }
    const std::size_t line = static_cast<std::size_t>(columns) * size_of(dtype_);
    if (line % 16 == 0 && is_aligned(from, 16) && is_aligned(to, 16)) {
      reverse<Pack<float, 4>>(from, to, static_cast<std::int64_t>(line / 16));
    } else {
      with_storage(dtype_, [&](auto element) { reverse<decltype(element)>(from, to, columns); });
    }
  }

  template <class Unit>
  void reverse(const void* from, void* to, std::int64_t columns) const {
    const std::int64_t count = shape_.records * shape_.length * columns;
    const auto run = [&](auto index) {
      launch<lstm_reverse_kernel<Unit, decltype(index)>>(
          device_.blocks_for(count), block_threads, 0, device_.stream,
          static_cast<const Unit*>(from), static_cast<Unit*>(to), count, shape_.length, columns);
    };
    count < std::int64_t{1} << 31 ? run(std::uint32_t{}) : run(std::uint64_t{});
  }

  template <class T, bool to_block>
  void move_parameters(const LstmParameters<T>& parameters, void* block) const {
    const std::int64_t count = 4 * shape_.units * (shape_.inputs + shape_.units + 2);
    launch<lstm_parameters_kernel<T, to_block>>(
        device_.blocks_for(count), block_threads, 0, device_.stream, plan_->weights, parameters,
        static_cast<T*>(block), shape_.inputs, shape_.units);
  }

  // Made at the first call, which no graph captures, and kept.
  const void* lengths() {
    const std::lock_guard lock(mutex_);
    if (lengths_ == nullptr) {
      lengths_ = blocks_.allocate(lengths_bytes());
      backend_.fill({lengths_, DType::i32, {shape_.records}}, static_cast<double>(shape_.length));
    }
    return lengths_;
  }

  Backend& backend_;
  const Device& device_;
  BlockCache& blocks_;
  const Lstm shape_;
  const DType dtype_;
  const std::shared_ptr<const RnnPlan> plan_;
  std::size_t reserve_ = 0, y_ = 0, weights_ = 0;  // in saved, bytes
  std::int64_t saved_ = 0;                         // elements
  std::mutex mutex_;
  void* lengths_ = nullptr;
};

// Both passes on operands of their own, for timing: in one block, all zeros.
class Rehearsal {
 public:
  Rehearsal(const Lstm& shape, DType dtype, std::int64_t saved) {
    const auto part = [&](std::int64_t count) {
      return parts_.add(static_cast<std::size_t>(count) * size_of(dtype));
    };
    const std::int64_t steps = shape.records * shape.length;
    const std::int64_t rows = 4 * shape.units;
    const std::int64_t sizes[] = {steps * shape.inputs, rows * shape.inputs, rows * shape.units,
                                  rows, rows};
    for (std::size_t i = 0; i < 5; ++i) in_[i] = part(sizes[i]);
    for (std::size_t i = 0; i < 5; ++i) gradient_[i] = part(sizes[i]);
    y_ = part(shape.last_step ? shape.records * shape.units : steps * shape.units);
    dy_ = part(shape.last_step ? shape.records * shape.units : steps * shape.units);
    saved_ = part(saved);
  }

  std::size_t bytes() const { return parts_.bytes(); }

  void run(Backend& backend, void* block, const TrainingPasses& passes) const {
    backend.fill({block, DType::u8, {static_cast<std::int64_t>(bytes())}}, 0.0);
    const auto at = [block](std::size_t offset) { return static_cast<char*>(block) + offset; };
    PlanOperands forward{{}, {at(y_), at(saved_)}};
    PlanOperands backward{{at(in_[0]), at(in_[1]), at(in_[2]), nullptr, at(dy_)}, {}};
    for (std::size_t i = 0; i < 5; ++i) forward.in[i] = at(in_[i]);
    for (std::size_t i = 0; i < 5; ++i) backward.out[i] = at(gradient_[i]);
    backward.out[5] = at(saved_);
    passes.forward(forward);
    passes.backward(backward);
  }

 private:
  Parts parts_;
  std::size_t in_[5] = {}, gradient_[5] = {}, y_ = 0, dy_ = 0, saved_ = 0;
};

PlanKey key_of(std::string_view operation, const Lstm& shape, DType dtype, MathMode math) {
  return {operation,
          dtype,
          math,
          {shape.records, shape.length, shape.inputs, shape.units, shape.reverse ? 1 : 0,
           shape.last_step ? 1 : 0}};
}

RnnShape rnn_shape(const Lstm& shape, DType dtype, MathMode math) {
  return {shape.records, shape.length, shape.inputs, shape.units, dtype, math};
}

}  // namespace
}  // namespace cuda

void CudaBackend::plan_lstm_inference(const cuda::Lstm& shape, DType dtype,
                                      const cuda::PlanOperands& call) {
  const auto own = [this, shape, dtype](const cuda::PlanOperands& o) {
    lstm_forward_by_kernels(shape, dtype, o);
  };
  const cuda::MathMode math = planner_ ? planner_->math(dtype) : cuda::MathMode::exact;
  const cuda::PlanKey key = cuda::key_of("lstm_forward", shape, dtype, math);
  cuda::run_plan(planner_.get(), key, call, own, [&] {
    std::vector<cuda::Candidate> all;
    for (auto& plan : planner_->lstm(cuda::rnn_shape(shape, dtype, math))) {
      const auto layer =
          std::make_shared<cuda::LibraryLstm>(*this, device_, blocks_, shape, dtype, plan);
      all.push_back({plan->name, plan->deterministic, 0,
                     [layer](const cuda::PlanOperands& o) { layer->forward(o); }});
    }
    return all;
  });
}

// Null: our own kernels.
std::shared_ptr<const cuda::TrainingPasses> CudaBackend::plan_lstm_training(const cuda::Lstm& shape,
                                                                            DType dtype) {
  if (!planner_ || shape.records * shape.length * shape.units == 0) return nullptr;
  const cuda::MathMode math = planner_->math(dtype);
  const auto candidate = [&](const std::string& name, bool deterministic,
                             const std::shared_ptr<const cuda::TrainingPasses>& passes) {
    const cuda::Rehearsal rehearsal(shape, dtype, passes->saved);
    return cuda::Candidate{name, deterministic, rehearsal.bytes(),
                           [this, rehearsal, passes](const cuda::PlanOperands& o) {
                             rehearsal.run(*this, o.workspace, *passes);
                           },
                           passes};
  };
  const auto plan =
      planner_->cache().plan(cuda::key_of("lstm_training", shape, dtype, math), {}, [&] {
        using cuda::PlanOperands;
        std::vector<cuda::Candidate> all;
        all.push_back(candidate("own", true,
                                std::make_shared<const cuda::TrainingPasses>(cuda::TrainingPasses{
                                    lstm_parts_size(shape.records, shape.length, shape.units),
                                    [this, shape, dtype](const PlanOperands& o) {
                                      lstm_forward_by_kernels(shape, dtype, o);
                                    },
                                    [this, shape, dtype](const PlanOperands& o) {
                                      lstm_backward_by_kernels(shape, dtype, o);
                                    }})));
        for (auto& each : planner_->lstm(cuda::rnn_shape(shape, dtype, math))) {
          const auto layer =
              std::make_shared<cuda::LibraryLstm>(*this, device_, blocks_, shape, dtype, each);
          all.push_back(
              candidate(each->name, each->deterministic,
                        std::make_shared<const cuda::TrainingPasses>(cuda::TrainingPasses{
                            layer->saved(), [layer](const PlanOperands& o) { layer->forward(o); },
                            [layer](const PlanOperands& o) { layer->backward(o); }})));
        }
        return all;
      });
  return plan->passes;
}

std::int64_t CudaBackend::lstm_saved_size(const LstmSpec& spec, ConstView x, std::int64_t units) {
  CG_CHECK(x.dims.rank() == 3, "lstm needs x [N, L, I], got " + x.dims.to_string());
  const cuda::Lstm shape{x.dims[0], x.dims[1], x.dims[2], units, spec.reverse, spec.last_step};
  const auto passes = plan_lstm_training(shape, x.dtype);
  return passes ? passes->saved : lstm_parts_size(shape.records, shape.length, shape.units);
}

}  // namespace cardiograd
