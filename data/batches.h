// Batches of records: gathered from the packed file by one kernel, in a shuffled order that depends
// on (seed, epoch) alone, prepared ahead of the training step on a thread of their own.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "data/labels.h"
#include "data/note_matrix.h"
#include "data/packed.h"
#include "data/shares.h"
#include "nn/tensor.h"

namespace cardiograd {

// Per-lead statistics in mV that standardise a signal: (x - mean) / std.
struct Standardisation {
  std::vector<float> mean;  // [12]; empty: the signal stays in mV
  std::vector<float> std;
};

// Mean and standard deviation of each lead over the given records, missing samples left out. A lead
// that never varies has std 1.
Standardisation lead_statistics(const PackedDataset& dataset,
                                std::span<const std::int32_t> records);

// What a signal is gathered from where the records lie on the device.
struct SignalParts {
  GatherSpec spec;
  Tensor rows;              // i32 [N]: which records
  Tensor partners, shares;  // with mixup: i32 [N], f32 [N]
};

struct Batch {
  Tensor signal;   // [N, length, 12] in Options::dtype; undefined unless asked for
  Tensor notes;    // [N, note_size]; likewise
  Tensor targets;  // f32 [N, classes], 0 or 1; in between where mixup mixed
  Tensor records;  // i32 [N]: what keys the random draws: record + copy * records in the file
  std::int64_t size = 0;
  std::int64_t whole = 0;  // size, and what other processes have of the same batch
  // Instead of the signal, where it was left for who computes: see ExampleSource::signal_of.
  SignalParts parts;
};

// How training batches differ from the records as they are; by default not at all.
struct Augmentation {
  AugmentSpec spec;
  bool only_copies = false;            // whether examples that are no copies stay as they are
  std::vector<std::int32_t> partners;  // the examples that mixup draws from
};

// Where the packed signal is while batches are made of it. On a device that reads the host's
// memory, the mapped file serves; else it is copied to the device once (device), or record by
// record (host).
// When a batch's signal is gathered: by who prepares the batch, or by who computes with it, where
// the records lie on the device (elsewhere: ahead all the same).
enum class GatherTime : std::uint8_t { ahead, later };

enum class Residency : std::uint8_t { automatic, device, host };

// Everything that a batch is made of. Example numbers count the records that the task keeps; number
// example + k * size() is copy k of an example: the same record, with random draws of its own.
class ExampleSource {
 public:
  struct Options {
    bool signal = true;
    bool notes = false;
    Standardisation standardisation;
    std::shared_ptr<const NoteMatrix> note_matrix{};  // null: the packed file's own notes
    std::int64_t length = 0;   // samples of the centre crop (augmented: a random one); 0: all
    DType dtype = DType::f32;  // of signal and notes; what the backend computes in
    // automatic: device where at least half of its free memory stays free.
    Residency residency = Residency::automatic;
  };
  // Throws InputError where notes are asked for and there are none, DeviceError where the signal is
  // to be on the device and does not fit.
  ExampleSource(std::shared_ptr<const PackedDataset> dataset, const LabelTask& task,
                Options options, std::shared_ptr<Backend> backend);

  // Examples whose record lies in one of the folds, ascending.
  std::vector<std::int32_t> examples_in(std::span<const int> folds) const;
  std::vector<std::int32_t> records_of(std::span<const std::int32_t> examples) const;
  // The number of copy 1, 2 ... of an example. Copies count like their originals in records_of()
  // and targets(). Throws InputError where the numbers do not fit into 31 bits.
  std::int32_t copy_of(std::int32_t example, std::int64_t copy) const;
  std::int64_t size() const { return static_cast<std::int64_t>(targets_.records.size()); }
  std::int64_t length() const;  // samples of a signal
  std::int64_t classes() const { return classes_; }
  std::int64_t dropped() const { return targets_.dropped; }
  // Null unless notes are asked for.
  const NoteMatrix* notes() const { return options_.note_matrix.get(); }
  std::span<const float> targets(std::int32_t example) const;
  void set_standardisation(Standardisation standardisation);
  // Whether the signal was copied to the device.
  bool is_resident() const { return resident_.defined(); }

  // May be called from another thread than the one that computes: batches are made on a queue of
  // their own, where the device has one, and are done when this returns. Little of the mapped
  // signal is in the host's memory at any time.
  Batch make(std::span<const std::int32_t> examples, const Augmentation& augmentation = {},
             GatherTime time = GatherTime::ahead) const;
  // The batch's signal, gathered on the queue that computes where it was left for later. Undefined
  // where none was asked for.
  Tensor signal_of(const Batch& batch) const;

 private:
  struct Parts;
  Parts choose(std::span<const std::int32_t> examples, const Augmentation& augmentation) const;
  std::shared_ptr<const PackedDataset> dataset_;
  Options options_;
  void make_resident();
  void gather_mapped(const GatherSpec& spec, const Parts& parts, const Batch& batch) const;
  void gather_copied(const GatherSpec& spec, const Parts& parts, const Batch& batch) const;
  void gather(const SignalParts& parts, const Tensor& records, const Batch& batch,
              const Tensor& signal) const;
  std::shared_ptr<Backend> backend_;
  std::shared_ptr<Backend> queue_;  // where batches are made: beside backend_, or on it
  TaskTargets targets_;
  std::int64_t classes_;
  Tensor scale_, shift_, gain_;
  Tensor resident_;  // the packed signal, where it was copied to the device
};

// The order of `examples` in an epoch: a Fisher-Yates shuffle drawn from Philox (seed, epoch).
std::vector<std::int32_t> shuffled(std::vector<std::int32_t> examples, std::uint64_t seed,
                                   std::uint32_t epoch);

// Hands out the examples of `order` in batches of batch_size (the last one may be smaller), or in
// the given shares of such batches, prepared ahead by one thread. An empty share is a batch of size
// 0. An error of that thread comes out of next().
class BatchLoader {
 public:
  BatchLoader(const ExampleSource& source, std::vector<std::int32_t> order, std::int64_t batch_size,
              Augmentation augmentation = {}, std::size_t ahead = 2);
  BatchLoader(const ExampleSource& source, std::vector<std::int32_t> order,
              std::vector<Share> shares, Augmentation augmentation = {}, std::size_t ahead = 2,
              GatherTime time = GatherTime::ahead);
  BatchLoader(const BatchLoader&) = delete;
  BatchLoader& operator=(const BatchLoader&) = delete;
  ~BatchLoader();

  // False at the end of the order.
  bool next(Batch& batch);

 private:
  void prepare();

  const ExampleSource& source_;
  std::vector<std::int32_t> order_;
  std::vector<Share> shares_;
  Augmentation augmentation_;
  std::size_t ahead_;
  GatherTime time_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> ready_;
  std::exception_ptr error_;
  bool finished_ = false;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace cardiograd
