#include "tests/support/torch_archive.h"

#include <cstring>

#include "tests/support/zip_file.h"

namespace cardiograd::testing {

namespace {

std::string bytes_of(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

}  // namespace

std::string string_op(const std::string& text) {
  return "\x8c" + std::string(1, static_cast<char>(text.size())) + text;
}

std::string integer_op(std::int64_t value) {
  std::string raw(8, '\0');
  std::memcpy(raw.data(), &value, 8);
  return "\x8a\x08" + raw;
}

std::string tuple_op(const std::vector<std::int64_t>& values) {
  std::string ops = "(";
  for (const std::int64_t value : values) ops += integer_op(value);
  return ops + "t";
}

std::string dict_op(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string ops = "}(";
  for (const auto& [key, value] : entries) ops += string_op(key) + value;
  return ops + "u";
}

std::string tensor_op(const TensorOp& tensor) {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + string_op("storage") + "ctorch\n" +
         tensor.storage_type + "\n" + string_op(tensor.key) + string_op("cpu") +
         integer_op(tensor.elements) + "tQ" + integer_op(tensor.offset) + tuple_op(tensor.sizes) +
         tuple_op(tensor.strides) + "\x89}tR";
}

std::string torch_archive(const std::string& ops, const std::vector<std::string>& storages) {
  std::vector<ZipEntry> entries{{"a/data.pkl", "\x80\x02" + ops + "."}};
  for (std::size_t i = 0; i < storages.size(); ++i) {
    entries.push_back({"a/data/" + std::to_string(i), storages[i]});
  }
  return zip_bytes(entries);
}

std::string torch_tensor(const std::vector<float>& values, const std::vector<std::int64_t>& sizes) {
  std::vector<std::int64_t> strides(sizes.size(), 1);
  for (std::size_t i = sizes.size(); i-- > 1;) strides[i - 1] = strides[i] * sizes[i];
  const auto count = static_cast<std::int64_t>(values.size());
  return torch_archive(tensor_op({count, 0, sizes, strides}), {bytes_of(values)});
}

std::string torch_state(const std::string& key,
                        const std::vector<std::pair<std::string, std::vector<float>>>& tensors) {
  std::vector<std::pair<std::string, std::string>> entries;
  std::vector<std::string> storages;
  for (const auto& [name, values] : tensors) {
    const auto count = static_cast<std::int64_t>(values.size());
    entries.emplace_back(name,
                         tensor_op({count, 0, {count}, {1}, std::to_string(storages.size())}));
    storages.push_back(bytes_of(values));
  }
  const std::string state = dict_op(entries);
  return torch_archive(key.empty() ? state : dict_op({{"epoch", integer_op(3)}, {key, state}}),
                       storages);
}

}  // namespace cardiograd::testing
