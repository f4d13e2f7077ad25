#include "data/synth.h"

#include <atomic>
#include <exception>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <vector>

#include "data/synth_plan.h"
#include "data/synth_signal.h"
#include "data/synth_table.h"
#include "data/wfdb.h"
#include "kernels/error.h"
#include "nn/atomic_file.h"

namespace cardiograd {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 5> superclasses{"NORM", "MI", "STTC", "CD", "HYP"};
constexpr std::int64_t most_records = 99'999;  // PTB-XL's names have five digits

// The folder that everything is made in; removed unless it got its final name.
class PartialFolder {
 public:
  explicit PartialFolder(const fs::path& target)
      : target_(target), path_(target.string() + ".partial-" + std::to_string(getpid())) {
    std::error_code error;
    fs::create_directories(path_, error);
    if (error) {
      throw InputError("Cannot make the folder " + path_.string() + ": " + error.message() + ".");
    }
  }
  ~PartialFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;

  const fs::path& path() const { return path_; }
  void commit() {
    sync();
    std::error_code error;
    fs::rename(path_, target_, error);
    if (error) {
      throw InputError("Cannot give the finished data set its name " + target_.string() + ": " +
                       error.message() + ".");
    }
    path_.clear();
  }

 private:
  // One flush of the file system in place of one a file: there may be 40,000 of them.
  void sync() const {
    const int folder = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool synced = folder >= 0 && syncfs(folder) == 0;
    if (folder >= 0) close(folder);
    if (!synced) {
      throw InputError("The disk did not take all of " + path_.string() +
                       ": check its free space and health.");
    }
  }

  fs::path target_;
  fs::path path_;
};

fs::path checked_target(const SynthOptions& options) {
  if (options.out.empty()) {
    throw InputError("The synthetic data set needs a folder: give one with --out DIR.");
  }
  if (options.records < 1 || options.records > most_records) {
    throw InputError("--records is " + std::to_string(options.records) +
                     ", but must be between 1 and 99999.");
  }
  if (options.rate != 0 && options.rate != 100 && options.rate != 500) {
    throw InputError("--rate is " + std::to_string(options.rate) +
                     ", but must be 100 or 500; leave it out for both.");
  }
  fs::path target = fs::absolute(options.out).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();  // "DIR/"
  std::error_code error;
  if (fs::exists(fs::symlink_status(target, error)) &&
      (!fs::is_directory(fs::symlink_status(target, error)) || !fs::is_empty(target, error) ||
       error)) {
    throw InputError("--out " + options.out.string() +
                     " already holds something: name a folder that is new or empty.");
  }
  return target;
}

SynthSummary write_tables(const fs::path& folder, const SynthOptions& options) {
  write_file(folder / "scp_statements.csv", synth_statement_table());
  AtomicFile database(folder / "ptbxl_database.csv");
  database.write(synth_database_header());
  SynthSummary summary;
  SynthFolds folds;
  for (std::int64_t record = 1; record <= options.records; ++record) {
    const SynthPlan plan = plan_synth_record(options.seed, record);
    const int fold = folds.assign(plan);
    database.write(synth_database_row(plan, fold, options.seed));
    ++summary.records;
    summary.patients += plan.visit == 0;
    ++summary.fold[static_cast<std::size_t>(fold) - 1];
    bool any = false;
    for (std::size_t i = 0; i < superclasses.size(); ++i) {
      const bool has = plan.has_superclass(superclasses[i]);
      summary.superclass[i] += has;
      any = any || has;
    }
    summary.without_superclass += !any;
  }
  database.commit();
  return summary;
}

void write_record(const fs::path& folder, const SynthOptions& options, std::int64_t record) {
  static const std::vector<std::string> leads{"I",  "II", "III", "AVR", "AVL", "AVF",
                                              "V1", "V2", "V3",  "V4",  "V5",  "V6"};
  const SynthSignal signal =
      make_synth_signal(plan_synth_record(options.seed, record), options.seed);
  for (const int rate : {100, 500}) {
    if (options.rate != 0 && options.rate != rate) continue;
    write_wfdb_record(folder / synth_record_name(record, rate), rate, 1000, leads,
                      rate == 100 ? signal.low : signal.high);
  }
}

void make_record_folders(const fs::path& folder, const SynthOptions& options) {
  for (std::int64_t record = 0; record <= options.records; record += 1000) {
    for (const int rate : {100, 500}) {
      if (options.rate != 0 && options.rate != rate) continue;
      const fs::path each = (folder / synth_record_name(record, rate)).parent_path();
      std::error_code error;
      fs::create_directories(each, error);
      if (error) {
        throw InputError("Cannot make the folder " + each.string() + ": " + error.message() + ".");
      }
    }
  }
}

void write_records(const fs::path& folder, const SynthOptions& options) {
  make_record_folders(folder, options);
  std::exception_ptr failure;
  std::atomic<bool> failed = false;
  std::int64_t done = 0;
#pragma omp parallel for schedule(dynamic, 16)
  for (std::int64_t record = 1; record <= options.records; ++record) {
    if (failed) continue;
    try {
      write_record(folder, options, record);
#pragma omp critical(cardiograd_synth_progress)
      {
        ++done;
        if (options.progress) options.progress(done);
      }
    } catch (...) {
#pragma omp critical(cardiograd_synth_failure)
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

SynthSummary make_synth_dataset(const SynthOptions& options) {
  const fs::path target = checked_target(options);
  PartialFolder folder(target);
  const SynthSummary summary = write_tables(folder.path(), options);
  write_records(folder.path(), options);
  folder.commit();
  return summary;
}

}  // namespace cardiograd
