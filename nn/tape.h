// Define-by-run reverse-mode differentiation.
//
// An operation is a small struct: a name, the tensors that its backward needs, and `backward`.
// Calling record() attaches it to the operation's output. An operation that has no gradient says so
// with `static constexpr bool no_backward = true`; one that says neither does not compile.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string_view>
#include <vector>

#include "nn/tensor.h"

namespace cardiograd {

// Told of a leaf when nothing more will be added to its gradient in this pass: the operations that
// write it are done, or ahead in the backend's queue.
using LeafDone = std::function<void(const Tensor& leaf)>;

// Where a node's gradients go: one entry an input, in the order given to record().
class Gradients {
 public:
  // Whether anybody needs the gradient of this input: skip the work if not.
  bool wanted(int input) const;
  // A tensor of the input's shape to write the gradient into, whole. For a parameter this is, the
  // first time, the flat gradient buffer itself.
  Tensor target(int input);
  // target(), as a view: absent when the gradient is not wanted.
  View target_if_wanted(int input);
  // Hands over a tensor that is already the gradient, without a copy (reshape, add).
  void give(int input, const Tensor& gradient);

 private:
  friend void run_backward(const Tensor& root, const Tensor& seed, const LeafDone& done);
  struct Pending;
  class Walk;
  Gradients(Walk& walk, const std::vector<Tensor>& inputs) : walk_(walk), inputs_(inputs) {}
  void flush();

  Walk& walk_;
  const std::vector<Tensor>& inputs_;
  std::vector<std::pair<int, Tensor>> to_add_;  // second contributions, added after backward
};

// A recorded operation. Made by record() only.
struct Node {
  Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  virtual ~Node();  // releases a chain of any length without recursion
  virtual std::string_view name() const = 0;
  virtual void backward(const Tensor& dy, Gradients& gradients) = 0;
  virtual void release_saved() = 0;

  std::uint64_t sequence;  // grows with every operation: descending order is a topological order
  const char* layer;       // LayerScope::current() of the forward pass
  std::vector<Tensor> inputs;
  bool released = false;
};

template <class Op>
concept Differentiable = requires(Op op, const Tensor& dy, Gradients& gradients) {
  { Op::name } -> std::convertible_to<std::string_view>;
  { op.backward(dy, gradients) } -> std::same_as<void>;
};
template <class Op>
concept DeclaredConstant = requires {
  requires Op::no_backward;
};

template <class Op>
struct OperationNode final : Node {
  explicit OperationNode(Op saved) : op(std::move(saved)) {}
  std::string_view name() const override { return Op::name; }
  void backward(const Tensor& dy, Gradients& gradients) override { op.backward(dy, gradients); }
  void release_saved() override { op = Op{}; }
  Op op;
};

// False inside a NoGradScope: nothing is recorded (evaluation, optimizer).
bool grad_enabled();

class NoGradScope {
 public:
  NoGradScope();
  NoGradScope(const NoGradScope&) = delete;
  NoGradScope& operator=(const NoGradScope&) = delete;
  ~NoGradScope();

 private:
  bool previous_;
};

// Whether an operation on these inputs is to be recorded.
bool needs_record(std::initializer_list<Tensor> inputs);
bool needs_record(const std::vector<Tensor>& inputs);

namespace detail {
void attach(const Tensor& output, std::shared_ptr<Node> node, std::vector<Tensor> inputs);
}

// Attaches `op` to `output` if any input needs a gradient. Undefined inputs (an absent bias) keep
// their place and are never wanted.
template <class Op>
void record(const Tensor& output, std::vector<Tensor> inputs, Op op) {
  static_assert(Differentiable<Op> || DeclaredConstant<Op>,
                "this operation has no backward: write one, or declare no_backward = true");
  if constexpr (Differentiable<Op>) {
    if (needs_record(inputs)) {
      detail::attach(output, std::make_shared<OperationNode<Op>>(std::move(op)), std::move(inputs));
    }
  }
}

// Tensor::backward. Throws ShapeError when the seed does not fit, or the graph was released before.
// `done` may be empty. It hears of each leaf that the walk completes, once, as soon as the last of
// the leaf's uses under root is behind; not of leaves that the walk did not reach, or of which it
// left out a use.
void run_backward(const Tensor& root, const Tensor& seed, const LeafDone& done = {});

}  // namespace cardiograd
