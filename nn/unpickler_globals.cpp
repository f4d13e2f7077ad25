// The globals that a pickle may name, and what they make of their arguments.
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "kernels/text.h"
#include "nn/unpickler.h"

namespace cardiograd {

namespace {

struct StorageType {
  std::string_view name;
  TorchDType dtype;
};
constexpr std::array<StorageType, 10> storage_types{{{"torch.DoubleStorage", TorchDType::f64},
                                                     {"torch.FloatStorage", TorchDType::f32},
                                                     {"torch.HalfStorage", TorchDType::f16},
                                                     {"torch.BFloat16Storage", TorchDType::bf16},
                                                     {"torch.LongStorage", TorchDType::i64},
                                                     {"torch.IntStorage", TorchDType::i32},
                                                     {"torch.ShortStorage", TorchDType::i16},
                                                     {"torch.CharStorage", TorchDType::i8},
                                                     {"torch.ByteStorage", TorchDType::u8},
                                                     {"torch.BoolStorage", TorchDType::boolean}}};

constexpr std::array<std::string_view, 10> functions{"collections.OrderedDict",
                                                     "torch._utils._rebuild_tensor",
                                                     "torch._utils._rebuild_tensor_v2",
                                                     "torch._utils._rebuild_tensor_v3",
                                                     "torch._utils._rebuild_parameter",
                                                     "torch.Size",
                                                     "numpy.core.multiarray.scalar",
                                                     "numpy._core.multiarray.scalar",
                                                     "numpy.dtype",
                                                     "_codecs.encode"};

constexpr std::string_view dtype_prefix = "torch.";

// Null where `name` is no "torch.float32".
const StorageType* dtype_named(std::string_view name) {
  if (!name.starts_with(dtype_prefix)) return nullptr;
  const auto found = std::find_if(storage_types.begin(), storage_types.end(), [&](const auto& t) {
    return name_of(t.dtype) == name.substr(dtype_prefix.size());
  });
  return found == storage_types.end() ? nullptr : &*found;
}

template <class T>
T read_as(const std::string& bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

// A NumPy scalar's bytes; `type` is one of "f4", "f8", "i1" ... "u8", "b1".
TorchValue scalar_of(const std::string& type, const std::string& bytes) {
  if (type == "f8") return TorchValue::number(read_as<double>(bytes));
  if (type == "f4") return TorchValue::number(double{read_as<float>(bytes)});
  if (type == "b1") return TorchValue::boolean(bytes[0] != 0);
  std::uint64_t raw = 0;
  std::memcpy(&raw, bytes.data(), bytes.size());
  const auto unused = static_cast<int>(64 - 8 * bytes.size());
  const auto wide = static_cast<std::int64_t>(raw << unused);
  return TorchValue::integer(type[0] == 'i' ? wide >> unused : static_cast<std::int64_t>(raw));
}

constexpr std::array<std::string_view, 10> scalar_types{"f8", "f4", "b1", "i1", "i2",
                                                        "i4", "i8", "u1", "u2", "u4"};

}  // namespace

void Unpickler::refuse_global(const std::string& global) const {
  fail(
      " names the global " + quote(global) +
      ", which this reader does not run: it takes tensors, dicts, lists, numbers and strings; load "
      "the file where you trust it and save the model's state_dict alone");
}

void Unpickler::push_global(const std::string& global) {
  if (dtype_named(global) != nullptr) return push(TorchValue::text(TorchKind::string, global));
  PickleObject entry;
  entry.name = global;
  const auto storage = std::find_if(storage_types.begin(), storage_types.end(),
                                    [&](const StorageType& type) { return type.name == global; });
  if (storage != storage_types.end()) {
    entry.what = What::storage_type;
    entry.dtype = storage->dtype;
  } else if (global == "torch.storage.UntypedStorage" || global == "torch.UntypedStorage") {
    entry.what = What::storage_type;
    entry.untyped = true;
  } else if (std::find(functions.begin(), functions.end(), global) == functions.end()) {
    refuse_global(global);
  }
  push({TorchKind::object, std::make_shared<const PickleObject>(std::move(entry))});
}

const PickleObject& Unpickler::object(const TorchValue& value, What what) const {
  if (value.is(TorchKind::object)) {
    const auto& found = *std::get<std::shared_ptr<const PickleObject>>(value.data_);
    if (found.what == what) return found;
  }
  damaged("passes a function something that it does not take");
}

const TorchValue& Unpickler::argument(const Items& arguments, std::size_t index,
                                      TorchKind kind) const {
  if (index >= arguments.size() || !arguments[index].is(kind)) {
    damaged("passes a function something that it does not take");
  }
  return arguments[index];
}

// The persistent id of a storage: ("storage", type, key, device, elements).
void Unpickler::push_storage() {
  const TorchValue id = pop();
  if (!id.is(TorchKind::tuple)) damaged("refers to something that is no storage");
  const Items& parts = *std::get<std::shared_ptr<Items>>(id.data_);
  if (parts.size() < 5 || argument(parts, 0, TorchKind::string).as_string() != "storage") {
    damaged("refers to something that is no storage");
  }
  if (parts.size() > 5 && !parts[5].is(TorchKind::none)) {
    fail(
        " holds a view of a storage, as only PyTorch before 0.4 wrote it; save it again with a "
        "newer one");
  }
  PickleObject storage = object(parts[1], What::storage_type);
  const std::string& key = argument(parts, 2, TorchKind::string).as_string();
  const std::int64_t elements = argument(parts, 4, TorchKind::integer).as_integer();
  const std::size_t size = storage.untyped ? 1 : size_of(storage.dtype);
  std::size_t bytes = 0;
  if (elements < 0 || __builtin_mul_overflow(static_cast<std::size_t>(elements), size, &bytes)) {
    fail(": storage " + quote(key) + " has the impossible size " + std::to_string(elements));
  }
  storage.what = What::storage;
  storage.storage = find_storage_(key, size, bytes);
  push({TorchKind::object, std::make_shared<const PickleObject>(std::move(storage))});
}

void Unpickler::reduce() {
  const TorchValue arguments = pop();
  const TorchValue function = pop();
  if (!arguments.is(TorchKind::tuple)) damaged("calls a function without a tuple of arguments");
  const Items& items = *std::get<std::shared_ptr<Items>>(arguments.data_);
  push(call(object(function, What::function).name, items));
}

TorchValue Unpickler::call(const std::string& function, const Items& arguments) {
  if (function == "collections.OrderedDict") return ordered_dict(arguments);
  if (function == "torch._utils._rebuild_parameter") {
    return argument(arguments, 0, TorchKind::tensor);
  }
  if (function.starts_with("torch._utils._rebuild_tensor")) {
    return rebuild_tensor(arguments, function.ends_with("_v3"));
  }
  if (function == "torch.Size") return argument(arguments, 0, TorchKind::tuple);
  if (function == "_codecs.encode") return encode(arguments);
  if (function != "numpy.dtype") return numpy_scalar(arguments);
  PickleObject dtype;
  dtype.what = What::numpy_dtype;
  dtype.name = argument(arguments, 0, TorchKind::string).as_string();
  if (std::find(scalar_types.begin(), scalar_types.end(), dtype.name) == scalar_types.end()) {
    fail(" holds a NumPy value of dtype " + quote(dtype.name) +
         ", which this reader does not take; save a Python number instead");
  }
  return {TorchKind::object, std::make_shared<const PickleObject>(std::move(dtype))};
}

// Empty, or from a list of pairs.
TorchValue Unpickler::ordered_dict(const Items& arguments) {
  Entries entries;
  if (!arguments.empty()) {
    for (const TorchValue& pair : argument(arguments, 0, TorchKind::list).items()) {
      const bool fits = pair.is(TorchKind::list) || pair.is(TorchKind::tuple);
      if (!fits || pair.items().size() != 2) damaged("makes a dict of what are no pairs");
      entries.push_back({pair.items()[0], pair.items()[1]});
    }
  }
  return new_dict(std::move(entries));
}

Dims Unpickler::sizes_of(const TorchValue& value) const {
  if (value.items().size() > static_cast<std::size_t>(Dims::max_rank)) {
    fail(" has a tensor of " + std::to_string(value.items().size()) +
         " dimensions, but this reader takes at most " + std::to_string(Dims::max_rank));
  }
  Dims dims;
  for (const TorchValue& size : value.items()) {
    if (!size.is(TorchKind::integer) || size.as_integer() < 0) {
      fail(" has a tensor with a size or stride that is no count");
    }
    dims.push_back(size.as_integer());
  }
  return dims;
}

// Throws unless each element of the tensor lies within the storage's elements.
void Unpickler::check_extent(const Dims& dims, const Dims& strides, std::int64_t offset,
                             std::size_t elements) const {
  std::int64_t last = offset, count = 1;
  bool fits = offset >= 0;
  for (int axis = 0; axis < dims.rank() && fits; ++axis) {
    std::int64_t reach = 0;
    fits =
        !__builtin_mul_overflow(count, dims[axis], &count) &&
        !__builtin_mul_overflow(std::max<std::int64_t>(dims[axis] - 1, 0), strides[axis], &reach) &&
        !__builtin_add_overflow(last, reach, &last);
  }
  if (fits && count == 0) return;
  if (!fits || static_cast<std::uint64_t>(last) >= elements) {
    fail(" has a tensor of shape " + dims.to_string() + ", strides " + strides.to_string() +
         " and offset " + std::to_string(offset) + ", which reaches beyond its storage of " +
         std::to_string(elements) + " elements");
  }
}

// (storage, offset, sizes, strides, ...); version 3 adds the dtype as its seventh argument.
TorchValue Unpickler::rebuild_tensor(const Items& arguments, bool dtype_given) {
  if (arguments.empty()) damaged("passes a function something that it does not take");
  const PickleObject& storage = object(arguments[0], What::storage);
  TorchDType dtype = storage.dtype;
  if (dtype_given) {
    const StorageType* given = dtype_named(argument(arguments, 6, TorchKind::string).as_string());
    if (given == nullptr) damaged("makes a tensor of an unknown dtype");
    dtype = given->dtype;
  } else if (storage.untyped) {
    damaged("makes a tensor without a dtype");
  }
  const std::int64_t offset = argument(arguments, 1, TorchKind::integer).as_integer();
  const Dims dims = sizes_of(argument(arguments, 2, TorchKind::tuple));
  const Dims strides = sizes_of(argument(arguments, 3, TorchKind::tuple));
  if (dims.rank() != strides.rank())
    damaged("makes a tensor with more or fewer strides than sizes");
  check_extent(dims, strides, offset, storage.storage->bytes / size_of(dtype));
  // Repeated elements (stride 0) could stand for any number of bytes.
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<std::uint64_t>(dims.numel()), size_of(dtype), &bytes) ||
      bytes > most_tensor_bytes_ - tensor_bytes_) {
    fail(" holds tensors of more than " + std::to_string(most_tensor_bytes_) +
         " bytes, far more than the file itself has; save copies (.clone()) of those that are "
         "views");
  }
  tensor_bytes_ += bytes;
  return TorchValue::tensor({dtype, dims, strides, offset, storage.storage});
}

// (dtype, bytes)
TorchValue Unpickler::numpy_scalar(const Items& arguments) const {
  if (arguments.empty()) damaged("passes a function something that it does not take");
  const std::string& type = object(arguments[0], What::numpy_dtype).name;
  const std::string& bytes = argument(arguments, 1, TorchKind::bytes).as_bytes();
  if (bytes.size() != static_cast<std::size_t>(type[1] - '0')) {
    damaged("makes a NumPy value of the wrong number of bytes");
  }
  return scalar_of(type, bytes);
}

// How protocol 2 writes bytes: as the characters of the same numbers.
TorchValue Unpickler::encode(const Items& arguments) const {
  const std::string& text = argument(arguments, 0, TorchKind::string).as_string();
  if (argument(arguments, 1, TorchKind::string).as_string() != "latin1") {
    damaged("encodes a string in another way than latin1");
  }
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      bytes += text[i];
    } else if ((lead == 0xC2 || lead == 0xC3) && i + 1 < text.size() &&
               (static_cast<unsigned char>(text[i + 1]) & 0xC0) == 0x80) {
      bytes += static_cast<char>((lead & 3) << 6 | (text[++i] & 0x3F));
    } else {
      damaged("encodes a character that latin1 does not have");
    }
  }
  return TorchValue::text(TorchKind::bytes, std::move(bytes));
}

// Attributes of an object that exists already: an OrderedDict's (state_dict puts versions of layers
// there) are left out, a NumPy dtype's tell the order of its bytes.
void Unpickler::build() {
  const TorchValue state = pop();
  if (top().is(TorchKind::dict)) return;
  object(top(), What::numpy_dtype);
  if (!state.is(TorchKind::tuple)) damaged("gives a NumPy dtype a state that is none");
  const std::string& order =
      argument(*std::get<std::shared_ptr<Items>>(state.data_), 1, TorchKind::string).as_string();
  if (order != "<" && order != "|" && order != "=") {
    fail(" holds a NumPy value of a big-endian machine; save a Python number instead");
  }
}

}  // namespace cardiograd
