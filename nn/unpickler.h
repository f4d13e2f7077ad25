// Python's pickle, as far as torch.save and plain values need it: a stack machine of our own that
// calls nothing. A pickle names the functions that would rebuild its objects ("globals"); the few
// that make tensors, dicts and numbers are imitated here, every other one is refused by name.
// Format: the comments of Python's pickletools module, protocols 2 to 5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nn/torch_value.h"

namespace cardiograd {

// What stands on the stack until a tensor or a number has been made of it.
struct PickleObject {
  enum class What : std::uint8_t { function, storage_type, storage, numpy_dtype };

  What what = What::function;
  std::string name;  // "torch._utils._rebuild_tensor_v2"; of a numpy_dtype "f8"
  TorchDType dtype = TorchDType::u8;
  bool untyped = false;                   // a storage without an element type
  std::shared_ptr<TorchStorage> storage;  // of a storage
};

class Unpickler {
 public:
  // Gives the storage of a key; element size and number of bytes are those that the pickle states.
  using FindStorage = std::function<std::shared_ptr<TorchStorage>(
      const std::string& key, std::size_t element_size, std::size_t bytes)>;

  // `name` begins the sentences. The tensors may not take more than most_tensor_bytes together.
  Unpickler(std::span<const std::byte> bytes, std::string name, FindStorage find_storage,
            std::uint64_t most_tensor_bytes);
  Unpickler(const Unpickler&) = delete;
  Unpickler& operator=(const Unpickler&) = delete;
  ~Unpickler();

  // The value of the pickle at the beginning of `bytes`. Call it once. Throws InputError for a
  // pickle that is damaged, that names a global of another kind, that nests too deep or contains
  // itself, or that would grow far beyond its own length.
  TorchValue run();
  // Bytes that run() has read.
  std::size_t position() const { return at_; }

 private:
  using Items = std::vector<TorchValue>;
  using Entries = std::vector<TorchEntry>;
  using What = PickleObject::What;

  [[noreturn]] void fail(const std::string& sentence) const;
  [[noreturn]] void damaged(const std::string& how) const;
  [[noreturn]] void refuse_global(const std::string& global) const;

  // Reading.
  std::span<const std::byte> take(std::uint64_t count);
  std::uint64_t take_unsigned(std::size_t bytes);
  std::string take_text(std::size_t length_bytes);
  std::string take_line();

  // The stack.
  void push(TorchValue value);
  TorchValue pop();
  Items pop_to_mark();
  std::vector<TorchEntry> pop_entries();
  TorchValue& top();
  TorchValue new_sequence(TorchKind kind, Items items);
  TorchValue new_dict(Entries entries);

  // Opcodes by family; each returns false where the opcode is none of its own.
  bool run_scalar(unsigned char opcode);
  bool run_container(unsigned char opcode);
  bool run_stack(unsigned char opcode);
  bool run_object(unsigned char opcode);
  [[noreturn]] void refuse_opcode(unsigned char opcode) const;
  void push_integer(std::uint64_t length);
  void append(Items items);
  void set_items(Entries entries);
  void put(std::uint64_t index);
  void get(std::uint64_t index);

  // Globals (unpickler_globals.cpp).
  void push_global(const std::string& global);
  void push_storage();
  void reduce();
  void build();
  TorchValue call(const std::string& function, const Items& arguments);
  TorchValue ordered_dict(const Items& arguments);
  TorchValue rebuild_tensor(const Items& arguments, bool dtype_given);
  TorchValue numpy_scalar(const Items& arguments) const;
  TorchValue encode(const Items& arguments) const;
  const PickleObject& object(const TorchValue& value, What what) const;
  const TorchValue& argument(const Items& arguments, std::size_t index, TorchKind kind) const;
  Dims sizes_of(const TorchValue& value) const;
  void check_extent(const Dims& dims, const Dims& strides, std::int64_t offset,
                    std::size_t elements) const;

  // The result.
  void check(const TorchValue& value, int depth);
  void check_keys(const Entries& entries) const;

  std::span<const std::byte> bytes_;
  std::string name_;
  FindStorage find_storage_;
  std::uint64_t most_tensor_bytes_;
  std::uint64_t tensor_bytes_ = 0;
  std::size_t at_ = 0;
  std::size_t pushed_ = 0;
  std::uint64_t visited_ = 0;
  Items stack_;
  std::vector<std::size_t> marks_;
  Items memo_;
  // Everything that could be part of a cycle, so that it can be taken apart.
  std::vector<std::shared_ptr<Items>> sequences_;
  std::vector<std::shared_ptr<Entries>> dicts_;
  std::vector<const void*> reached_;
};

}  // namespace cardiograd
