// cudnn.h and cudnn_rnn.h in a build without cuDNN's headers, and on the emulator: our own kernels
// do it all.
#include "kernels/cuda/cudnn.h"
#include "kernels/cuda/cudnn_rnn.h"

namespace cardiograd::cuda {

std::unique_ptr<Cudnn> make_cudnn(Stream) { return nullptr; }

std::unique_ptr<CudnnRnn> make_cudnn_rnn(Stream) { return nullptr; }

std::string cudnn_version(std::string& why) {
  why = "this build has no cuDNN";
  return "";
}

}  // namespace cardiograd::cuda
