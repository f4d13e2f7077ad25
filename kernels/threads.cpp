#include "kernels/threads.h"

#include <omp.h>

namespace cardiograd {

void limit_threads(int count) { omp_set_num_threads(count); }
int thread_limit() { return omp_get_max_threads(); }

}  // namespace cardiograd
