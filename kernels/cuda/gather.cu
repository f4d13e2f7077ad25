// A batch out of the packed data set, augmented: no kernels yet.
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {

void CudaBackend::gather_records(const GatherSpec&, const GatherOperands&, View) {
  cuda::no_kernel("gather_records");
}

}  // namespace cardiograd
