// Uncompressed entries of a zip archive, which is what torch.save writes. A stand-in for the tests
// until the project reads .pt files itself: no pickle, no zip64, no checksums.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace cardiograd::testing {

// Contents by name, found through the central directory (PyTorch leaves the sizes out of the local
// headers). Throws InputError where the file is not such an archive.
std::map<std::string, std::string> read_stored_zip(const std::filesystem::path& path);

}  // namespace cardiograd::testing
