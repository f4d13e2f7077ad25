#include "models/seed_rnn.h"

#include "nn/recurrent.h"

namespace cardiograd {

namespace {

constexpr std::int64_t units = 64;

const ModelOptions& checked(const ModelOptions& options) {
  if (options.batch_norm) {
    throw InputError(options.name + " has no BatchNorm: set model.batch_norm to false");
  }
  if (options.length < 1) {
    throw InputError(options.name + " needs at least one sample a record");
  }
  return options;
}

// Names and order of construction are the seed's: they fix the state_dict and the initial values.
class SeedRnn : public Classifier {
 protected:
  SeedRnn(const BuildContext& context, const ModelOptions& options, std::int64_t features)
      : lstm(context, checked(options).leads, units,
             {.layers = 2, .dropout = options.dropout, .last_step = true}),
        fc1(context, units, features),
        fc2(context, features, options.classes),
        dropout(options.dropout) {
    register_module("lstm", lstm);
    register_module("fc1", fc1);
    register_module("fc2", fc2);
    register_module("dropout", dropout);
  }

  Lstm lstm;
  Linear fc1, fc2;
  Dropout dropout;
};

class Rnn final : public SeedRnn {
 public:
  Rnn(const BuildContext& context, const ModelOptions& options)
      : SeedRnn(context, options, units) {}
  Tensor forward(const ModelInputs& inputs) override {
    return fc2(dropout(relu(fc1(lstm(inputs.signal)))));
  }
};

class Mmrnn final : public SeedRnn {
 public:
  Mmrnn(const BuildContext& context, const ModelOptions& options)
      : SeedRnn(context, options, options.note_size),
        note_size(options.note_size),
        lnorm_out(context, options.note_size),
        lnorm_embed(context, options.note_size) {
    register_module("lnorm_out", lnorm_out);
    register_module("lnorm_embed", lnorm_embed);
  }
  Tensor forward(const ModelInputs& inputs) override {
    return fc2(dropout(add(signal_features(inputs), note_features(inputs))));
  }

 private:
  // [N, note_size] each, zeros where the input is absent.
  Tensor signal_features(const ModelInputs& inputs) const {
    if (!inputs.signal.defined()) return inputs.absent(note_size);
    return lnorm_out(fc1(lstm(inputs.signal)));
  }
  Tensor note_features(const ModelInputs& inputs) const {
    return inputs.notes.defined() ? lnorm_embed(inputs.notes) : inputs.absent(note_size);
  }

  std::int64_t note_size;
  LayerNorm lnorm_out, lnorm_embed;
};

}  // namespace

std::unique_ptr<Classifier> make_rnn(const BuildContext& context, const ModelOptions& options) {
  return std::make_unique<Rnn>(context, options);
}

std::unique_ptr<Classifier> make_mmrnn(const BuildContext& context, const ModelOptions& options) {
  return std::make_unique<Mmrnn>(context, options);
}

}  // namespace cardiograd
