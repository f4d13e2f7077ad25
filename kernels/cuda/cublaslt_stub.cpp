// cublaslt.h in a build without cuBLASLt's headers, and on the emulator: our own kernels do it all.
#include "kernels/cuda/cublaslt.h"

namespace cardiograd::cuda {

std::unique_ptr<CublasLt> make_cublaslt(Stream) { return nullptr; }

std::string cublaslt_version(std::string& why) {
  why = "this build has no cuBLASLt";
  return "";
}

}  // namespace cardiograd::cuda
