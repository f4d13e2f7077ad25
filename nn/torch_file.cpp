#include "nn/torch_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <string_view>
#include <vector>

#include "kernels/text.h"
#include "nn/input_file.h"
#include "nn/unpickler.h"
#include "nn/zip_archive.h"

namespace cardiograd {

namespace {

static_assert(std::endian::native == std::endian::little, "storages hold little-endian data");

// Weights hardly shrink when deflated, and views that repeat elements are rare.
constexpr std::uint64_t most_growth = 32;
constexpr std::uint64_t most_growth_of_small = 1 << 20;
constexpr std::size_t most_pickle_bytes = std::size_t{64} << 20;

// The older format begins with this number, pickled: LONG1, ten bytes, STOP.
constexpr std::string_view legacy_magic("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 13);
constexpr std::size_t legacy_magic_within = 32;
constexpr std::int64_t legacy_protocol = 1001;

std::uint64_t most_bytes(std::size_t file) { return most_growth * file + most_growth_of_small; }

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool is_zip(std::span<const std::byte> file) { return text_of(file).starts_with("PK"); }

std::size_t find_legacy_magic(std::span<const std::byte> file) {
  return text_of(file).substr(0, legacy_magic_within).find(legacy_magic);
}

struct Wanted {
  std::shared_ptr<TorchStorage> storage;
  std::size_t element_size = 1;
};

// The storages that a pickle refers to, before they are read.
class Storages {
 public:
  explicit Storages(std::string name) : name_(std::move(name)) {}

  std::shared_ptr<TorchStorage> find(const std::string& key, std::size_t element_size,
                                     std::size_t bytes) {
    Wanted& wanted = wanted_[key];
    if (!wanted.storage) {
      wanted = {std::make_shared<TorchStorage>(), element_size};
      wanted.storage->key = key;
      wanted.storage->bytes = bytes;
    } else if (wanted.storage->bytes != bytes) {
      throw InputError(name_ + ": storage " + quote(key) + " has " +
                       std::to_string(wanted.storage->bytes) + " bytes in one place and " +
                       std::to_string(bytes) + " in another");
    }
    return wanted.storage;
  }
  const std::map<std::string, Wanted>& all() const { return wanted_; }

 private:
  std::string name_;
  std::map<std::string, Wanted> wanted_;
};

void allocate(TorchStorage& storage) {
  storage.data = std::make_unique_for_overwrite<std::byte[]>(storage.bytes);
}

// What stands before "data.pkl": "archive/".
std::string folder_in(const ZipArchive& archive, const std::string& name) {
  constexpr std::string_view pickle = "data.pkl";
  const std::string* found = nullptr;
  for (const std::string& entry : archive.names()) {
    if (entry != pickle && !entry.ends_with("/" + std::string(pickle))) continue;
    if (found != nullptr) {
      throw InputError(name + " has two pickles, " + quote(*found) + " and " + quote(entry));
    }
    found = &entry;
  }
  if (found == nullptr) {
    throw InputError(name + " is a zip archive without data.pkl: torch.save did not write it");
  }
  return found->substr(0, found->size() - pickle.size());
}

void check_byte_order(const ZipArchive& archive, const std::string& folder,
                      const std::string& name) {
  const std::string entry = folder + "byteorder";
  if (!archive.contains(entry)) return;  // before PyTorch 2.1
  constexpr std::size_t longest = 16;
  const std::string order = archive.size(entry) <= longest ? archive.read(entry) : "";
  if (order == "little") return;
  throw InputError(name +
                   (order == "big" ? " was saved on a big-endian machine"
                                   : " does not say the order of its bytes") +
                   ", but only little-endian files are read; load and save it again with PyTorch");
}

TorchValue parse_zip(std::span<const std::byte> file, const std::string& name) {
  const ZipArchive archive(file, name, most_bytes(file.size()));
  const std::string folder = folder_in(archive, name);
  check_byte_order(archive, folder, name);
  const std::string entry = folder + "data.pkl";
  if (archive.size(entry) > most_pickle_bytes) {
    throw InputError(name + " has a pickle of " + std::to_string(archive.size(entry)) +
                     " bytes, more than the " + std::to_string(most_pickle_bytes) +
                     " that this reader takes; save large data as tensors");
  }
  const std::string pickle = archive.read(entry);
  Storages storages(name);
  const auto find = [&](const std::string& key, std::size_t element_size, std::size_t bytes) {
    const std::string data = folder + "data/" + key;
    if (!archive.contains(data)) throw InputError(name + " lacks the storage " + quote(key));
    if (archive.size(data) != bytes) {
      throw InputError(name + ": storage " + quote(key) + " has " +
                       std::to_string(archive.size(data)) + " bytes, but its pickle says " +
                       std::to_string(bytes));
    }
    return storages.find(key, element_size, bytes);
  };
  TorchValue value =
      Unpickler(std::as_bytes(std::span(pickle)), name, find, most_bytes(file.size())).run();
  for (const auto& [key, wanted] : storages.all()) {
    allocate(*wanted.storage);
    archive.read(folder + "data/" + key, {wanted.storage->data.get(), wanted.storage->bytes});
  }
  return value;
}

// The older format: magic number, protocol, system, value and storage keys, each pickled, then for
// each key the number of elements (int64) and the elements.
class LegacyFile {
 public:
  LegacyFile(std::span<const std::byte> file, std::size_t begin, std::string name)
      : file_(file), at_(begin), name_(std::move(name)), storages_(name_) {}

  TorchValue read() {
    if (const TorchValue protocol = pickle();
        !protocol.is(TorchKind::integer) || protocol.as_integer() != legacy_protocol) {
      throw InputError(name_ +
                       " is of a version of the older PyTorch format that this reader does "
                       "not know; load and save it again with PyTorch");
    }
    check_byte_order(pickle());
    TorchValue value = pickle();
    const TorchValue keys = pickle();
    if (!keys.is(TorchKind::list)) damaged("its list of storages is none");
    std::size_t read = 0;
    for (const TorchValue& key : keys.items()) {
      if (!key.is(TorchKind::string)) damaged("its list of storages is none");
      read += read_storage(key.as_string());
    }
    if (read != storages_.all().size()) damaged("it lacks a storage that its tensors name");
    if (at_ != file_.size()) damaged("bytes follow its last storage");
    return value;
  }

 private:
  [[noreturn]] void damaged(const std::string& how) const {
    throw InputError(name_ + " is damaged: " + how);
  }

  TorchValue pickle() {
    const auto rest = file_.subspan(at_);
    Unpickler unpickler(
        rest.first(std::min(rest.size(), most_pickle_bytes)), name_,
        [this](const std::string& key, std::size_t element_size, std::size_t bytes) {
          if (bytes > file_.size()) {
            throw InputError(name_ + ": storage " + quote(key) + " has " + std::to_string(bytes) +
                             " bytes, more than the whole file");
          }
          return storages_.find(key, element_size, bytes);
        },
        most_bytes(file_.size()));
    TorchValue value = unpickler.run();
    at_ += unpickler.position();
    return value;
  }

  void check_byte_order(const TorchValue& system) const {
    const TorchValue* little = system.find("little_endian");
    if (little == nullptr || !little->is(TorchKind::boolean)) {
      damaged("it does not say the order of its bytes");
    }
    if (!little->as_boolean()) {
      throw InputError(name_ +
                       " was saved on a big-endian machine, but only little-endian files "
                       "are read; load and save it again with PyTorch");
    }
  }

  // The number of storages filled: 1.
  std::size_t read_storage(const std::string& key) {
    const auto found = storages_.all().find(key);
    if (found == storages_.all().end() || found->second.storage->data) {
      damaged("storage " + quote(key) + " belongs to no tensor or comes twice");
    }
    TorchStorage& storage = *found->second.storage;
    std::uint64_t elements = 0;
    if (file_.size() - at_ < sizeof elements) damaged("it ends before storage " + quote(key));
    std::memcpy(&elements, file_.data() + at_, sizeof elements);
    at_ += sizeof elements;
    if (elements != storage.bytes / found->second.element_size) {
      damaged("storage " + quote(key) + " has " + std::to_string(elements) +
              " elements, but its pickle says " +
              std::to_string(storage.bytes / found->second.element_size));
    }
    if (storage.bytes > file_.size() - at_) damaged("it ends inside storage " + quote(key));
    allocate(storage);
    std::copy_n(file_.data() + at_, storage.bytes, storage.data.get());
    at_ += storage.bytes;
    return 1;
  }

  std::span<const std::byte> file_;
  std::size_t at_;
  std::string name_;
  Storages storages_;
};

}  // namespace

bool looks_like_torch_file(std::span<const std::byte> beginning) {
  return is_zip(beginning) || text_of(beginning).starts_with('\x80');
}

TorchValue parse_torch_file(std::span<const std::byte> file, const std::string& name) {
  if (is_zip(file)) return parse_zip(file, name);
  const std::size_t magic = find_legacy_magic(file);
  if (magic != std::string_view::npos) {
    return LegacyFile(file, magic + legacy_magic.size(), name).read();
  }
  throw InputError(name +
                   (looks_like_torch_file(file)
                        ? " is a pickle that torch.save did not write; save it with torch.save"
                        : " is no PyTorch file: it begins neither like a zip archive nor like "
                          "the older format of torch.save"));
}

TorchValue read_torch_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  return parse_torch_file(file.bytes(), path.string());
}

}  // namespace cardiograd
