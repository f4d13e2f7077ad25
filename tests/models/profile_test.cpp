// A profile names every layer of every model.
#include "nn/profile.h"

#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "models/registry.h"
#include "models/seed_dcgan.h"
#include "nn/ops.h"
#include "nn/random.h"

namespace cardiograd {
namespace {

// "encoder.layers.0.norm1.weight" lies in the layer "encoder.layers.0.norm1".
std::set<std::string> layers_with_parameters(const Module& module) {
  std::set<std::string> layers;
  for (const NamedTensor& parameter : module.parameters()) {
    layers.insert(parameter.name.substr(0, parameter.name.rfind('.')));
  }
  return layers;
}

// The layers that a step of `loss` asks anything of, by pass.
std::map<Pass, std::set<std::string>> layers_of_step(Profile& profile,
                                                     const std::function<Tensor()>& loss) {
  for (int i = 0; i <= Profile::first_steps; ++i) {
    profile.begin_step();
    const RandomScope random(0, 1);
    Tensor made;
    {
      const PassScope pass(Pass::forward);
      made = loss();
    }
    made.backward();
    profile.end_step();
  }
  std::map<Pass, std::set<std::string>> layers;
  for (const ProfileRow& row : profile.report().rows) layers[row.pass].insert(row.layer);
  return layers;
}

void expect_layers(const std::map<Pass, std::set<std::string>>& found, const Module& module,
                   const std::string& model) {
  for (const std::string& layer : layers_with_parameters(module)) {
    for (const Pass pass : {Pass::forward, Pass::backward}) {
      EXPECT_TRUE(found.at(pass).count(layer)) << model << " " << layer << " " << name_of(pass);
    }
  }
}

TEST(Profile, NamesTheLayersOfEveryModel) {
  for (const ModelEntry& entry : model_registry()) {
    const auto [profile, backend] = profiled(make_backend("cpu"));
    TorchGenerator random(0);
    ModelOptions options;
    options.name = entry.name;
    options.length = 36;
    options.layers = 1;
    options.dropout = 0.1;
    options.batch_norm = entry.name.find("cnn") != std::string::npos;
    const auto model = entry.make({backend, DType::f32, &random}, options);
    ModelInputs inputs;
    if (entry.reads_signal) inputs.signal = Tensor::full(backend, {2, 36, 12}, DType::f32, 0.1);
    if (entry.reads_notes) inputs.notes = Tensor::full(backend, {2, 768}, DType::f32, 0.1);
    const auto found = layers_of_step(*profile, [&] { return mean(model->forward(inputs)); });
    std::map<Pass, std::set<std::string>> used = found;
    // The seed's mmcnn_cat has a LayerNorm that it does not use.
    if (entry.name == "mmcnn_cat") {
      for (auto& [pass, layers] : used) layers.insert("norm");
    }
    expect_layers(used, *model, entry.name);
  }
}

TEST(Profile, NamesTheLayersOfDcgan) {
  const auto [profile, backend] = profiled(make_backend("cpu"));
  TorchGenerator random(0);
  DcganOptions options;
  options.length = 32;
  const EcgGenerator generator({backend, DType::f32, &random}, options);
  const EcgCritic critic({backend, DType::f32, &random}, options);
  const Tensor noise = Tensor::full(backend, generator.noise_dims(2), DType::f32, 0.1);
  const auto found = layers_of_step(*profile, [&] { return mean(critic(generator(noise))); });
  expect_layers(found, generator, "generator");
  expect_layers(found, critic, "critic");
}

}  // namespace
}  // namespace cardiograd
