#include "data/note_matrix.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "data/notes.h"
#include "data/npy.h"
#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/torch_file.h"

namespace cardiograd {

namespace {

// Mapped rows are let go of this often while all are checked.
constexpr std::int64_t records_between_releases = 256;

void check_finite(std::span<const float> note, const std::string& where) {
  const auto bad =
      std::find_if_not(note.begin(), note.end(), [](float value) { return std::isfinite(value); });
  if (bad == note.end()) return;
  throw InputError(where + " has a value that is " + (std::isnan(*bad) ? "nan" : "infinite") +
                   ", at position " + std::to_string(bad - note.begin()));
}

[[noreturn]] void refuse_shape(const std::filesystem::path& path, const std::string& found) {
  throw InputError(path.string() + " holds " + found +
                   ", where one note is wanted: floating values of shape [d] or [1, d]");
}

std::vector<float> read_npy_note(const std::filesystem::path& path) {
  const NpyArray array = read_npy(path);
  const bool vector = array.shape.size() == 1 || (array.shape.size() == 2 && array.shape[0] == 1);
  if (!vector || array.integral) {
    refuse_shape(
        path, (array.integral ? "integers of shape " : "an array of shape ") + array.shape_text());
  }
  return {array.values.begin(), array.values.end()};
}

bool is_floating(TorchDType dtype) {
  return dtype == TorchDType::f64 || dtype == TorchDType::f32 || dtype == TorchDType::f16 ||
         dtype == TorchDType::bf16;
}

std::vector<float> read_torch_note(const std::filesystem::path& path) {
  const TorchValue value = read_torch_file(path);
  if (!value.is(TorchKind::tensor)) refuse_shape(path, std::string(name_of(value.kind())));
  const TorchTensor& tensor = value.as_tensor();
  const Dims& dims = tensor.dims();
  const bool vector = dims.rank() == 1 || (dims.rank() == 2 && dims[0] == 1);
  if (!vector || !is_floating(tensor.dtype())) {
    refuse_shape(path,
                 "a tensor of " + std::string(name_of(tensor.dtype())) + " " + dims.to_string());
  }
  return tensor.values<float>();
}

// The file's only tensor.
std::vector<float> read_safetensors_note(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  if (file.names().size() != 1) {
    refuse_shape(path, std::to_string(file.names().size()) + " tensors");
  }
  const ConstView view = file.view(file.names().front());
  const bool vector = view.dims.rank() == 1 || (view.dims.rank() == 2 && view.dims[0] == 1);
  if (!vector || view.dtype != DType::f32) {
    refuse_shape(path,
                 "a tensor of " + std::string(name_of(view.dtype)) + " " + view.dims.to_string());
  }
  return {view.as<float>(), view.as<float>() + view.numel()};
}

[[noreturn]] void refuse_rows(const std::filesystem::path& path, std::int64_t rows,
                              const PackedDataset& dataset) {
  throw InputError(path.string() + " has " + std::to_string(rows) + " notes, but " +
                   dataset.path().string() + " has " + std::to_string(dataset.records()) +
                   " records; a safetensors file with the tensors notes and ecg_id may have any");
}

}  // namespace

std::vector<float> read_note(const std::filesystem::path& path) {
  const std::filesystem::path ending = path.extension();
  std::vector<float> note = ending == ".npy"           ? read_npy_note(path)
                            : ending == ".safetensors" ? read_safetensors_note(path)
                                                       : read_torch_note(path);
  if (note.empty()) refuse_shape(path, "no values");
  check_finite(note, path.string());
  return note;
}

void NoteRows::add(const std::filesystem::path& path) {
  const std::vector<float> note = read_note(path);
  const auto size = static_cast<std::int64_t>(note.size());
  if (rows_ == 0) {
    size_ = size;
    first_ = path;
  } else if (size != size_) {
    throw InputError(path.string() + " holds a note of " + std::to_string(size) + " values, but " +
                     first_.string() + " has " + std::to_string(size_));
  }
  values_.insert(values_.end(), note.begin(), note.end());
  ++rows_;
}

NoteMatrix NoteMatrix::of(std::shared_ptr<const PackedDataset> dataset) {
  if (!dataset->has_notes()) {
    throw InputError(dataset->path().string() +
                     " holds no note embeddings: run cardiograd prepare again");
  }
  NoteMatrix matrix;
  matrix.values_ = dataset->notes();
  matrix.size_ = note_dimensions;
  matrix.row_of_.resize(static_cast<std::size_t>(dataset->records()));
  std::iota(matrix.row_of_.begin(), matrix.row_of_.end(), 0);
  matrix.packed_ = std::move(dataset);
  matrix.check(matrix.packed_->path().string(), matrix.packed_->ecg_id());
  return matrix;
}

NoteMatrix NoteMatrix::read(const std::filesystem::path& path, const PackedDataset& dataset) {
  if (!std::filesystem::exists(path)) {
    throw InputError("data.notes: " + path.string() +
                     " does not exist; a folder of ECG_ID.pt files, a .safetensors or an .npy file "
                     "is wanted");
  }
  NoteMatrix matrix = std::filesystem::is_directory(path) ? read_folder(path, dataset)
                      : path.extension() == ".npy"        ? read_matrix(path, dataset)
                                                          : read_safetensors(path, dataset);
  if (std::all_of(matrix.row_of_.begin(), matrix.row_of_.end(),
                  [](std::int64_t row) { return row < 0; })) {
    throw InputError(path.string() + " has no note of any record of " + dataset.path().string() +
                     ": notes are found by ecg_id");
  }
  matrix.check(path.string(), dataset.ecg_id());
  return matrix;
}

NoteMatrix NoteMatrix::read_folder(const std::filesystem::path& path,
                                   const PackedDataset& dataset) {
  NoteMatrix matrix;
  NoteRows notes;
  for (const std::int32_t id : dataset.ecg_id()) {
    const std::filesystem::path file = path / (std::to_string(id) + ".pt");
    if (!std::filesystem::exists(file)) {
      matrix.row_of_.push_back(-1);
      continue;
    }
    matrix.row_of_.push_back(notes.rows());
    notes.add(file);
  }
  matrix.size_ = notes.size();
  matrix.hold(std::move(notes.values()));
  return matrix;
}

NoteMatrix NoteMatrix::read_safetensors(const std::filesystem::path& path,
                                        const PackedDataset& dataset) {
  const auto file = std::make_shared<const SafetensorsFile>(path);
  const ConstView notes = file->view("notes");
  if (notes.dims.rank() != 2 || notes.dims[1] == 0 || !cardiograd::is_floating(notes.dtype)) {
    throw InputError(path.string() + ": tensor \"notes\" is " + std::string(name_of(notes.dtype)) +
                     " " + notes.dims.to_string() + ", where floating [n, size] is expected");
  }
  NoteMatrix matrix;
  matrix.size_ = notes.dims[1];
  if (notes.dtype == DType::f32) {
    matrix.values_ = {notes.as<float>(), static_cast<std::size_t>(notes.numel())};
    matrix.file_ = file;
  } else {
    dispatch(notes.dtype, [&](auto element) {
      const auto* from = notes.as<decltype(element)>();
      std::vector<float> values;
      values.reserve(static_cast<std::size_t>(notes.numel()));
      for (std::int64_t i = 0; i < notes.numel(); ++i) {
        values.push_back(static_cast<float>(from[i]));
      }
      matrix.hold(std::move(values));
    });
  }
  if (!file->contains("ecg_id")) {
    if (notes.dims[0] != dataset.records()) refuse_rows(path, notes.dims[0], dataset);
    matrix.row_of_.resize(static_cast<std::size_t>(dataset.records()));
    std::iota(matrix.row_of_.begin(), matrix.row_of_.end(), 0);
    return matrix;
  }
  const auto* ids = file->view("ecg_id", DType::i32, {notes.dims[0]}).as<std::int32_t>();
  std::unordered_map<std::int32_t, std::int64_t> rows;
  for (std::int64_t row = 0; row < notes.dims[0]; ++row) {
    if (!rows.emplace(ids[row], row).second) {
      throw InputError(path.string() + " has two notes of ecg_id " + std::to_string(ids[row]));
    }
  }
  for (const std::int32_t id : dataset.ecg_id()) {
    const auto found = rows.find(id);
    matrix.row_of_.push_back(found == rows.end() ? -1 : found->second);
  }
  return matrix;
}

NoteMatrix NoteMatrix::read_matrix(const std::filesystem::path& path,
                                   const PackedDataset& dataset) {
  const NpyArray array = read_npy(path);
  if (array.shape.size() != 2 || array.shape[1] == 0 || array.integral) {
    throw InputError(
        path.string() + " holds " + (array.integral ? "integers of shape " : "an array of shape ") +
        array.shape_text() + ", where floating values of shape [records, size] are wanted");
  }
  if (array.shape[0] != dataset.records()) refuse_rows(path, array.shape[0], dataset);
  NoteMatrix matrix;
  matrix.size_ = array.shape[1];
  matrix.hold({array.values.begin(), array.values.end()});
  matrix.row_of_.resize(static_cast<std::size_t>(dataset.records()));
  std::iota(matrix.row_of_.begin(), matrix.row_of_.end(), 0);
  return matrix;
}

void NoteMatrix::hold(std::vector<float> values) {
  owner_ = std::make_shared<const std::vector<float>>(std::move(values));
  values_ = *owner_;
}

void NoteMatrix::check(const std::string& where, std::span<const std::int32_t> ecg_ids) {
  zeros_.assign(static_cast<std::size_t>(size_), 0.0F);
  for (std::int64_t record = 0; record < records(); ++record) {
    const std::span<const float> note = row(record);
    check_finite(note, where + ": the note of ecg_id " +
                           std::to_string(ecg_ids[static_cast<std::size_t>(record)]));
    const bool zero = std::all_of(note.begin(), note.end(), [](float v) { return v == 0.0F; });
    if (zero) ++missing_;
    if (record % records_between_releases == 0) release();
  }
  release();
}

std::span<const float> NoteMatrix::row(std::int64_t record) const {
  CG_CHECK(record >= 0 && record < records(),
           "note " + std::to_string(record) + " of " + std::to_string(records()));
  const std::int64_t at = row_of_[static_cast<std::size_t>(record)];
  if (at < 0) return zeros_;
  return values_.subspan(static_cast<std::size_t>(at * size_), static_cast<std::size_t>(size_));
}

void NoteMatrix::release() const {
  if (packed_) packed_->release(0, packed_->records());
  if (file_) {
    file_->release({values_.data(), DType::f32, {static_cast<std::int64_t>(values_.size())}});
  }
}

}  // namespace cardiograd
