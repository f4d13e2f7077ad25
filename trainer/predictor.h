// cardiograd predict: a trained model on single records.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/ecg_record.h"
#include "trainer/checkpoint.h"

namespace cardiograd {

struct PredictorOptions {
  // A checkpoint's or a run's folder; or weights alone, a .safetensors or PyTorch file: they expect
  // mV, not standardised.
  std::filesystem::path model;
  std::string architecture;          // of weights alone; empty: told by their names and shapes
  std::vector<std::string> classes;  // of weights alone; empty: CD, HYP, MI, NORM, STTC
  std::string device = "cpu";        // as make_backend takes it; in f32 on each
};

class Predictor {
 public:
  // Throws InputError where there is no such model, where weights fit none or several
  // architectures, or where the options contradict a checkpoint.
  explicit Predictor(const PredictorOptions& options);

  const std::string& architecture() const { return options_.name; }
  const std::vector<std::string>& classes() const { return classes_; }
  bool reads_notes() const { return reads_notes_; }
  std::int64_t note_size() const { return options_.note_size; }
  // The architecture was guessed: worth a word to the user.
  bool guessed() const { return guessed_; }

  // With what the model's training records went through (denoising). Throws InputError where the
  // record's rate or length is not the model's.
  EcgRecord read(const std::filesystem::path& record) const;
  // The model's hashed embedding of a report. Throws InputError where the model has none.
  std::vector<float> embed(const std::string& note) const;
  // One probability a class. note: note_size() values, or empty: zeros stand for it. Missing
  // samples count as 0 (after standardisation), as in training.
  std::vector<double> operator()(const EcgRecord& record, std::span<const float> note) const;

 private:
  void open_checkpoint(const std::filesystem::path& folder, const PredictorOptions& options);
  void open_weights(const std::filesystem::path& file, const PredictorOptions& options);
  Tensor signal_tensor(const EcgRecord& record) const;

  std::shared_ptr<Backend> backend_;
  std::filesystem::path path_;
  ModelOptions options_;
  std::unique_ptr<Classifier> model_;
  std::vector<std::string> classes_;
  Standardisation standardisation_;
  std::optional<DenoiseSpec> denoise_;
  std::vector<float> note_idf_;
  std::int64_t rate_ = 100;     // Hz
  std::int64_t length_ = 1000;  // samples of a record; the model may see the centre of it alone
  bool reads_signal_ = true;
  bool reads_notes_ = false;
  bool checkpoint_ = false;
  bool guessed_ = false;
};

}  // namespace cardiograd
