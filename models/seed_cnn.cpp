#include "models/seed_cnn.h"

#include <deque>
#include <optional>
#include <vector>

#include "nn/attention.h"

namespace cardiograd {

namespace {

constexpr std::int64_t pool = 2;
constexpr std::int64_t hidden = 128;  // features of a record, and of its note

std::int64_t pooled_length(std::int64_t length) {
  for (std::int64_t kernel : {7, 5, 3}) {
    length = Pool1dSpec{pool, pool, 0}.output_length(Conv1dSpec{}.output_length(length, kernel));
  }
  if (length == 0) {
    throw InputError("the seed's CNN needs at least 30 samples a record");
  }
  return length;
}

// Names and order of construction are the seed's: they fix the state_dict and the initial values.
class SeedCnn : public Classifier {
 protected:
  // note_norms: the names of the LayerNorms that come with the notes; empty: no notes.
  SeedCnn(const BuildContext& context, const ModelOptions& options, std::int64_t fused_size,
          const std::vector<const char*>& note_norms)
      : conv1(context, options.leads, 16, 7),
        conv2(context, 16, 32, 5),
        conv3(context, 32, 48, 3),
        fc0(context, Linear::after_flatten, pooled_length(options.length), 48, 512),
        fc1(context, 512, hidden),
        fc2(context, fused_size, options.classes),
        dropout(options.dropout) {
    register_module("conv1", conv1);
    register_module("conv2", conv2);
    register_module("conv3", conv3);
    register_module("fc0", fc0);
    register_module("fc1", fc1);
    register_module("fc2", fc2);
    register_module("dropout", dropout);
    if (!note_norms.empty()) {
      register_module("fc_emb", fc_emb.emplace(context, options.note_size, hidden));
    }
    for (const char* name : note_norms) register_module(name, norms.emplace_back(context, hidden));
    if (options.batch_norm) {
      register_module("bn1", bn1.emplace(context, 16));
      register_module("bn2", bn2.emplace(context, 32));
      register_module("bn3", bn3.emplace(context, 48));
    }
  }

  // [N, hidden] of the signal, zeros where there is none.
  Tensor signal_features(const ModelInputs& inputs) const {
    if (!inputs.signal.defined()) return inputs.absent(hidden);
    Tensor x = stage(inputs.signal, conv1, bn1);
    x = stage(x, conv2, bn2);
    x = stage(x, conv3, bn3);
    x = dropout(relu(fc0(flatten(x))));
    return dropout(relu(fc1(x)));
  }

  // [N, hidden] of the notes, likewise.
  Tensor note_features(const ModelInputs& inputs) const {
    return inputs.notes.defined() ? relu((*fc_emb)(inputs.notes)) : inputs.absent(hidden);
  }

  Conv1d conv1, conv2, conv3;
  Linear fc0, fc1, fc2;
  Dropout dropout;
  std::optional<Linear> fc_emb;
  std::deque<LayerNorm> norms;  // registered by address
  std::optional<BatchNorm1d> bn1, bn2, bn3;

 private:
  static Tensor stage(const Tensor& x, const Conv1d& conv, const std::optional<BatchNorm1d>& bn) {
    if (!bn) return conv.relu_maxpool(x, pool);
    return max_pool1d(bn->relu(conv(x)), {pool, pool, 0});
  }
};

class Cnn final : public SeedCnn {
 public:
  Cnn(const BuildContext& context, const ModelOptions& options)
      : SeedCnn(context, options, hidden, {}) {}
  Tensor forward(const ModelInputs& inputs) override { return fc2(signal_features(inputs)); }
};

class MmcnnSum final : public SeedCnn {
 public:
  MmcnnSum(const BuildContext& context, const ModelOptions& options)
      : SeedCnn(context, options, hidden, {"norm"}) {}
  Tensor forward(const ModelInputs& inputs) override {
    return fc2(norms[0](add(signal_features(inputs), note_features(inputs))));
  }
};

class MmcnnCat final : public SeedCnn {
 public:
  MmcnnCat(const BuildContext& context, const ModelOptions& options)
      : SeedCnn(context, options, 2 * hidden, {"norm"}) {}
  Tensor forward(const ModelInputs& inputs) override {
    return fc2(concatenate({signal_features(inputs), note_features(inputs)}, 1));
  }
};

constexpr std::int64_t attention_heads = 8;

// [N, features] as a sequence of one token, and back.
Tensor one_token(const Tensor& x) { return reshape(x, {x.size(0), 1, hidden}); }
Tensor features(const Tensor& x) { return reshape(x, {x.size(0), hidden}); }

// The notes query the signal. The signal is one token, as in the seed, so the softmax over it is 1
// and what comes out is the projected signal whatever the query: the notes cannot change a logit,
// which is why the seed's figure for this model is that of its CNN.
class MmcnnAtt final : public SeedCnn {
 public:
  MmcnnAtt(const BuildContext& context, const ModelOptions& options)
      : SeedCnn(context, options, hidden, {"norm1", "norm2"}),
        attention(context, hidden, attention_heads) {
    register_module("attention", attention);
  }
  Tensor forward(const ModelInputs& inputs) override {
    const Tensor memory = one_token(norms[0](signal_features(inputs)));
    const Tensor query = one_token(norms[1](note_features(inputs)));
    return fc2(features(attention(query, memory, memory)));
  }

 private:
  MultiheadAttention attention;
};

class MmcnnSumAtt final : public SeedCnn {
 public:
  MmcnnSumAtt(const BuildContext& context, const ModelOptions& options)
      : SeedCnn(context, options, hidden, {"norm"}), attention(context, hidden, attention_heads) {
    register_module("attention", attention);
  }
  Tensor forward(const ModelInputs& inputs) override {
    const Tensor both = add(signal_features(inputs), note_features(inputs));
    const Tensor token = one_token(norms[0](both));
    return fc2(features(attention(token, token, token)));
  }

 private:
  MultiheadAttention attention;
};

}  // namespace

std::unique_ptr<Classifier> make_cnn(const BuildContext& context, const ModelOptions& options) {
  return std::make_unique<Cnn>(context, options);
}

std::unique_ptr<Classifier> make_mmcnn_sum(const BuildContext& context,
                                           const ModelOptions& options) {
  return std::make_unique<MmcnnSum>(context, options);
}

std::unique_ptr<Classifier> make_mmcnn_cat(const BuildContext& context,
                                           const ModelOptions& options) {
  return std::make_unique<MmcnnCat>(context, options);
}

std::unique_ptr<Classifier> make_mmcnn_att(const BuildContext& context,
                                           const ModelOptions& options) {
  return std::make_unique<MmcnnAtt>(context, options);
}

std::unique_ptr<Classifier> make_mmcnn_sum_att(const BuildContext& context,
                                               const ModelOptions& options) {
  return std::make_unique<MmcnnSumAtt>(context, options);
}

}  // namespace cardiograd
