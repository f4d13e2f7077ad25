// Zip archives made in memory, for tests of their reader.
#pragma once

#include <string>
#include <vector>

namespace cardiograd::testing {

struct ZipEntry {
  std::string name;
  std::string content;
  bool deflated = false;
};

std::string zip_bytes(const std::vector<ZipEntry>& entries);

}  // namespace cardiograd::testing
