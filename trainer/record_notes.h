// The notes that go with records outside of a data set.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "trainer/predictor.h"

namespace cardiograd {

struct NoteOptions {
  std::string text;                 // of the only record; embedded by the model's hashed weights
  std::filesystem::path embedding;  // a file (data/note_matrix.h, read_note) for the only record,
                                    // or a folder with NAME.pt, NAME.npy or NAME.safetensors
};

// One embedding a record, empty where there is none. NAME is the header's without its ending;
// records called like PTB-XL's (00001_lr) may go by their number (1.pt). Throws InputError where
// the model reads no notes, a note is of another length than the model's, or one note is given for
// several records.
std::vector<std::vector<float>> notes_of(const Predictor& predictor,
                                         std::span<const std::filesystem::path> records,
                                         const NoteOptions& options);

}  // namespace cardiograd
