#include "models/registry.h"

#include "kernels/text.h"
#include "models/seed_cnn.h"
#include "models/seed_rnn.h"
#include "models/seed_transformer.h"

namespace cardiograd {

const std::vector<ModelEntry>& model_registry() {
  static const std::vector<ModelEntry> entries{
      {"cnn", "the seed's CNN of the signal", true, false, make_cnn},
      {"mmcnn_sum", "signal and notes, sum and LayerNorm", true, true, make_mmcnn_sum},
      {"mmcnn_cat", "signal and notes, concatenated", true, true, make_mmcnn_cat},
      {"rnn", "the seed's LSTM of the signal", true, false, make_rnn},
      {"mmrnn", "LSTM of the signal and notes, LayerNorm and sum", true, true, make_mmrnn},
      {"mmcnn_att", "attention of the notes to the signal", true, true, make_mmcnn_att},
      {"mmcnn_sum_att", "signal and notes, sum and self-attention", true, true, make_mmcnn_sum_att},
      {"transformer", "encoder of the signal, decoder of the notes", true, true, make_transformer},
  };
  return entries;
}

const ModelEntry& find_model(const std::string& name) {
  std::vector<std::string> names;
  for (const ModelEntry& entry : model_registry()) {
    if (entry.name == name) return entry;
    names.push_back(entry.name);
  }
  throw InputError("model " + quote(name) + " is unknown" + suggestion(name, names));
}

}  // namespace cardiograd
