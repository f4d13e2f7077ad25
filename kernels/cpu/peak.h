// The arithmetic peak of this CPU, measured: what a share of the peak in docs/performance.md means.
#pragma once

namespace cardiograd {

// float32 operations a second (a multiply-add counts as two) of `threads` threads that do nothing
// but multiply-adds in registers, with the instruction set that the kernels use; the best of a few
// tries.
double measure_cpu_peak(int threads);

}  // namespace cardiograd
