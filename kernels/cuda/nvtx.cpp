// kernels/range.h by NVTX, which is headers alone: whoever watches brings the library.
#include <nvtx3/nvToolsExt.h>

#include "kernels/range.h"

namespace cardiograd {

Range::Range(const char* name) : open_(*name != '\0') {
  if (open_) nvtxRangePushA(name);
}

Range::~Range() {
  if (open_) nvtxRangePop();
}

}  // namespace cardiograd
