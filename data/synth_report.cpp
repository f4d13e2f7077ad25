#include "data/synth_report.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <vector>

#include "data/synth_random.h"
#include "data/synth_statements.h"

namespace cardiograd {
namespace {

struct Replacement {
  std::string_view from;
  std::string_view to;
};

constexpr std::array<Replacement, 12> german_short{{{"sinusrhythmus", "sr"},
                                                    {"kompletter rechtsschenkelblock", "rsb"},
                                                    {"kompletter linksschenkelblock", "lsb"},
                                                    {"linksanteriorer hemiblock", "lah"},
                                                    {"linksposteriorer hemiblock", "lph"},
                                                    {"linksventrikulaere hypertrophie", "lvh"},
                                                    {"ventrikulaere extrasystole", "ves"},
                                                    {"vorhofflimmern", "vhf"},
                                                    {"infarkt", "inf."},
                                                    {"unspezifische", "unspez."},
                                                    {"veraenderungen", "veraend."},
                                                    {"wahrscheinlich", "wahrsch."}}};
constexpr std::array<Replacement, 8> english_short{{{"right bundle branch block", "rbbb"},
                                                    {"left bundle branch block", "lbbb"},
                                                    {"left ventricular hypertrophy", "lvh"},
                                                    {"left anterior hemiblock", "lahb"},
                                                    {"atrial fibrillation", "af"},
                                                    {"sinus rhythm", "sr"},
                                                    {"infarct", "mi"},
                                                    {"non-specific", "nonspec."}}};
constexpr std::array<std::string_view, 6> uninformative{
    "ekg",       "verlaufskontrolle",         "kein vorbefund zum vergleich",
    "see below", "bitte klinisch abgleichen", "routine tracing"};
constexpr std::array<std::string_view, 4> german_endings{
    "bitte kontrolle", "klinik?", "maschinell erstellt, nicht geprueft", "kein vor-ekg"};
constexpr std::array<std::string_view, 3> english_endings{"no previous tracing", "please correlate",
                                                          "machine reading, not reviewed"};

std::string hedged(std::string_view phrase, int likelihood, bool german, SynthRandom& random) {
  const std::string text(phrase);
  switch (likelihood) {
    case 80:
      return german ? text + " wahrscheinlich" : "probable " + text;
    case 50:
      if (german) return random.chance(0.5) ? "verdacht auf " + text : text + " moeglich";
      return "possible " + text;
    case 35:
      return german ? text + " fraglich" : "questionable " + text;
    case 15:
      return german ? text + " nicht auszuschliessen" : "cannot exclude " + text;
    default:
      return text;
  }
}

std::string_view axis_phrase(double axis, bool german) {
  if (axis < -30) return german ? "ueberdrehter linkstyp" : "left axis deviation";
  if (axis < 30) return german ? "linkstyp" : "leftward axis";
  if (axis < 90) return german ? "lagetyp normal" : "normal axis";
  if (axis < 120) return german ? "rechtstyp" : "rightward axis";
  return german ? "ueberdrehter rechtstyp" : "right axis deviation";
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at)) {
    text.replace(at, from.size(), to);
    at += to.size();
  }
}

void slip(std::string& text, SynthRandom& random) {
  const std::size_t at = random.below(text.size());
  const auto letter = [&](std::size_t i) {
    return i < text.size() && std::islower(static_cast<unsigned char>(text[i])) != 0;
  };
  if (!letter(at) || !letter(at + 1)) return;
  if (random.chance(0.5)) {
    std::swap(text[at], text[at + 1]);
  } else {
    text.erase(at, 1);
  }
}

// The phrases in a reader's order: rhythm, axis, then everything else as the plan lists it.
std::vector<std::string> phrases_of(const SynthPlan& plan, double axis, bool german,
                                    SynthRandom& random) {
  std::vector<std::string> phrases;
  for (const SynthFinding& finding : plan.findings) {
    const SynthStatement& statement = synth_statement(finding.code);
    if (statement.rhythm) phrases.emplace_back(german ? statement.german : statement.english);
  }
  if (random.chance(0.5)) phrases.emplace_back(axis_phrase(axis, german));
  for (const SynthFinding& finding : plan.findings) {
    const SynthStatement& statement = synth_statement(finding.code);
    if (statement.rhythm || (!statement.diagnostic && random.chance(0.3))) continue;
    const std::string_view phrase = german ? statement.german : statement.english;
    const bool normal = finding.code == "NORM";
    if (normal && finding.likelihood < 100) {
      phrases.push_back(german ? "sonst noch normgerecht" : "otherwise within normal limits");
    } else if (statement.superclass == "MI" && !plan.acute && random.chance(0.4)) {
      phrases.push_back((german ? "alter " : "old ") +
                        hedged(phrase, finding.likelihood, german, random));
    } else {
      phrases.push_back(hedged(phrase, finding.likelihood, german, random));
    }
  }
  return phrases;
}

}  // namespace

std::string make_synth_report(const SynthPlan& plan, double axis, std::uint64_t seed) {
  SynthRandom random(seed, SynthStream::report, static_cast<std::uint32_t>(plan.record));
  if (random.chance(0.02)) return std::string(uninformative[random.below(uninformative.size())]);
  const bool german = random.chance(0.7);
  const bool sentences = random.chance(german ? 0.15 : 0.85);
  std::vector<std::string> phrases = phrases_of(plan, axis, german, random);
  if (random.chance(0.15)) {
    phrases.emplace_back(german ? german_endings[random.below(german_endings.size())]
                                : english_endings[random.below(english_endings.size())]);
  }
  std::string text;
  for (const std::string& phrase : phrases) {
    if (!text.empty()) text += sentences ? ". " : random.chance(0.25) ? ", " : " ";
    text += phrase;
  }
  if (sentences) text += '.';
  if (random.chance(0.3)) {
    if (german) {
      for (const Replacement& each : german_short) replace_all(text, each.from, each.to);
    } else {
      for (const Replacement& each : english_short) replace_all(text, each.from, each.to);
    }
  }
  if (random.chance(0.08)) slip(text, random);
  if (german && random.chance(0.4)) replace_all(text, "ae", "\u00e4");
  return text;
}

}  // namespace cardiograd
