#include "models/seed_transformer.h"

#include "nn/transformer.h"

namespace cardiograd {

namespace {

constexpr std::int64_t note_tokens = 8;

void check(const ModelOptions& options) {
  const auto need = [](bool holds, const std::string& sentence) {
    if (!holds) throw InputError(sentence);
  };
  need(!options.batch_norm, options.name + " has no BatchNorm: set model.batch_norm to false");
  const std::string width = std::to_string(options.width);
  need(options.width > 0 && options.heads > 0 && options.width % options.heads == 0,
       "the transformer's model.width " + width + " is not a multiple of model.heads " +
           std::to_string(options.heads));
  need(options.width % options.leads == 0, "the transformer's model.width " + width +
                                               " is not a multiple of the " +
                                               std::to_string(options.leads) + " leads");
  need(options.layers > 0 && options.feedforward >= 0 && options.levels > 0,
       "the transformer needs at least one layer and one level");
  need(options.amplitude > 0.0, "the transformer's model.amplitude must be greater than 0");
  need(options.token_stride > 0 && options.length >= options.token_stride,
       "the transformer makes a token of " + std::to_string(options.token_stride) +
           " samples (model.token_stride), but a record has " + std::to_string(options.length));
}

TransformerOptions stack_options(const ModelOptions& options) {
  check(options);
  const std::int64_t feedforward = options.feedforward ? options.feedforward : 4 * options.width;
  return {options.width, options.heads, feedforward, options.dropout};
}

class SeedTransformer final : public Classifier {
 public:
  SeedTransformer(const BuildContext& context, const ModelOptions& options)
      : SeedTransformer(context, options, stack_options(options)) {}

  Tensor forward(const ModelInputs& inputs) override {
    const Tensor decoded = decoder_(note_sequence(inputs), memory(inputs));
    const Tensor x = relu(conv2_(relu(conv1_(decoded))));
    return fc_(mean(x, {1}));
  }

 private:
  SeedTransformer(const BuildContext& context, const ModelOptions& options,
                  const TransformerOptions& stack)
      : pooling_{options.token_stride, options.token_stride, 0},
        levels_{-options.amplitude, options.amplitude, options.levels, options.levels},
        positions_(
            sinusoidal_positions(context, pooling_.output_length(options.length), options.width)),
        embedding_(context, options.leads * options.levels, options.width / options.leads),
        encoder_(context, options.layers, stack),
        fc_emb_(context, options.note_size, note_tokens * options.width),
        decoder_(context, options.layers, stack),
        conv1_(context, options.width, 64, 3, {.padding = 1}),
        conv2_(context, 64, 32, 3, {.padding = 1}),
        fc_(context, 32, options.classes) {
    register_module("embedding", embedding_);
    register_module("encoder", encoder_);
    register_module("fc_emb", fc_emb_);
    register_module("decoder", decoder_);
    register_module("conv1", conv1_);
    register_module("conv2", conv2_);
    register_module("fc", fc_);
  }

  // [N, tokens, width]: what the encoder makes of the signal, the positions alone without one.
  Tensor memory(const ModelInputs& inputs) const {
    const std::int64_t tokens = positions_.size(0);
    const std::int64_t width = positions_.size(1);
    if (!inputs.signal.defined()) {
      return add(reshape(inputs.absent(tokens * width), {-1, tokens, width}), positions_);
    }
    const Tensor levels = quantize(avg_pool1d(inputs.signal, pooling_), levels_);
    const Tensor embedded = reshape(embedding_(levels), {inputs.batch(), tokens, width});
    return encoder_(add(embedded, positions_));
  }

  // [N, 8, width]: the projected notes; their bias alone where there are none.
  Tensor note_sequence(const ModelInputs& inputs) const {
    const Tensor projected = inputs.notes.defined()
                                 ? fc_emb_(inputs.notes)
                                 : add(inputs.absent(fc_emb_.bias.size(0)), fc_emb_.bias);
    return reshape(projected, {inputs.batch(), note_tokens, positions_.size(1)});
  }

  Pool1dSpec pooling_;
  QuantizeSpec levels_;
  Tensor positions_;
  Embedding embedding_;
  TransformerEncoder encoder_;
  Linear fc_emb_;
  TransformerDecoder decoder_;
  Conv1d conv1_, conv2_;
  Linear fc_;
};

}  // namespace

std::unique_ptr<Classifier> make_transformer(const BuildContext& context,
                                             const ModelOptions& options) {
  return std::make_unique<SeedTransformer>(context, options);
}

}  // namespace cardiograd
