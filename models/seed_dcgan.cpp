#include "models/seed_dcgan.h"

namespace cardiograd {

namespace {

constexpr std::int64_t kernel = 9;
constexpr std::int64_t upsampling = 8;  // of the whole generator
constexpr double leak = 0.2;
const Conv1dSpec same{1, kernel / 2};
const Conv1dSpec halving{2, kernel / 2};

std::int64_t coarse_steps(std::int64_t length) { return (length + upsampling - 1) / upsampling; }

std::int64_t critic_length(std::int64_t length) {
  for (int stage = 0; stage < 3; ++stage) length = halving.output_length(length, kernel);
  if (length < 1) throw InputError("the critic of dcgan needs at least 1 sample a record");
  return length;
}

}  // namespace

EcgGenerator::EcgGenerator(const BuildContext& context, const DcganOptions& options)
    : options_(options),
      lstm_(context, options.latent, 64),
      conv1_(context, 64, 64, kernel, same),
      conv2_(context, 64, 32, kernel, same),
      conv3_(context, 32, 16, kernel, same),
      conv4_(context, 16, options.leads, kernel, same),
      bn1_(context, 64),
      bn2_(context, 32),
      bn3_(context, 16) {
  register_module("lstm", lstm_);
  register_module("conv1", conv1_);
  register_module("conv2", conv2_);
  register_module("conv3", conv3_);
  register_module("conv4", conv4_);
  register_module("bn1", bn1_);
  register_module("bn2", bn2_);
  register_module("bn3", bn3_);
}

Dims EcgGenerator::noise_dims(std::int64_t batch) const {
  return {batch, coarse_steps(options_.length), options_.latent};
}

Tensor EcgGenerator::operator()(const Tensor& noise) const {
  Tensor x = lstm_(noise);
  x = bn1_.relu(conv1_(upsample_nearest(x, 2)));
  x = bn2_.relu(conv2_(upsample_nearest(x, 2)));
  x = bn3_.relu(conv3_(upsample_nearest(x, 2)));
  return slice(conv4_(x), 1, 0, options_.length);
}

EcgCritic::EcgCritic(const BuildContext& context, const DcganOptions& options)
    : conv1_(context, options.leads, 32, kernel, halving),
      conv2_(context, 32, 64, kernel, halving),
      conv3_(context, 64, 128, kernel, halving),
      bn2_(context, 64),
      bn3_(context, 128),
      fc_(context, Linear::after_flatten, critic_length(options.length), 128, 1) {
  register_module("conv1", conv1_);
  register_module("conv2", conv2_);
  register_module("conv3", conv3_);
  register_module("bn2", bn2_);
  register_module("bn3", bn3_);
  register_module("fc", fc_);
}

Tensor EcgCritic::operator()(const Tensor& signal) const {
  Tensor x = leaky_relu(conv1_(signal), leak);
  x = leaky_relu(bn2_(conv2_(x)), leak);
  x = leaky_relu(bn3_(conv3_(x)), leak);
  return fc_(flatten(x));
}

}  // namespace cardiograd
