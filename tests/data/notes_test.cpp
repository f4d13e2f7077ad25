#include "data/notes.h"

#include <cmath>
#include <gtest/gtest.h>

namespace cardiograd {
namespace {

std::vector<float> embed(const NoteEmbedder& embedder, std::string_view text) {
  std::vector<float> values(note_dimensions, 7.0F);
  embedder.embed(text, values);
  return values;
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double dot = 0;
  for (std::size_t i = 0; i < a.size(); ++i) dot += static_cast<double>(a[i]) * b[i];
  return dot;
}

NoteEmbedder fitted() {
  return NoteEmbedder::fit({"sinusrhythmus normales ekg", "sinusrhythmus linkstyp", "",
                            "sinusrhythmus inferiorer infarkt", "sinus rhythm. normal ecg."});
}

TEST(Notes, NormaliseLowersAndMarksWordBoundaries) {
  EXPECT_EQ(normalise_note("  Normales\t\n EKG "), " normales ekg ");
  EXPECT_EQ(normalise_note("QT-VERLÄNGERUNG"), " qt-verlängerung ");
  EXPECT_EQ(normalise_note("×÷ß"), " ×÷ß ");
  EXPECT_EQ(normalise_note(" \n"), "");
}

TEST(Notes, EmbeddingsHaveLengthOneAndIgnoreCaseAndBlanks) {
  const NoteEmbedder embedder = fitted();
  const auto note = embed(embedder, "Sinusrhythmus   NORMALES ekg");
  EXPECT_NEAR(cosine(note, note), 1.0, 1e-6);
  EXPECT_EQ(note, embed(embedder, "sinusrhythmus normales ekg"));
}

TEST(Notes, EmptyAndUnknownReportsAreZero) {
  const NoteEmbedder embedder = fitted();
  const std::vector<float> zeros(note_dimensions, 0.0F);
  EXPECT_EQ(embed(embedder, ""), zeros);
  EXPECT_EQ(embed(embedder, " \t "), zeros);
  EXPECT_EQ(embed(embedder, "qqqq"), zeros) << "no training report has any of its n-grams";
}

TEST(Notes, SimilarReportsLieCloserAndRareWordsWeighMore) {
  const NoteEmbedder embedder = fitted();
  const auto a = embed(embedder, "sinusrhythmus inferiorer infarkt");
  EXPECT_GT(cosine(a, embed(embedder, "inferiorer infarkt")),
            cosine(a, embed(embedder, "sinusrhythmus")) + 0.1);
  EXPECT_GT(cosine(a, embed(embedder, "sinusrhythmus")),
            cosine(a, embed(embedder, "normal ecg")) + 0.2);
}

TEST(Notes, WeightsAreTheSmoothedInverseDocumentFrequencies) {
  const NoteEmbedder embedder = NoteEmbedder::fit({"a", "a", "", "bcd"});
  // " a " is one n-gram in two of three documents; " bcd " has three, four and five characters:
  // 3 + 2 + 1 n-grams, each in one.
  int common = 0, rare = 0, absent = 0;
  for (const float idf : embedder.idf()) {
    if (idf == 0) ++absent;
    common += idf == static_cast<float>(std::log(4.0 / 3.0) + 1) ? 1 : 0;
    rare += idf == static_cast<float>(std::log(4.0 / 2.0) + 1) ? 1 : 0;
  }
  EXPECT_EQ(common, 1);
  EXPECT_EQ(rare, 6);
  EXPECT_EQ(absent, note_buckets - 7);
}

TEST(Notes, TheStoredWeightsEmbedTheSameWay) {
  const NoteEmbedder first = fitted();
  const NoteEmbedder second(first.idf());
  EXPECT_EQ(embed(first, "linkstyp"), embed(second, "linkstyp"));
}

// The format of a packed file depends on hashing and projection: they must never change unnoticed.
TEST(Notes, TheProjectionIsFixed) {
  const std::vector<float> ones(note_buckets, 1.0F);
  const auto note = embed(NoteEmbedder(ones), "a");  // one n-gram: one entry in each block
  std::vector<int> entries;
  for (int i = 0; i < note_dimensions; ++i) {
    const float value = note[static_cast<std::size_t>(i)];
    if (value == 0) continue;
    EXPECT_EQ(std::abs(value), 0.25F);
    entries.push_back(value < 0 ? -i : i);
  }
  EXPECT_EQ(entries, (std::vector<int>{40, -67, -107, 167, 218, -281, -328, 372, -393, -445, 499,
                                       561, -592, -653, -717, 756}));
}

}  // namespace
}  // namespace cardiograd
