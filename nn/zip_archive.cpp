#include "nn/zip_archive.h"

#include <utility>
#include <zip.h>

#include "kernels/error.h"
#include "kernels/text.h"

namespace cardiograd {

namespace {

// libzip's own words for an error.
std::string words_of(zip_error_t& error) {
  std::string words = zip_error_strerror(&error);
  zip_error_fini(&error);
  return words;
}

}  // namespace

void ZipArchive::Close::operator()(zip* archive) const { zip_discard(archive); }

ZipArchive::ZipArchive(std::span<const std::byte> bytes, std::string name,
                       std::uint64_t most_unpacked)
    : name_(std::move(name)) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  if (source == nullptr) throw InputError(name_ + " cannot be read: " + words_of(error));
  archive_.reset(zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error));
  if (!archive_) {
    zip_source_free(source);
    if (zip_error_code_zip(&error) == ZIP_ER_EXISTS) refuse_double();
    throw InputError(name_ + " is a zip archive that is cut off or damaged (" + words_of(error) +
                     "): copy or save it again");
  }
  zip_error_fini(&error);
  const zip_int64_t count = zip_get_num_entries(archive_.get(), 0);
  for (zip_int64_t i = 0; i < count; ++i) add(static_cast<std::uint64_t>(i), most_unpacked);
}

void ZipArchive::refuse_double() const {
  throw InputError(name_ + " is a zip archive with two entries of the same name: save it again");
}

void ZipArchive::add(std::uint64_t index, std::uint64_t most_unpacked) {
  zip_stat_t status;
  zip_stat_init(&status);
  constexpr zip_uint64_t wanted =
      ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
  if (zip_stat_index(archive_.get(), index, 0, &status) != 0 || (status.valid & wanted) != wanted) {
    throw InputError(name_ + ": entry " + std::to_string(index) +
                     " of its directory cannot be read; copy or save the file again");
  }
  const std::string entry = status.name;
  if (status.encryption_method != ZIP_EM_NONE) {
    throw InputError(name_ + ": its entry " + quote(entry) + " is encrypted");
  }
  if (status.comp_method != ZIP_CM_STORE && status.comp_method != ZIP_CM_DEFLATE) {
    throw InputError(name_ + ": its entry " + quote(entry) + " is compressed by method " +
                     std::to_string(status.comp_method) + ", where stored or deflated is wanted");
  }
  if (status.size > most_unpacked - unpacked_) {
    throw InputError(name_ + " unpacks to more than the " + std::to_string(most_unpacked) +
                     " bytes that an archive of its size may hold: it looks like a zip bomb");
  }
  unpacked_ += status.size;
  if (!entries_.try_emplace(entry, Entry{index, static_cast<std::size_t>(status.size)}).second) {
    refuse_double();
  }
  names_.push_back(entry);
}

const ZipArchive::Entry& ZipArchive::find(const std::string& entry) const {
  const auto found = entries_.find(entry);
  if (found == entries_.end()) throw InputError(name_ + " has no entry " + quote(entry));
  return found->second;
}

std::size_t ZipArchive::size(const std::string& entry) const { return find(entry).size; }

void ZipArchive::read(const std::string& entry, std::span<std::byte> out) const {
  const Entry& at = find(entry);
  CG_CHECK(out.size() == at.size, "entry " + quote(entry) + " has another size");
  const auto close = [](zip_file_t* file) { zip_fclose(file); };
  const std::unique_ptr<zip_file_t, decltype(close)> file(
      zip_fopen_index(archive_.get(), at.index, 0), close);
  std::size_t done = 0;
  while (file && done < out.size()) {
    const zip_int64_t got = zip_fread(file.get(), out.data() + done, out.size() - done);
    if (got <= 0) break;
    done += static_cast<std::size_t>(got);
  }
  // Only the read that meets the end compares length and checksum.
  std::byte beyond{};
  if (!file || done != out.size() || zip_fread(file.get(), &beyond, 1) != 0) {
    throw InputError(name_ + ": its entry " + quote(entry) +
                     " is damaged: its length or checksum is not what the archive says");
  }
}

std::string ZipArchive::read(const std::string& entry) const {
  std::string text(size(entry), '\0');
  read(entry, std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace cardiograd
