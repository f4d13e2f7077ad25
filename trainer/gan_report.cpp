#include "trainer/gan_report.h"

#include <numeric>

#include "nn/ops.h"
#include "nn/safetensors.h"
#include "trainer/ecg_plot.h"
#include "trainer/gnuplot.h"
#include "trainer/plot_parts.h"

namespace cardiograd {

namespace {

void plot_losses(const std::filesystem::path& path, const GanCurves& curves) {
  std::vector<double> steps(curves.critic.size());
  std::iota(steps.begin(), steps.end(), 1.0);
  draw_with_gnuplot(path, {},
                    std::string(plot_look) +
                        data_block("losses", {&steps, &curves.critic, &curves.generator}) +
                        "set title 'dcgan: binary cross-entropy of critic and generator'\n"
                        "set xlabel 'step'\nset ylabel 'loss'\nset yrange [0:*]\n"
                        "plot $losses using 1:2 with lines lw 1.5 lc rgb '" +
                        plot_blue +
                        "' title 'critic (real and made)', "
                        "$losses using 1:3 with lines lw 1.5 lc rgb '" +
                        plot_vermilion + "' title 'generator'\n");
}

}  // namespace

void write_generated(const std::filesystem::path& folder, const RunConfig& config,
                     const PackedDataset& dataset, const Tensor& signal) {
  const std::vector<float> values = signal.to_vector<float>();
  write_safetensors(folder / "generated.safetensors",
                    {{"signal", {values.data(), DType::f32, signal.dims()}}},
                    {{"format", "pt"},
                     {"rate", std::to_string(dataset.rate())},
                     {"class", config.gan.class_name}});
}

std::string draw_gan_pictures(const std::filesystem::path& folder, const RunConfig& config,
                              const PackedDataset& dataset, const Tensor& signal,
                              const GanCurves& curves) {
  const std::vector<float> first = slice(signal, 0, 0, 1).to_vector<float>();
  try {
    plot_losses(folder / "training.png", curves);
    plot_ecg(folder / "generated.png",
             {first, static_cast<double>(dataset.rate()), "generated " + config.gan.class_name,
              "made by dcgan after " + std::to_string(config.train.epochs) + " epochs"},
             EcgLayout::three_by_four);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace cardiograd
