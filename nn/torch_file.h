// Files of torch.save (.pt, .pth): the zip archives of PyTorch 1.6 and later, and the older format
// of magic number, pickles and raw storages. Nothing in a file is ever executed: see unpickler.h.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "nn/torch_value.h"

namespace cardiograd {

// Whether a file begins like one of torch.save, or like a pickle or a zip archive at all.
bool looks_like_torch_file(std::span<const std::byte> beginning);

// Throws InputError, one sentence that begins with the file's name, where the file is damaged or
// cut off, unpacks to far more than its own size, comes from a big-endian machine, or holds
// anything but tensors of the dtypes of TorchDType, dicts, lists, tuples, numbers, strings and
// bytes. Storages take at most 32 times the file's size and 1 MiB; values outside tensors are
// limited to four million.
TorchValue read_torch_file(const std::filesystem::path& path);

// The same for a file in memory; `name` begins the sentences.
TorchValue parse_torch_file(std::span<const std::byte> file, const std::string& name);

}  // namespace cardiograd
