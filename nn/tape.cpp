#include "nn/tape.h"

#include <atomic>
#include <optional>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include "nn/layer_scope.h"

namespace cardiograd {

namespace {

thread_local bool recording = true;
std::atomic<std::uint64_t> next_sequence{0};

}  // namespace

Node::Node()
    : sequence(next_sequence.fetch_add(1, std::memory_order_relaxed)),
      layer(LayerScope::current()) {}

Node::~Node() {
  // A chain of a hundred thousand operations must not become a hundred thousand stack frames: take
  // over the inputs of every node that would die with this one before it does.
  std::vector<std::shared_ptr<Node>> dying;
  const auto take = [&dying](std::vector<Tensor>& tensors) {
    for (Tensor& slot : tensors) {
      const Tensor tensor = std::move(slot);
      if (tensor.defined() && tensor.impl().use_count() == 1 && tensor.impl()->producer) {
        dying.push_back(std::move(tensor.impl()->producer));
      }
    }
  };
  take(inputs);
  while (!dying.empty()) {
    const std::shared_ptr<Node> node = std::move(dying.back());
    dying.pop_back();
    if (node.use_count() == 1) {
      node->release_saved();  // saved tensors are mostly inputs: only then are those ours alone
      take(node->inputs);
    }
  }
}

bool grad_enabled() { return recording; }

NoGradScope::NoGradScope() : previous_(recording) { recording = false; }
NoGradScope::~NoGradScope() { recording = previous_; }

bool needs_record(std::initializer_list<Tensor> inputs) {
  return needs_record(std::vector<Tensor>(inputs));
}

bool needs_record(const std::vector<Tensor>& inputs) {
  if (!recording) return false;
  for (const Tensor& input : inputs) {
    if (input.requires_grad()) return true;
  }
  return false;
}

void detail::attach(const Tensor& output, std::shared_ptr<Node> node, std::vector<Tensor> inputs) {
  node->inputs = std::move(inputs);
  output.impl()->producer = std::move(node);
  output.impl()->requires_grad = true;
}

// A gradient on its way. `shared`: somebody else may hold the same memory, so never add in place.
struct Gradients::Pending {
  Tensor value;
  bool shared = false;
};

class Gradients::Walk {
 public:
  void push(const std::shared_ptr<Node>& node, Pending pending) {
    pending_.emplace(node.get(), std::move(pending));
    ready_.push(node);
  }
  bool empty() const { return ready_.empty(); }
  std::shared_ptr<Node> pop(Pending& pending) {
    std::shared_ptr<Node> node = ready_.top();
    ready_.pop();
    const auto at = pending_.find(node.get());
    pending = std::move(at->second);
    pending_.erase(at);
    return node;
  }
  Pending* find(const Node* node) {
    const auto at = pending_.find(node);
    return at == pending_.end() ? nullptr : &at->second;
  }

 private:
  struct Older {
    bool operator()(const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) const {
      return a->sequence < b->sequence;
    }
  };
  std::priority_queue<std::shared_ptr<Node>, std::vector<std::shared_ptr<Node>>, Older> ready_;
  std::unordered_map<const Node*, Pending> pending_;
};

bool Gradients::wanted(int input) const {
  return inputs_[static_cast<std::size_t>(input)].requires_grad();
}

View Gradients::target_if_wanted(int input) {
  return wanted(input) ? target(input).view() : View{};
}

Tensor Gradients::target(int input) {
  const Tensor& operand = inputs_[static_cast<std::size_t>(input)];
  TensorImpl& impl = *operand.impl();
  if (!impl.producer) {
    if (!impl.gradient.defined()) {
      impl.gradient = Tensor::empty(operand.backend(), impl.dims, impl.dtype);
    }
    if (impl.gradient_stale) {
      impl.gradient_stale = false;
      return impl.gradient;
    }
  } else if (!walk_.find(impl.producer.get())) {
    Tensor fresh = Tensor::empty(operand.backend(), impl.dims, impl.dtype);
    walk_.push(impl.producer, {fresh, false});
    return fresh;
  }
  to_add_.emplace_back(input, Tensor::empty(operand.backend(), impl.dims, impl.dtype));
  return to_add_.back().second;
}

void Gradients::give(int input, const Tensor& gradient) {
  if (!wanted(input)) return;
  const Tensor& operand = inputs_[static_cast<std::size_t>(input)];
  TensorImpl& impl = *operand.impl();
  if (!impl.producer) {
    if (impl.gradient_stale) {
      operand.backend()->copy(gradient.view(), target(input).view());
    } else {
      operand.backend()->accumulate(gradient.view(), impl.gradient.view());
    }
    return;
  }
  if (Pending* pending = walk_.find(impl.producer.get())) {
    Tensor total =
        pending->shared ? Tensor::empty(operand.backend(), impl.dims, impl.dtype) : pending->value;
    operand.backend()->add(pending->value.view(), gradient.view(), total.view());
    *pending = {total, false};
  } else {
    walk_.push(impl.producer, {gradient, true});
  }
}

void Gradients::flush() {
  std::vector<std::pair<int, Tensor>> additions;
  additions.swap(to_add_);
  for (const auto& [input, tensor] : additions) give(input, tensor);
}

namespace {

bool is_wanted_leaf(const Tensor& tensor) {
  return tensor.requires_grad() && !tensor.impl()->producer;
}

// How often each leaf is an input of the operations under a root; counts down as they are done.
class LeafUses {
 public:
  explicit LeafUses(const Tensor& root) {
    std::unordered_set<const Node*> seen{root.impl()->producer.get()};
    std::vector<const Node*> todo(seen.begin(), seen.end());
    while (!todo.empty()) {
      const Node& node = *todo.back();
      todo.pop_back();
      for (const Tensor& input : node.inputs) {
        if (is_wanted_leaf(input)) ++uses_[input.impl().get()];
        if (!input.defined() || !input.impl()->producer) continue;
        const Node* producer = input.impl()->producer.get();
        if (seen.insert(producer).second) todo.push_back(producer);
      }
    }
  }

  void finish(const Node& node, const LeafDone& done) {
    for (const Tensor& input : node.inputs) {
      if (is_wanted_leaf(input) && --uses_[input.impl().get()] == 0) done(input);
    }
  }

 private:
  std::unordered_map<const TensorImpl*, std::int64_t> uses_;
};

}  // namespace

void run_backward(const Tensor& root, const Tensor& seed, const LeafDone& done) {
  CG_CHECK(root.requires_grad(),
           "backward() needs a tensor that depends on one which requires a gradient");
  const PassScope pass(Pass::backward);
  Tensor first = seed;
  if (!first.defined()) {
    CG_CHECK(root.numel() == 1,
             "backward() without a seed needs one element, this tensor has shape " +
                 root.dims().to_string());
    first = Tensor::full(root.backend(), root.dims(), root.dtype(), 1.0);
  }
  CG_CHECK(first.dims() == root.dims() && first.dtype() == root.dtype(),
           "the seed of backward() has shape " + first.dims().to_string() + ", the tensor " +
               root.dims().to_string());
  const NoGradScope no_grad;
  Gradients::Walk walk;
  if (!root.impl()->producer) {
    const std::vector<Tensor> self{root};
    Gradients(walk, self).give(0, first);
    if (done) done(root);
    return;
  }
  std::optional<LeafUses> uses;
  if (done) uses.emplace(root);
  walk.push(root.impl()->producer, {first, true});
  while (!walk.empty()) {
    Gradients::Pending pending;
    const std::shared_ptr<Node> node = walk.pop(pending);
    CG_CHECK(!node->released,
             "backward() came twice through " + std::string(node->name()) +
                 ": the graph is released on the first pass; run the forward pass again");
    const LayerScope layer(node->layer);
    Gradients gradients(walk, node->inputs);
    node->backward(pending.value, gradients);
    gradients.flush();
    if (uses) uses->finish(*node, done);
    node->released = true;
    node->release_saved();
    node->inputs.clear();  // activations go back to the backend as the walk passes them
  }
}

}  // namespace cardiograd
