#include "nn/weights_file.h"

#include <gtest/gtest.h>

#include "tests/support/temp_folder.h"
#include "tests/support/torch_archive.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::TempFolder;
using testing::torch_state;
using Tensors = std::vector<std::pair<std::string, std::vector<float>>>;

Tensors contents(const std::filesystem::path& path) {
  Tensors result;
  for (const StateEntry& entry : read_weights(path, make_backend("cpu"))) {
    result.emplace_back(entry.name, entry.value.to_vector<float>());
  }
  return result;
}

const Tensors two{{"a.weight", {1, 2, 3}}, {"b.bias", {4}}};

TEST(WeightsFile, AStateDictIsFoundWhereItUsuallyLies) {
  const TempFolder folder;
  for (const std::string key : {"", "model_state_dict", "state_dict", "model"}) {
    EXPECT_EQ(contents(folder.write("a.pt", torch_state(key, two))), two) << key;
  }
  const std::string path = folder.write("b.pt", torch_state("network", two)).string();
  EXPECT_EQ(error_of([&] { contents(path); }),
            path +
                " holds no weights: no dict of tensors, neither its own nor under "
                "\"model_state_dict\", \"state_dict\" or \"model\"");
}

TEST(WeightsFile, ThePrefixOfDataParallelIsTakenOffWhereAllHaveIt) {
  const TempFolder folder;
  const Tensors parallel{{"module.a.weight", {1, 2, 3}}, {"module.b.bias", {4}}};
  EXPECT_EQ(contents(folder.write("a.pt", torch_state("state_dict", parallel))), two);
  const Tensors mixed{{"module.a", {1}}, {"b", {2}}};
  EXPECT_EQ(contents(folder.write("b.pt", torch_state("", mixed))), mixed);
}

TEST(WeightsFile, SafetensorsAndFoldersAreToldByContent) {
  const TempFolder folder;
  const auto backend = make_backend("cpu");
  StateDict state;
  for (const auto& [name, values] : two) {
    state.push_back(
        {name, Tensor::from_host<float>(backend, {static_cast<std::int64_t>(values.size())},
                                        DType::f32, values)});
  }
  std::filesystem::create_directories(folder / "run/best");
  save_state(folder / "run/best/model.safetensors", state);
  for (const char* name : {"run", "run/best", "run/best/model.safetensors"}) {
    EXPECT_EQ(contents(folder / name), two) << name;
  }
  const std::string none = (folder / "none.pt").string();
  EXPECT_EQ(
      error_of([&] { contents(none); }),
      none + " does not exist; a .pt or .safetensors file or a checkpoint's folder is wanted");
  std::filesystem::create_directories(folder / "empty");
  const std::string empty = (folder / "empty").string();
  EXPECT_EQ(
      error_of([&] { contents(empty); }),
      empty + " has no model.safetensors: it is the folder of neither a checkpoint nor a run");
}

}  // namespace
}  // namespace cardiograd
