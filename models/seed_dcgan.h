// The seed's attempt to generate signals of a rare class: a generator and a critic that learn
// against each other (Goodfellow et al., "Generative adversarial nets", NeurIPS 2014), built of
// convolutions as Radford et al. did ("Unsupervised representation learning with deep convolutional
// generative adversarial networks", ICLR 2016), with an LSTM in front that gives the noise a
// rhythm.
#pragma once

#include <cstdint>

#include "nn/layers.h"
#include "nn/recurrent.h"

namespace cardiograd {

struct DcganOptions {
  std::int64_t leads = 12;
  std::int64_t length = 1000;  // samples
  std::int64_t latent = 64;    // noise values a coarse time step
};

// Noise [N, steps, latent] -> LSTM of 64 -> three times nearest upsampling by 2, convolution (k 9),
// BatchNorm, ReLU -> convolution (k 9) to the leads -> [N, length, leads], without bound: signals
// are standardised or in mV.
class EcgGenerator : public Module {
 public:
  EcgGenerator(const BuildContext& context, const DcganOptions& options);
  Tensor operator()(const Tensor& noise) const;
  Dims noise_dims(std::int64_t batch) const;

 private:
  DcganOptions options_;
  Lstm lstm_;
  Conv1d conv1_, conv2_, conv3_, conv4_;
  BatchNorm1d bn1_, bn2_, bn3_;
};

// [N, length, leads] -> three convolutions (k 9, stride 2) with leaky ReLU 0.2, BatchNorm behind
// all but the first -> one logit a record [N, 1]: high where the signal seems real.
class EcgCritic : public Module {
 public:
  // Throws InputError where the signal is too short for the three strides.
  EcgCritic(const BuildContext& context, const DcganOptions& options);
  Tensor operator()(const Tensor& signal) const;

 private:
  Conv1d conv1_, conv2_, conv3_;
  BatchNorm1d bn2_, bn3_;
  Linear fc_;
};

}  // namespace cardiograd
