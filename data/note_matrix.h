// One note embedding a record of a packed file: its own hashed ones (data/notes.h), or those that a
// language model made elsewhere.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/packed.h"

namespace cardiograd {

// One note from a file: a PyTorch tensor (.pt), an .npy array or the only tensor (f32) of a
// .safetensors file, [d] or [1, d], floating. Throws InputError, naming the file, for anything else
// and for a value that is not finite.
std::vector<float> read_note(const std::filesystem::path& path);

// Notes from files, one below the other.
class NoteRows {
 public:
  // Appends one note; throws InputError naming the file where it is of another length than the
  // first one, and as read_note does.
  void add(const std::filesystem::path& path);

  std::int64_t rows() const { return rows_; }
  std::int64_t size() const { return size_; }  // values a note; 0 before the first one
  std::vector<float>& values() { return values_; }

 private:
  std::filesystem::path first_;
  std::int64_t rows_ = 0;
  std::int64_t size_ = 0;
  std::vector<float> values_;
};

// [records, size] in the packed file's order. Rows of one file are mapped where they can be.
class NoteMatrix {
 public:
  // The packed file's own. Throws InputError where it has none.
  static NoteMatrix of(std::shared_ptr<const PackedDataset> dataset);
  // From `path`, which is one of
  //   a folder with a file ECG_ID.pt (see read_note) for each record;
  //   a safetensors file with `notes`, floating [n, size], and `ecg_id`, i32 or i64 [n]; without
  //   ecg_id row r belongs to record r of the packed file, and n must be its number of records;
  //   an .npy matrix, floating [n, size], row r belonging to record r likewise.
  // A record without a note has a row of zeros. Throws InputError, one sentence that names the
  // file, where none of the records has a note, where notes differ in length, where a value is not
  // finite, or where an ecg_id stands twice.
  static NoteMatrix read(const std::filesystem::path& path, const PackedDataset& dataset);

  std::int64_t size() const { return size_; }  // values a note
  std::int64_t records() const { return static_cast<std::int64_t>(row_of_.size()); }
  std::span<const float> row(std::int64_t record) const;
  // Records whose row is all zeros.
  std::int64_t missing() const { return missing_; }
  // Lets mapped rows leave resident memory; they are read again when touched.
  void release() const;

 private:
  NoteMatrix() = default;
  static NoteMatrix read_folder(const std::filesystem::path& path, const PackedDataset& dataset);
  static NoteMatrix read_safetensors(const std::filesystem::path& path,
                                     const PackedDataset& dataset);
  static NoteMatrix read_matrix(const std::filesystem::path& path, const PackedDataset& dataset);
  void hold(std::vector<float> values);
  void check(const std::string& where, std::span<const std::int32_t> ecg_ids);

  std::span<const float> values_;  // [rows, size]
  std::int64_t size_ = 0;
  std::vector<std::int64_t> row_of_;  // by record; -1: no note
  std::vector<float> zeros_;
  std::int64_t missing_ = 0;
  std::shared_ptr<const std::vector<float>> owner_;  // of values_, where they are not mapped
  // Whose pages values_ are; both null where they lie in memory.
  std::shared_ptr<const SafetensorsFile> file_;
  std::shared_ptr<const PackedDataset> packed_;
};

}  // namespace cardiograd
