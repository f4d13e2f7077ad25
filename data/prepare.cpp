#include "data/prepare.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>
#include <unordered_set>
#include <utility>

#include "data/ecg_record.h"
#include "data/labels.h"
#include "data/notes.h"
#include "data/packed.h"
#include "data/ptbxl.h"
#include "data/wfdb.h"
#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/safetensors.h"

namespace cardiograd {
namespace {

constexpr std::int64_t block_records = 256;  // read in parallel, then written in order
constexpr int last_training_fold = 8;

// A row with its signal, or the reason why there is none.
struct LoadedRecord {
  PtbxlRow row;
  std::string file;
  std::vector<std::int16_t> samples;  // [length, 12] in the standard order
  std::vector<float> gain;            // [12]
  std::int64_t changed_samples = 0;   // by denoising
  std::string error;                  // empty: good
};

void check_header(const WfdbHeader& header, int rate) {
  if (header.frequency != rate) {
    throw InputError(header.path.string() + " is sampled at " + shortest_number(header.frequency) +
                     " Hz, where " + std::to_string(rate) + " Hz are expected");
  }
  const std::int64_t length = std::int64_t{rate} * packed_seconds;
  if (header.length != length) {
    throw InputError(header.path.string() + " has " + std::to_string(header.length) +
                     " samples a lead, where " + std::to_string(length) + " (10 s) are expected");
  }
  for (const WfdbSignal& signal : header.signals) {
    if (signal.units != "mV" || signal.baseline != 0) {
      throw InputError(header.path.string() + ", line " + std::to_string(signal.line) + ": lead " +
                       quote(signal.description) +
                       " is not in mV with a baseline of 0, which the packed file needs");
    }
  }
}

void load_signal(const PrepareOptions& options, LoadedRecord& record) {
  const WfdbHeader header = read_wfdb_header(options.root / (record.file + ".hea"));
  const LeadColumns columns = lead_columns(header);
  check_header(header, options.rate);
  read_wfdb_samples(header, record.samples);
  reorder_leads(record.samples, columns);
  record.gain.clear();
  for (const std::size_t column : columns) {
    record.gain.push_back(static_cast<float>(header.signals[column].gain));
  }
  record.changed_samples = 0;
  if (!options.denoise) return;
  const std::vector<std::int16_t> noisy = record.samples;
  denoise_record(*options.denoise, packed_leads, record.samples);
  for (std::size_t i = 0; i < noisy.size(); ++i) {
    record.changed_samples += noisy[i] != record.samples[i] ? 1 : 0;
  }
}

void load_record(const PrepareOptions& options, const PtbxlDatabase& database, std::size_t index,
                 LoadedRecord& record) {
  record.error.clear();
  record.file.clear();
  try {
    record.row = database.row(index);
    record.file = options.rate == 100 ? record.row.filename_lr : record.row.filename_hr;
    load_signal(options, record);
  } catch (const std::exception& error) {  // nothing may leave a parallel region
    record.error = error.what();
  }
}

CsvTable read_table(const std::filesystem::path& root, const char* file) {
  if (!std::filesystem::exists(root / file)) {
    throw InputError(root.string() + " has no " + file +
                     "; --root must be the folder of PTB-XL, with ptbxl_database.csv, "
                     "scp_statements.csv, records100/ and records500/");
  }
  return CsvTable::read(root / file);
}

// Everything of the packed file but the signal, row by row.
struct Columns {
  std::vector<float> likelihood, age;
  std::vector<std::int32_t> ecg_id, patient_id, report_offsets{0};
  std::vector<std::uint8_t> fold, sex, validated;
  std::string reports;

  std::string_view report(std::size_t record) const {
    const auto begin = static_cast<std::size_t>(report_offsets[record]);
    return std::string_view(reports).substr(
        begin, static_cast<std::size_t>(report_offsets[record + 1]) - begin);
  }

  void add(const PtbxlRow& row, std::size_t statements) {
    likelihood.resize(likelihood.size() + statements, statement_absent);
    for (const auto& [statement, value] : row.statements) {
      likelihood[likelihood.size() - statements + static_cast<std::size_t>(statement)] = value;
    }
    age.push_back(row.age);
    ecg_id.push_back(row.ecg_id);
    patient_id.push_back(row.patient_id);
    fold.push_back(row.fold);
    sex.push_back(row.sex);
    validated.push_back(row.validated_by_human ? 1 : 0);
    reports += row.report;
    report_offsets.push_back(static_cast<std::int32_t>(reports.size()));
  }
};

class Packer {
 public:
  explicit Packer(const PrepareOptions& options)
      : options_(options),
        statements_(parse_scp_statements(read_table(options.root, "scp_statements.csv"))),
        database_(read_table(options.root, "ptbxl_database.csv"), statements_) {
    summary_.rows = static_cast<std::int64_t>(database_.size());
    summary_.statements = static_cast<std::int64_t>(statements_.size());
  }

  PrepareSummary run(const PrepareProgress& progress) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<LoadedRecord> block(
        static_cast<std::size_t>(std::min(block_records, summary_.rows)));
    for (std::int64_t first = 0; first < summary_.rows; first += block_records) {
      const std::int64_t count = std::min(block_records, summary_.rows - first);
#pragma omp parallel for schedule(dynamic, 4)
      for (std::int64_t i = 0; i < count; ++i) {
        load_record(options_, database_, static_cast<std::size_t>(first + i),
                    block[static_cast<std::size_t>(i)]);
      }
      for (std::int64_t i = 0; i < count; ++i) {
        take(static_cast<std::size_t>(first + i), block[static_cast<std::size_t>(i)]);
      }
      if (progress) progress(first + count, summary_.rows);
    }
    if (!writer_) {
      throw InputError("none of the " + std::to_string(summary_.rows) + " rows of " +
                       (options_.root / "ptbxl_database.csv").string() + " could be packed" +
                       (summary_.rejected.empty()
                            ? ""
                            : "; the first one: " + summary_.rejected.front().reason));
    }
    finish();
    summary_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return std::move(summary_);
  }

 private:
  // What only the order of the records can tell.
  void check_against_others(LoadedRecord& record) {
    if (!record.error.empty()) return;
    if (ids_.contains(record.row.ecg_id)) {
      record.error = place(record) + "the ecg_id " + std::to_string(record.row.ecg_id) +
                     " stands in an earlier row already";
    } else if (writer_ && record.gain != gain_) {
      record.error = (options_.root / record.file).string() +
                     ".hea has another gain than the records before it, which one packed file "
                     "cannot hold";
    } else if (columns_.reports.size() + record.row.report.size() >
               static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
      record.error = place(record) + "the reports together are longer than 2 GiB";
    }
  }

  std::string place(const LoadedRecord& record) const {
    return (options_.root / "ptbxl_database.csv").string() + ", line " +
           std::to_string(record.row.line) + ": ";
  }

  void take(std::size_t index, LoadedRecord& record) {
    check_against_others(record);
    if (!record.error.empty()) {
      if (!options_.keep_going) throw InputError(record.error);
      summary_.rejected.push_back(
          {std::string(database_.raw_id(index)), record.file, record.error});
      return;
    }
    if (!writer_) open_writer(record.gain);
    writer_->append("signal", record.samples.data(), record.samples.size() * sizeof(std::int16_t));
    summary_.missing_samples +=
        std::count(record.samples.begin(), record.samples.end(), missing_sample);
    summary_.changed_samples += record.changed_samples;
    columns_.add(record.row, statements_.size());
    ids_.insert(record.row.ecg_id);
    ++summary_.by_fold[record.row.fold];
    ++summary_.records;
  }

  // Every row of the table may turn out good; finish() takes off what was rejected.
  void open_writer(const std::vector<float>& gain) {
    gain_ = gain;
    const std::int64_t rows = summary_.rows;
    const std::int64_t length = std::int64_t{options_.rate} * packed_seconds;
    std::vector<TensorSpec> specs = {
        {"signal", DType::i16, {rows, length, packed_leads}},
        {"likelihood", DType::f32, {rows, summary_.statements}},
        {"age", DType::f32, {rows}},
        {"notes", DType::f32, {rows, note_dimensions}},
        {"note_idf", DType::f32, {note_buckets}},
        {"ecg_id", DType::i32, {rows}},
        {"patient_id", DType::i32, {rows}},
        {"report_offsets", DType::i32, {rows + 1}},
        {"fold", DType::u8, {rows}},
        {"sex", DType::u8, {rows}},
        {"validated", DType::u8, {rows}},
        {"report_bytes", DType::u8, {std::numeric_limits<std::int32_t>::max()}}};
    std::filesystem::path root = options_.root.lexically_normal();
    if (!root.has_filename()) root = root.parent_path();
    writer_.emplace(options_.out, std::move(specs),
                    packed_metadata({options_.rate, gain_, statements_, root.filename().string(),
                                     options_.denoise}));
  }

  template <class T>
  void write_column(const char* name, const std::vector<T>& values, std::int64_t rows) {
    writer_->shrink(name, rows);
    writer_->append(name, values.data(), values.size() * sizeof(T));
  }

  void write_notes() {
    std::vector<std::string_view> training;
    const auto records = static_cast<std::size_t>(summary_.records);
    for (std::size_t record = 0; record < records; ++record) {
      if (columns_.fold[record] <= last_training_fold) training.push_back(columns_.report(record));
    }
    const NoteEmbedder embedder = NoteEmbedder::fit(training);
    std::vector<float> block(static_cast<std::size_t>(block_records) * note_dimensions);
    writer_->shrink("notes", summary_.records);
    for (std::size_t first = 0; first < records; first += block_records) {
      const std::size_t count = std::min<std::size_t>(block_records, records - first);
#pragma omp parallel for schedule(dynamic, 16)
      for (std::size_t i = 0; i < count; ++i) {
        embedder.embed(columns_.report(first + i),
                       std::span(block).subspan(i * note_dimensions, note_dimensions));
      }
      writer_->append("notes", block.data(), count * note_dimensions * sizeof(float));
    }
    for (std::size_t record = 0; record < records; ++record) {
      if (normalise_note(columns_.report(record)).empty()) ++summary_.empty_notes;
    }
    writer_->append("note_idf", embedder.idf().data(), embedder.idf().size_bytes());
  }

  void finish() {
    const std::int64_t records = summary_.records;
    writer_->shrink("signal", records);
    write_column("likelihood", columns_.likelihood, records);
    write_column("age", columns_.age, records);
    write_notes();
    write_column("ecg_id", columns_.ecg_id, records);
    write_column("patient_id", columns_.patient_id, records);
    write_column("report_offsets", columns_.report_offsets, records + 1);
    write_column("fold", columns_.fold, records);
    write_column("sex", columns_.sex, records);
    write_column("validated", columns_.validated, records);
    const auto report_bytes = static_cast<std::int64_t>(columns_.reports.size());
    writer_->shrink("report_bytes", report_bytes);
    writer_->append("report_bytes", columns_.reports.data(), columns_.reports.size());
    if (options_.keep_going) write_report();
    writer_->finish();
    summary_.bytes = std::filesystem::file_size(options_.out);
    count_labels();
  }

  void write_report() {
    summary_.report = options_.out.string() + ".rejected.csv";
    std::string text = "ecg_id,file,reason\n";
    for (const RejectedRecord& record : summary_.rejected) {
      text += csv_field(record.ecg_id) + "," + csv_field(record.file) + "," +
              csv_field(record.reason) + "\n";
    }
    write_file(summary_.report, text);
  }

  void count_labels() {
    for (const std::string& name : task_names()) {
      const LabelTask task = make_task(name, statements_);
      summary_.unlabelled[name] = make_targets(task, columns_.likelihood).dropped;
    }
    for (std::size_t statement = 0; statement < statements_.size(); ++statement) {
      bool used = false;
      for (std::size_t at = statement; at < columns_.likelihood.size() && !used;
           at += statements_.size()) {
        used = columns_.likelihood[at] >= 0;
      }
      summary_.statements_used += used ? 1 : 0;
    }
  }

  const PrepareOptions& options_;
  std::vector<ScpStatement> statements_;
  PtbxlDatabase database_;
  PrepareSummary summary_;
  Columns columns_;
  std::unordered_set<std::int32_t> ids_;
  std::vector<float> gain_;
  std::optional<SafetensorsWriter> writer_;  // from the first good record on
};

}  // namespace

PrepareSummary prepare(const PrepareOptions& options, const PrepareProgress& progress) {
  if (options.rate != 100 && options.rate != 500) {
    throw InputError("PTB-XL has records at 100 and at 500 Hz, not at " +
                     std::to_string(options.rate));
  }
  return Packer(options).run(progress);
}

}  // namespace cardiograd
