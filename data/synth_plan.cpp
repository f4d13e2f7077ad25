#include "data/synth_plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <tuple>
#include <utility>

#include "data/synth_statements.h"

namespace cardiograd {
namespace {

struct Weighted {
  std::string_view code;
  double weight;
};

// Which superclasses a record has, in parts of 100 (about as in PTB-XL).
struct Mixture {
  double weight;
  bool norm, mi, sttc, cd, hyp;
};
constexpr std::array<Mixture, 20> mixtures{{
    {41.6, true, false, false, false, false}, {1.2, true, false, false, true, false},
    {0.1, true, false, true, false, false},   {11.6, false, true, false, false, false},
    {11.0, false, false, true, false, false}, {7.8, false, false, false, true, false},
    {2.5, false, false, false, false, true},  {6.0, false, true, false, true, false},
    {3.6, false, false, true, false, true},   {2.75, false, true, true, false, false},
    {2.2, false, false, true, true, false},   {1.4, false, false, false, true, true},
    {1.7, false, true, true, false, true},    {1.0, false, true, true, true, false},
    {1.0, false, false, true, true, true},    {1.0, false, true, true, true, true},
    {0.8, false, true, false, false, true},   {0.6, false, true, false, true, true},
    {1.4, false, false, false, false, false}, {0.5, false, false, false, false, false},
}};

constexpr std::array<Weighted, 14> infarctions{{{"IMI", 2685},
                                                {"ASMI", 2363},
                                                {"ILMI", 479},
                                                {"AMI", 354},
                                                {"ALMI", 290},
                                                {"INJAS", 215},
                                                {"LMI", 201},
                                                {"INJAL", 148},
                                                {"IPLMI", 51},
                                                {"IPMI", 33},
                                                {"INJIN", 18},
                                                {"INJLA", 17},
                                                {"PMI", 17},
                                                {"INJIL", 15}}};
constexpr std::array<Weighted, 13> st_t_changes{{{"NDT", 1829},
                                                 {"NST_", 770},
                                                 {"DIG", 181},
                                                 {"LNGQT", 118},
                                                 {"ISC_", 1275},
                                                 {"ISCAL", 660},
                                                 {"ISCIN", 219},
                                                 {"ISCIL", 179},
                                                 {"ISCAS", 170},
                                                 {"ISCLA", 142},
                                                 {"ANEUR", 104},
                                                 {"EL", 97},
                                                 {"ISCAN", 44}}};
constexpr std::array<Weighted, 11> conduction{{{"LAFB", 1500},
                                               {"IRBBB", 800},
                                               {"1AVB", 460},
                                               {"IVCD", 700},
                                               {"CRBBB", 650},
                                               {"CLBBB", 640},
                                               {"LPFB", 177},
                                               {"WPW", 80},
                                               {"ILBBB", 77},
                                               {"3AVB", 16},
                                               {"2AVB", 14}}};
// What goes with a tracing that is called normal all the same.
constexpr std::array<Weighted, 3> mild_conduction{{{"IRBBB", 60}, {"1AVB", 20}, {"IVCD", 20}}};
constexpr std::array<Weighted, 5> hypertrophy{
    {{"LVH", 2137}, {"LAO/LAE", 427}, {"RVH", 126}, {"RAO/RAE", 99}, {"SEHYP", 30}}};
constexpr std::array<Weighted, 3> strain{{{"ISC_", 55}, {"NDT", 25}, {"ISCAL", 20}}};
constexpr std::array<Weighted, 9> sinus_rhythms{{{"SR", 86},
                                                 {"STACH", 4.2},
                                                 {"SARRH", 4.2},
                                                 {"SBRAD", 3.6},
                                                 {"SVARR", 0.8},
                                                 {"BIGU", 0.4},
                                                 {"SVTAC", 0.15},
                                                 {"PSVT", 0.12},
                                                 {"TRIGU", 0.1}}};
constexpr std::array<Weighted, 3> other_rhythms{{{"AFIB", 80}, {"PACE", 15}, {"AFLT", 5}}};

std::string_view pick(SynthRandom& random, std::span<const Weighted> items) {
  return items[random.pick(items, [](const Weighted& item) { return item.weight; })].code;
}

// A diagnosis: mostly plain, sometimes at the border of normal, and reported with less certainty
// then.
void add_diagnosis(SynthPlan& plan, SynthRandom& random, std::string_view code) {
  if (plan.has(code)) return;
  const double severity =
      random.chance(0.07) ? random.uniform(0.15, 0.5) : random.uniform(0.5, 1.0);
  const double certainty = severity + random.normal(0, 0.12);
  int likelihood = 100;
  if (code != "1AVB" && code != "CLBBB" && code != "CRBBB" && code != "NDT") {
    likelihood = certainty > 0.5 ? 100 : certainty > 0.42 ? 80 : certainty > 0.3 ? 50 : 15;
    if (likelihood == 15 && random.chance(0.3)) likelihood = 35;
  }
  plan.findings.push_back({code, likelihood, severity});
}

void add_unrated(SynthPlan& plan, std::string_view code, double severity) {
  if (!plan.has(code)) plan.findings.push_back({code, 0, severity});
}

void choose_conduction(SynthPlan& plan, SynthRandom& random, bool with_norm) {
  if (with_norm) {
    plan.findings.push_back({pick(random, mild_conduction), 100, random.uniform(0.4, 0.8)});
    return;
  }
  const std::string_view first = pick(random, conduction);
  add_diagnosis(plan, random, first);
  if (first == "CRBBB" && random.chance(0.25)) add_diagnosis(plan, random, "LAFB");
  if (random.chance(0.1) && first != "3AVB" && first != "2AVB" && first != "WPW") {
    add_diagnosis(plan, random, "1AVB");
  }
}

void choose_diagnoses(SynthPlan& plan, SynthRandom& random) {
  const Mixture& mixture =
      mixtures[random.pick(mixtures, [](const Mixture& each) { return each.weight; })];
  if (mixture.norm) {
    const double doubt = random.uniform();
    plan.findings.push_back({"NORM",
                             doubt < 0.74   ? 100
                             : doubt < 0.94 ? 80
                             : doubt < 0.99 ? 50
                                            : 15,
                             0});
  }
  if (mixture.mi) {
    add_diagnosis(plan, random, pick(random, infarctions));
    if (random.chance(0.15)) add_diagnosis(plan, random, pick(random, infarctions));
    plan.acute = random.chance(0.2);
  }
  if (mixture.hyp) {
    const bool left = mixture.sttc && random.chance(0.85);
    add_diagnosis(plan, random, left ? "LVH" : pick(random, hypertrophy));
    if (random.chance(0.12)) add_diagnosis(plan, random, "LAO/LAE");
  }
  if (mixture.sttc) {
    if (mixture.norm) {
      plan.findings.push_back({"NDT", 100, random.uniform(0.2, 0.4)});
    } else {
      add_diagnosis(plan, random,
                    plan.has("LVH") ? pick(random, strain) : pick(random, st_t_changes));
      if (random.chance(0.1)) add_diagnosis(plan, random, pick(random, st_t_changes));
    }
  }
  if (mixture.cd) choose_conduction(plan, random, mixture.norm);
}

void choose_rhythm(SynthPlan& plan, SynthRandom& random) {
  const bool normal = plan.has("NORM");
  const bool silent = plan.findings.empty();
  const bool needs_atria = plan.has("1AVB") || plan.has("2AVB") || plan.has("3AVB") ||
                           plan.has("LAO/LAE") || plan.has("RAO/RAE") || plan.has("WPW");
  // A record without any diagnosis is one whose rhythm hides it: paced or fibrillating.
  const double other = silent ? 0.7 : normal ? 0.004 : plan.age > 60 ? 0.16 : 0.08;
  std::string_view rhythm;
  if (!needs_atria && random.chance(other)) {
    rhythm = silent && random.chance(0.6) ? "PACE" : pick(random, other_rhythms);
    if (!silent && rhythm == "PACE") rhythm = "AFIB";
  } else {
    rhythm = plan.has("2AVB") || plan.has("3AVB") ? "SR" : pick(random, sinus_rhythms);
  }
  double rate = random.normal(72, 10) + (plan.age < 30 ? 4 : 0);
  rate = std::clamp(rate, 60.5, 98.0);
  if (rhythm == "SBRAD") rate = random.uniform(43, 57);
  if (rhythm == "STACH") rate = random.uniform(101, 132);
  if (rhythm == "SVTAC" || rhythm == "PSVT") rate = random.uniform(140, 185);
  if (rhythm == "AFIB") rate = std::clamp(random.normal(92, 22), 55.0, 150.0);
  if (rhythm == "PACE") rate = random.uniform(60, 75);
  plan.rate = rate;
  plan.findings.push_back({rhythm, 0, random.uniform(0.4, 1.0)});
}

void add_forms(SynthPlan& plan, SynthRandom& random) {
  double infarct = 0;
  double st_t = 0;
  for (const SynthFinding& finding : plan.findings) {
    const std::string_view superclass = synth_statement(finding.code).superclass;
    if (superclass == "MI") infarct = std::max(infarct, finding.severity);
    if (superclass == "STTC") st_t = std::max(st_t, finding.severity);
  }
  if (infarct > 0 && random.chance(0.4)) add_unrated(plan, "ABQRS", infarct);
  if (infarct > 0.5 && random.chance(0.14)) add_unrated(plan, "QWAVE", infarct);
  if (infarct > 0.5 && plan.acute && random.chance(0.3)) add_unrated(plan, "STE_", infarct);
  const double depression = std::max(
      {plan.severity("NST_"), plan.severity("ISC_"), plan.severity("ISCAL"), plan.severity("DIG")});
  if (depression > 0.3 && random.chance(0.35)) add_unrated(plan, "STD_", depression);
  if (plan.severity("NDT") > 0.3) {
    const double which = random.uniform();
    if (which < 0.17) add_unrated(plan, "LOWT", st_t);
    if (which > 0.8) add_unrated(plan, "NT_", st_t);
    if (which > 0.5 && which < 0.53) add_unrated(plan, "TAB_", st_t);
  }
  if (plan.severity("ISC_") > 0.6 && random.chance(0.2)) add_unrated(plan, "INVT", st_t);
  if (plan.severity("LVH") > 0.3 && random.chance(0.42)) {
    add_unrated(plan, "VCLVH", plan.severity("LVH"));
  }
  if (plan.has("1AVB") && random.chance(0.3)) add_unrated(plan, "LPR", plan.severity("1AVB"));
  const bool alone = infarct == 0 && !plan.has_superclass("HYP") && !plan.has_superclass("CD");
  if (alone && random.chance(0.011)) add_unrated(plan, "LVOLT", random.uniform(0.5, 1));
  if (alone && !plan.has("LVOLT") && plan.age < 40 && random.chance(0.02)) {
    add_unrated(plan, "HVOLT", random.uniform(0.5, 1));
  }
  if (plan.has("PACE")) return;
  const bool paired = plan.has("BIGU") || plan.has("TRIGU");
  const bool unhurried = plan.rate < 110 && !plan.has("2AVB") && !plan.has("3AVB");
  if (paired || (unhurried && random.chance(plan.has("NORM") ? 0.03 : 0.075))) {
    plan.findings.push_back({"PVC", 100, random.uniform(0.4, 1)});
  } else if (unhurried && !plan.has("AFIB") && !plan.has("AFLT") && random.chance(0.018)) {
    add_unrated(plan, "PAC", random.uniform(0.4, 1));
    if (random.chance(0.05)) add_unrated(plan, "PRC(S)", 1);
  }
}

void choose_patient(SynthPlan& plan, SynthRandom& random) {
  plan.female = random.chance(0.48);
  const bool normal = plan.has("NORM");
  double age = normal ? random.normal(52, 17) : random.normal(67, 13);
  if (random.chance(0.015)) age = random.uniform(89, 96);
  plan.age = std::clamp(std::floor(age), 17.0, 96.0);
  plan.height = random.normal(plan.female ? 162 : 174, 7);
  plan.weight =
      std::clamp(random.normal(plan.female ? 25.5 : 26.5, 3.8) * plan.height * plan.height * 1e-4,
                 42.0, 140.0);
}

void choose_noise(SynthPlan& plan, SynthRandom& random) {
  plan.baseline_drift = random.factor(0.35);
  plan.static_noise = random.factor(0.4);
  if (random.chance(0.07)) plan.baseline_drift *= random.uniform(2.5, 5);
  if (random.chance(0.14)) plan.static_noise *= random.uniform(2.5, 4.5);
  if (random.chance(0.03)) plan.burst_lead = static_cast<int>(random.below(12));
}

// Records stand in groups of eight; within a group a record may belong to the patient of the one
// before. So a record's patient depends on no other group, and on no number of records.
std::pair<std::int64_t, int> patient_of(std::uint64_t seed, std::int64_t record) {
  constexpr std::int64_t group_size = 8;
  const std::int64_t group = (record - 1) / group_size;
  SynthRandom random(seed, SynthStream::grouping, static_cast<std::uint32_t>(group));
  std::int64_t patient = group * group_size + 1;
  for (std::int64_t each = patient + 1; each <= record; ++each) {
    if (!random.chance(0.15)) patient = each;
  }
  return {patient, static_cast<int>(record - patient)};
}

}  // namespace

bool SynthPlan::has(std::string_view code) const {
  return std::any_of(findings.begin(), findings.end(),
                     [&](const SynthFinding& finding) { return finding.code == code; });
}

double SynthPlan::severity(std::string_view code) const {
  for (const SynthFinding& finding : findings) {
    if (finding.code == code) return finding.severity;
  }
  return 0;
}

bool SynthPlan::has_superclass(std::string_view superclass) const {
  return std::any_of(findings.begin(), findings.end(), [&](const SynthFinding& finding) {
    return synth_statement(finding.code).superclass == superclass;
  });
}

SynthPlan plan_synth_record(std::uint64_t seed, std::int64_t record) {
  SynthPlan plan;
  plan.record = record;
  std::tie(plan.patient, plan.visit) = patient_of(seed, record);
  const auto patient = static_cast<std::uint32_t>(plan.patient);
  SynthRandom diagnoses(seed, SynthStream::diagnoses, patient);
  choose_diagnoses(plan, diagnoses);
  SynthRandom person(seed, SynthStream::patient, patient);
  choose_patient(plan, person);
  SynthRandom visit(seed, SynthStream::visit, static_cast<std::uint32_t>(record));
  for (SynthFinding& finding : plan.findings) finding.severity *= visit.uniform(0.9, 1.0);
  choose_rhythm(plan, visit);
  add_forms(plan, visit);
  choose_noise(plan, visit);
  return plan;
}

}  // namespace cardiograd
