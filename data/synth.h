// A PTB-XL look-alike on disk: folders, both CSV files and WFDB records as PhysioNet publishes
// them, from a dipole model of the heart. For trying things out where PTB-XL is not at hand; no
// substitute for it.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>

namespace cardiograd {

struct SynthOptions {
  std::filesystem::path out;  // must not exist, or be an empty folder
  std::int64_t records = 0;   // 1 .. 99,999
  int rate = 0;               // 100, 500, or 0 for both
  std::uint64_t seed = 0;
  std::function<void(std::int64_t done)> progress = {};  // called by one thread at a time
};

struct SynthSummary {
  std::int64_t records = 0;
  std::int64_t patients = 0;
  std::array<std::int64_t, 5> superclass{};  // NORM, MI, STTC, CD, HYP
  std::int64_t without_superclass = 0;
  std::array<std::int64_t, 10> fold{};
};

// Writes the data set with as many threads as OpenMP has. Record k depends on the seed and k alone;
// its fold also on the records before it. Everything is made in a folder beside `out` and renamed
// at the end. Throws InputError for options that do not make sense, a folder that holds something
// and a disk that does not take the files.
SynthSummary make_synth_dataset(const SynthOptions& options);

}  // namespace cardiograd
