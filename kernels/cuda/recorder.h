// Recorder of CudaBackend: stream capture into a CUDA graph, whose memory is an arena.
#pragma once

#include <memory>

#include "kernels/recording.h"

namespace cardiograd {

class CudaBackend;

std::unique_ptr<Recorder> make_cuda_recorder(std::shared_ptr<CudaBackend> backend);

}  // namespace cardiograd
