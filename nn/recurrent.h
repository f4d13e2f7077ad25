// Recurrent layers with PyTorch's initial values and state_dict names.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/layers.h"

namespace cardiograd {

struct LstmOptions {
  std::int64_t layers = 1;
  bool bidirectional = false;  // the output's channels: forward's, then reverse's
  double dropout = 0.0;        // on the output of each layer but the last, in training
  // The last layer's state after each direction's last step (PyTorch's h_n), not the sequence.
  bool last_step = false;
};

// nn.LSTM(inputs, units, layers, batch_first=True): [N, L, inputs] -> [N, L, D units], or
// [N, D units] for last_step, with D = 2 for bidirectional, else 1. The initial state is zero.
class Lstm : public Module {
 public:
  // Throws InputError for a size below 1 or a dropout outside [0, 1].
  Lstm(const BuildContext& context, std::int64_t inputs, std::int64_t units,
       const LstmOptions& options = {});
  Tensor operator()(const Tensor& x) const;

 private:
  struct Direction {
    Tensor weight_ih, weight_hh, bias_ih, bias_hh;  // [4H, I], [4H, H], [4H], [4H]
  };
  Direction make_direction(const BuildContext& context, std::int64_t inputs, std::int64_t units,
                           const std::string& suffix);

  bool last_step_;
  Dropout dropout_;
  std::vector<std::vector<Direction>> layers_;
};

}  // namespace cardiograd
