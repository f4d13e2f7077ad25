// ASAN_POISON_MEMORY_REGION and its inverse, which do nothing without AddressSanitizer;
// CARDIOGRAD_ADDRESS_SANITIZER is defined where it is on.
#pragma once

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

#if defined(__SANITIZE_ADDRESS__)
#define CARDIOGRAD_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CARDIOGRAD_ADDRESS_SANITIZER 1
#endif
#endif
