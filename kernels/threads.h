// How many host threads the operations called from the current thread may use.
#pragma once

namespace cardiograd {

// Holds for the calling thread alone. A helper thread that prepares data sets 1, so that it does
// not compete with the training step for every core.
void limit_threads(int count);
int thread_limit();

}  // namespace cardiograd
