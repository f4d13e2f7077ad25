// A batch out of the packed data set: no kernels yet.
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {

void CudaBackend::gather_records(const GatherSpec&, ConstView, ConstView, ConstView, ConstView,
                                 ConstView, View) {
  cuda::no_kernel("gather_records");
}

}  // namespace cardiograd
