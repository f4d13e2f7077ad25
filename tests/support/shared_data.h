// Data that lies beside the source tree, in ../shared, and is not there on every machine.
#pragma once

#include <filesystem>
#include <gtest/gtest.h>
#include <string>

namespace cardiograd::testing {

inline std::filesystem::path shared_path(const std::string& name) {
  return std::filesystem::path(CARDIOGRAD_SOURCE_DIR) / ".." / "shared" / name;
}

}  // namespace cardiograd::testing

// Skips the test by name where shared/NAME is missing. For use in the body of a test.
#define CARDIOGRAD_NEEDS_SHARED(name)                                         \
  do {                                                                        \
    if (!std::filesystem::exists(::cardiograd::testing::shared_path(name))) { \
      GTEST_SKIP() << "shared/" << (name) << " is missing";                   \
    }                                                                         \
  } while (false)
