#include "trainer/record_notes.h"

#include "data/note_matrix.h"
#include "kernels/error.h"
#include "kernels/text.h"

namespace cardiograd {
namespace {

namespace fs = std::filesystem;

// "00001_lr" -> "1"; "" for a name of another form.
std::string ptbxl_number(const std::string& name) {
  std::int32_t id = 0;
  if (name.size() < 4 || (!name.ends_with("_lr") && !name.ends_with("_hr"))) return "";
  return parse_number(std::string_view(name).substr(0, name.size() - 3), id) ? std::to_string(id)
                                                                             : "";
}

fs::path find_note(const fs::path& folder, const std::string& record) {
  for (const std::string& name : {record, ptbxl_number(record)}) {
    for (const char* ending : {".pt", ".npy", ".safetensors"}) {
      const fs::path file = folder / (name + ending);
      if (!name.empty() && fs::exists(file)) return file;
    }
  }
  return {};
}

std::vector<float> read_checked(const Predictor& predictor, const fs::path& file) {
  std::vector<float> note = read_note(file);
  if (static_cast<std::int64_t>(note.size()) != predictor.note_size()) {
    throw InputError(file.string() + " holds a note of " + std::to_string(note.size()) +
                     " values, but the model wants " + std::to_string(predictor.note_size()));
  }
  return note;
}

}  // namespace

std::vector<std::vector<float>> notes_of(const Predictor& predictor,
                                         std::span<const fs::path> records,
                                         const NoteOptions& options) {
  std::vector<std::vector<float>> notes(records.size());
  if (options.text.empty() && options.embedding.empty()) return notes;
  if (!predictor.reads_notes()) {
    throw InputError("the model " + quote(predictor.architecture()) +
                     " reads no notes: leave --note and --note-embedding out");
  }
  const bool folder = fs::is_directory(options.embedding);
  if (!folder && records.size() != 1) {
    throw InputError("one note is given for " + std::to_string(records.size()) +
                     " records: name a folder with NAME.pt of each record by --note-embedding");
  }
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (!options.text.empty()) {
      notes[i] = predictor.embed(options.text);
      continue;
    }
    const fs::path file =
        folder ? find_note(options.embedding, records[i].stem().string()) : options.embedding;
    if (!file.empty()) notes[i] = read_checked(predictor, file);
  }
  return notes;
}

}  // namespace cardiograd
