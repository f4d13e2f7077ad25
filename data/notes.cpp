#include "data/notes.h"

#include <cmath>
#include <utility>

#include "kernels/error.h"
#include "kernels/philox.h"

namespace cardiograd {
namespace {

constexpr int shortest = 3;  // characters of an n-gram
constexpr int longest = 5;
constexpr int blocks = 16;
constexpr int block_size = note_dimensions / blocks;
constexpr std::uint32_t projection_key = 0x6e6f7465U;  // "note"

struct BucketCount {
  std::uint32_t bucket;
  float count;
};

// Signed counts of one text after the other, in the order in which its buckets are first met.
class NgramCounter {
 public:
  NgramCounter() : slot_(note_buckets, -1) {}

  const std::vector<BucketCount>& count(std::string_view text) {
    for (const BucketCount& entry : counts_) slot_[entry.bucket] = -1;
    counts_.clear();
    const std::string note = normalise_note(text);
    find_characters(note);
    for (std::size_t begin = 0; begin + 1 < starts_.size(); ++begin) add_ngrams_at(note, begin);
    return counts_;
  }

 private:
  // Where each character begins, and the end: bytes 10xxxxxx continue a UTF-8 character.
  void find_characters(std::string_view note) {
    starts_.clear();
    for (std::size_t at = 0; at < note.size(); ++at) {
      if ((static_cast<unsigned char>(note[at]) & 0xC0U) != 0x80U) starts_.push_back(at);
    }
    starts_.push_back(note.size());
  }

  void add_ngrams_at(std::string_view note, std::size_t begin) {
    std::uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a, shared by the n-grams that begin here
    std::size_t at = starts_[begin];
    for (int length = 1; length <= longest && begin + length < starts_.size(); ++length) {
      for (; at < starts_[begin + length]; ++at) {
        hash = (hash ^ static_cast<unsigned char>(note[at])) * 0x100000001b3U;
      }
      if (length >= shortest) add(hash);
    }
  }

  void add(std::uint64_t hash) {
    // FNV's upper bits are weak in short texts: mix them (the finaliser of MurmurHash3).
    hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdU;
    hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53U;
    hash ^= hash >> 33;
    const auto bucket = static_cast<std::uint32_t>(hash % note_buckets);
    const float sign = (hash >> 63) != 0 ? -1.0F : 1.0F;
    if (slot_[bucket] < 0) {
      slot_[bucket] = static_cast<int>(counts_.size());
      counts_.push_back({bucket, 0.0F});
    }
    counts_[static_cast<std::size_t>(slot_[bucket])].count += sign;
  }

  std::vector<int> slot_;  // [note_buckets]: place in counts_, or -1
  std::vector<BucketCount> counts_;
  std::vector<std::size_t> starts_;
};

// One block's entry takes 16 random bits: a position and, in the lowest, the sign.
std::vector<std::uint16_t> make_projection() {
  std::vector<std::uint16_t> table(static_cast<std::size_t>(note_buckets) * blocks);
  for (std::uint32_t bucket = 0; bucket < note_buckets; ++bucket) {
    for (std::uint32_t block = 0; block < blocks; ++block) {
      const Philox::Words words = Philox::draw({bucket, block / 8, 0, 0}, projection_key, 0);
      const std::uint32_t bits = words[block % 8 / 2] >> (block % 2 * 16) & 0xffffU;
      const std::uint32_t position = block * block_size + ((bits >> 1) * block_size >> 15);
      table[bucket * blocks + block] = static_cast<std::uint16_t>(2 * position + (bits & 1U));
    }
  }
  return table;
}

}  // namespace

std::string normalise_note(std::string_view text) {
  std::string note;
  bool blank = true;
  unsigned char previous = 0;
  for (const char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (byte == ' ' || (byte >= '\t' && byte <= '\r')) {
      blank = true;
      previous = byte;
      continue;
    }
    if (byte >= 'A' && byte <= 'Z') byte += 'a' - 'A';
    // U+00C0 to U+00DE, without the multiplication sign, are 0xC3 and one of these.
    if (previous == 0xC3 && byte >= 0x80 && byte <= 0x9E && byte != 0x97) byte += 0x20;
    if (blank) note += ' ';
    blank = false;
    note += static_cast<char>(byte);
    previous = byte;
  }
  if (!note.empty()) note += ' ';
  return note;
}

NoteEmbedder NoteEmbedder::fit(const std::vector<std::string_view>& training_reports) {
  std::vector<int> frequency(note_buckets);
  int documents = 0;
  NgramCounter counter;
  for (const std::string_view report : training_reports) {
    const auto& counts = counter.count(report);
    if (counts.empty()) continue;
    ++documents;
    for (const BucketCount& entry : counts) ++frequency[entry.bucket];
  }
  std::vector<float> idf(note_buckets);
  for (std::size_t bucket = 0; bucket < idf.size(); ++bucket) {
    if (frequency[bucket] == 0) continue;
    idf[bucket] = static_cast<float>(std::log((1.0 + documents) / (1.0 + frequency[bucket])) + 1.0);
  }
  return NoteEmbedder(idf);
}

NoteEmbedder::NoteEmbedder(std::span<const float> idf)
    : idf_(idf.begin(), idf.end()), projection_(make_projection()) {
  CG_CHECK(idf.size() == note_buckets, "note weights must be [" + std::to_string(note_buckets) +
                                           "], got " + std::to_string(idf.size()));
}

void NoteEmbedder::embed(std::string_view text, std::span<float> out) const {
  CG_CHECK(out.size() == note_dimensions, "a note embedding has 768 values");
  thread_local NgramCounter counter;
  std::fill(out.begin(), out.end(), 0.0F);
  for (const BucketCount& entry : counter.count(text)) {
    const float weight = entry.count * idf_[entry.bucket];
    if (weight == 0.0F) continue;
    const std::uint16_t* row = &projection_[static_cast<std::size_t>(entry.bucket) * blocks];
    for (int block = 0; block < blocks; ++block) {
      out[row[block] >> 1] += (row[block] & 1U) != 0 ? -weight : weight;
    }
  }
  double squares = 0;
  for (const float value : out) squares += static_cast<double>(value) * value;
  if (squares == 0) return;
  const double norm = std::sqrt(squares);
  for (float& value : out) value = static_cast<float>(value / norm);
}

}  // namespace cardiograd
