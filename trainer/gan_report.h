// What a GAN run leaves for readers: generated signals and pictures.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/packed.h"
#include "nn/tensor.h"
#include "trainer/config.h"

namespace cardiograd {

// One value a step.
struct GanCurves {
  std::vector<double> critic;
  std::vector<double> generator;
};

// generated.safetensors: signal f32 [samples, length, 12] in mV; metadata rate (Hz), class, leads.
void write_generated(const std::filesystem::path& folder, const RunConfig& config,
                     const PackedDataset& dataset, const Tensor& signal);

// training.png (both losses) and generated.png (the first generated record on ECG paper). Returns
// "" or why there are none: a run does not fail for its pictures.
std::string draw_gan_pictures(const std::filesystem::path& folder, const RunConfig& config,
                              const PackedDataset& dataset, const Tensor& signal,
                              const GanCurves& curves);

}  // namespace cardiograd
