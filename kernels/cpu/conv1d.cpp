// conv1d: our own kernels where they apply, oneDNN for groups (but depthwise) and for the data
// gradient of strided convolutions.
#include "kernels/cpu/checks.h"
#include "kernels/cpu/conv1d_direct.h"
#include "kernels/cpu/conv1d_shape.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/onednn.h"

namespace cardiograd {

void CpuBackend::conv1d_forward(const Conv1dSpec& spec, ConstView x, ConstView weight,
                                ConstView bias, View y) {
  require_f32("conv1d", {x, weight, bias, y});
  const Conv1dShape shape = conv1d_shape(spec, x.dims, weight.dims, y.dims);
  check_bias(shape, bias);
  if (y.numel() == 0) return;
  if (shape.inputs == 0) {
    fill(y, 0.0);
    if (bias.present()) add(bias, y, y);
    return;
  }
  if (direct_forward_fits(shape)) {
    direct_forward(*blocks_, shape, floats(x), floats(weight), floats(bias), floats(y));
  } else {
    primitives_->conv1d_forward(shape, floats(x), floats(weight), floats(bias), floats(y));
  }
}

void CpuBackend::conv1d_backward_data(const Conv1dSpec& spec, ConstView dy, ConstView weight,
                                      View dx) {
  require_f32("conv1d", {dy, weight, dx});
  const Conv1dShape shape = conv1d_shape(spec, dx.dims, weight.dims, dy.dims);
  if (dx.numel() == 0) return;
  if (dy.numel() == 0) {
    fill(dx, 0.0);
  } else if (direct_backward_data_fits(shape)) {
    direct_backward_data(*blocks_, shape, floats(dy), floats(weight), floats(dx));
  } else {
    primitives_->conv1d_backward_data(shape, floats(dy), floats(weight), floats(dx));
  }
}

void CpuBackend::conv1d_backward_weight(const Conv1dSpec& spec, ConstView x, ConstView dy,
                                        View dweight, View dbias) {
  require_f32("conv1d", {x, dy, dweight, dbias});
  const Conv1dShape shape = conv1d_shape(spec, x.dims, dweight.dims, dy.dims);
  check_bias(shape, dbias);
  if (dy.numel() == 0) {
    fill(dweight, 0.0);
    if (dbias.present()) fill(dbias, 0.0);
  } else if (direct_forward_fits(shape)) {
    direct_backward_weight(*blocks_, shape, floats(x), floats(dy), floats(dweight), floats(dbias));
  } else {
    primitives_->conv1d_backward_weight(shape, floats(x), floats(dy), floats(dweight),
                                        floats(dbias));
  }
}

}  // namespace cardiograd
