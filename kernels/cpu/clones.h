// CARDIOGRAD_CLONES before a plain loop function: the compiler makes one version of it for each
// vector width, and the loader picks the widest that this CPU has. The binary stays portable.
// Empty where that mechanism (GNU indirect functions) is missing, and under sanitizers, whose
// runtime is not ready yet when the loader picks.
#pragma once

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CARDIOGRAD_CLONES \
  __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define CARDIOGRAD_CLONES
#endif
