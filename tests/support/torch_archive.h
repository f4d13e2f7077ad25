// Small .pt files made by hand: pickle opcodes, and the archive around them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cardiograd::testing {

std::string string_op(const std::string& text);
std::string integer_op(std::int64_t value);
std::string tuple_op(const std::vector<std::int64_t>& values);
// A dict of what the ops in the list make, by name.
std::string dict_op(const std::vector<std::pair<std::string, std::string>>& entries);

struct TensorOp {
  std::int64_t elements = 0;  // of the storage
  std::int64_t offset = 0;
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
  std::string key = "0";  // of the storage
  std::string storage_type = "FloatStorage";
};
std::string tensor_op(const TensorOp& tensor);

// An archive of torch.save: the ops as its pickle, storages "0", "1", ...
std::string torch_archive(const std::string& ops, const std::vector<std::string>& storages);
// The same of one tensor of float32.
std::string torch_tensor(const std::vector<float>& values, const std::vector<std::int64_t>& sizes);
// Of a dict of such tensors of one dimension, below `key` unless that is empty.
std::string torch_state(const std::string& key,
                        const std::vector<std::pair<std::string, std::vector<float>>>& tensors);

}  // namespace cardiograd::testing
