// The embedded note embedding: a clinical report as 768 numbers, without a language model.
//
// 1. The report is lower-cased, runs of blanks become one, and a blank is put on either side, so
// that
//    n-grams see where words begin and end.
// 2. Its n-grams of 3 to 5 characters are counted in 2^16 buckets, each n-gram with a sign of its
//    own: feature hashing (Weinberger et al., "Feature hashing for large scale multitask learning",
//    ICML 2009), where collisions cancel on average.
// 3. A bucket's count is multiplied by its inverse document frequency, ln((1 + N) / (1 + df)) + 1,
//    over the N reports of the training folds; a bucket that no training report has weighs 0.
// 4. A fixed sparse random projection with entries of +1, 0 and -1 takes the buckets to 768 values
//    (Achlioptas, "Database-friendly random projections", JCSS 66(4), 2003), with one non-zero
//    entry in each of 16 blocks of 48 values (Kane and Nelson, "Sparser Johnson-Lindenstrauss
//    transforms", JACM 61(1), 2014). Its entries come from Philox with a constant key.
// 5. The result is scaled to Euclidean length 1.
// Only sums in a fixed order and correctly rounded operations are used after step 3: the same text
// and weights give the same bits on every machine.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cardiograd {

inline constexpr int note_dimensions = 768;
inline constexpr int note_buckets = 1 << 16;

// Steps 1 and its boundaries: "  Normales EKG" -> " normales ekg ". Letters of Latin-1 (as UTF-8)
// and ASCII are lower-cased. A report of blanks alone gives an empty string.
std::string normalise_note(std::string_view text);

class NoteEmbedder {
 public:
  // Weights from the training folds' reports; empty reports count as none.
  static NoteEmbedder fit(const std::vector<std::string_view>& training_reports);
  // With weights that fit() found before: idf is [note_buckets].
  explicit NoteEmbedder(std::span<const float> idf);

  std::span<const float> idf() const { return idf_; }
  // Writes note_dimensions values; zeros for an empty report and for one without any n-gram that
  // the training reports have. May be called from several threads at once.
  void embed(std::string_view text, std::span<float> out) const;

 private:
  std::vector<float> idf_;
  std::vector<std::uint16_t> projection_;  // [note_buckets, 16]: 2 * position + (1: minus)
};

}  // namespace cardiograd
