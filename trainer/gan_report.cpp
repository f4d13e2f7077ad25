#include "trainer/gan_report.h"

#include "nn/safetensors.h"

namespace cardiograd {

void write_generated(const std::filesystem::path& folder, const RunConfig& config,
                     const PackedDataset& dataset, const Tensor& signal) {
  const std::vector<float> values = signal.to_vector<float>();
  write_safetensors(folder / "generated.safetensors",
                    {{"signal", {values.data(), DType::f32, signal.dims()}}},
                    {{"format", "pt"},
                     {"rate", std::to_string(dataset.rate())},
                     {"class", config.gan.class_name}});
}

std::string draw_gan_pictures(const std::filesystem::path&, const RunConfig&, const PackedDataset&,
                              const Tensor&, const GanCurves&) {
  return "";
}

}  // namespace cardiograd
