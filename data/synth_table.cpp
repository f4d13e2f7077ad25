#include "data/synth_table.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string_view>

#include "data/csv.h"
#include "data/synth_beat.h"
#include "data/synth_report.h"
#include "data/synth_statements.h"

namespace cardiograd {
namespace {

constexpr std::array<std::string_view, 5> superclasses{"NORM", "MI", "STTC", "CD", "HYP"};
constexpr std::array<std::string_view, 12> lead_names{"I",  "II", "III", "AVR", "AVL", "AVF",
                                                      "V1", "V2", "V3",  "V4",  "V5",  "V6"};
constexpr std::array<std::string_view, 4> devices{"CS-12", "CS100    3", "AT-6 C 5.5",
                                                  "AT-60    3"};

std::string one_decimal(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

std::string whole(double value) { return one_decimal(std::round(value)); }

std::string timestamp(const SynthPlan& plan, std::uint64_t seed, SynthRandom& random) {
  SynthRandom first(seed, SynthStream::table, static_cast<std::uint32_t>(plan.patient));
  const int day = static_cast<int>(first.below(5900)) + 40 * plan.visit +
                  (plan.visit > 0 ? static_cast<int>(random.below(30)) : 0);
  const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::year{1985} / 1 / 2} +
                                         std::chrono::days{day}};
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02u-%02u %02u:%02u:%02u",
                static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<unsigned>(7 + random.below(12)),
                static_cast<unsigned>(random.below(60)), static_cast<unsigned>(random.below(60)));
  return text.data();
}

std::string scp_codes(const SynthPlan& plan) {
  std::string text = "{";
  for (const SynthFinding& finding : plan.findings) {
    if (text.size() > 1) text += ", ";
    text.append("'").append(finding.code).append("': ").append(one_decimal(finding.likelihood));
  }
  return text + "}";
}

std::string_view axis_code(double axis) {
  if (axis < -30) return "ALAD";
  if (axis < 30) return "LAD";
  if (axis < 90) return "MID";
  return axis < 120 ? "RAD" : "ARAD";
}

std::string_view stadium(const SynthPlan& plan, SynthRandom& random) {
  if (!plan.has_superclass("MI")) return "";
  if (random.chance(0.5)) return "unknown";
  if (plan.acute) return random.chance(0.7) ? "Stadium I" : "Stadium I-II";
  return random.chance(0.55) ? "Stadium III" : "Stadium II-III";
}

std::string extra_beats(const SynthPlan& plan, SynthRandom& random) {
  if (plan.has("PVC"))
    return random.chance(0.5) ? "VES" : std::to_string(1 + random.below(4)) + "ES";
  return plan.has("PAC") ? "SVES" : "";
}

}  // namespace

int SynthFolds::assign(const SynthPlan& plan) {
  std::array<bool, groups> member{};
  member.back() = true;
  for (std::size_t i = 0; i < superclasses.size(); ++i)
    member[i] = plan.has_superclass(superclasses[i]);
  if (plan.patient != patient_) {
    patient_ = plan.patient;
    double least = 0;
    for (std::size_t step = 0; step < counts_.size(); ++step) {
      const std::size_t fold = (static_cast<std::size_t>(plan.patient) + step) % counts_.size();
      double score = 0;
      for (std::size_t i = 0; i < groups; ++i) {
        if (member[i]) score += counts_[fold][i] / (totals_[i] + 1);
      }
      if (step == 0 || score < least) {
        least = score;
        fold_ = fold;
      }
    }
  }
  for (std::size_t i = 0; i < groups; ++i) {
    counts_[fold_][i] += member[i];
    totals_[i] += member[i];
  }
  return static_cast<int>(fold_) + 1;
}

std::string synth_record_name(std::int64_t record, int rate) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "records%d/%05lld/%05lld_%s", rate,
                static_cast<long long>(record / 1000 * 1000), static_cast<long long>(record),
                rate == 100 ? "lr" : "hr");
  return text.data();
}

std::string synth_statement_table() {
  std::string text =
      ",description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass,Statement "
      "Category,SCP-ECG Statement Description,AHA code,aECG REFID,CDISC Code,DICOM Code\n";
  for (const SynthStatement& each : synth_statements()) {
    const auto flag = [](bool set) { return std::string(set ? "1.0" : ""); };
    text += csv_field(each.code) + "," + csv_field(each.description) + "," + flag(each.diagnostic) +
            "," + flag(each.form) + "," + flag(each.rhythm) + "," + csv_field(each.superclass) +
            "," + csv_field(each.subclass) + "," + csv_field(each.category) + "," +
            csv_field(each.description) + ",,,,\n";
  }
  return text;
}

std::string synth_database_header() {
  return "ecg_id,patient_id,age,sex,height,weight,nurse,site,device,recording_date,report,scp_"
         "codes,"
         "heart_axis,infarction_stadium1,infarction_stadium2,validated_by,second_opinion,"
         "initial_autogenerated_report,validated_by_human,baseline_drift,static_noise,burst_noise,"
         "electrodes_problems,extra_beats,pacemaker,strat_fold,filename_lr,filename_hr\n";
}

std::string synth_database_row(const SynthPlan& plan, int fold, std::uint64_t seed) {
  SynthRandom random(seed, SynthStream::table, static_cast<std::uint32_t>(plan.record));
  random.word();  // the first word of a patient's first record is that patient's first date
  const double axis = build_synth_heart(plan, seed).axis;
  const auto lead = [&] { return std::string(lead_names[random.below(lead_names.size())]); };
  const bool drift = plan.baseline_drift > 2;
  const bool noisy = plan.static_noise > 2;
  const bool human = random.chance(0.74);
  std::string row;
  const auto add = [&row](std::string_view field) { row += csv_field(field) + ","; };
  add(std::to_string(plan.record));
  add(one_decimal(static_cast<double>(plan.patient)));
  add(random.chance(0.003) ? "" : plan.age > 89 ? "300.0" : whole(plan.age));
  add(plan.female ? "1" : "0");
  add(random.chance(0.68) ? "" : whole(plan.height));
  add(random.chance(0.56) ? "" : whole(plan.weight));
  add(random.chance(0.07) ? "" : whole(static_cast<double>(random.below(12))));
  add(whole(static_cast<double>(random.below(3))));
  add(devices[random.below(devices.size())]);
  add(timestamp(plan, seed, random));
  add(make_synth_report(plan, axis, seed));
  add(scp_codes(plan));
  add(random.chance(0.4) ? "" : axis_code(axis));
  add(stadium(plan, random));
  add("");
  add(human ? whole(static_cast<double>(random.below(3))) : "");
  add(random.chance(0.03) ? "True" : "False");
  add(human ? "False" : "True");
  add(human ? "True" : "False");
  add(drift ? " , " + lead() : "");
  add(noisy ? random.chance(0.5) ? " , alles,  " : " , I-AVF,  " : "");
  add(plan.burst_lead ? lead_names[static_cast<std::size_t>(*plan.burst_lead)] : "");
  add("");
  add(extra_beats(plan, random));
  add(plan.has("PACE") ? "ja, pacemaker" : "");
  add(std::to_string(fold));
  add(synth_record_name(plan.record, 100));
  row += synth_record_name(plan.record, 500) + "\n";
  return row;
}

}  // namespace cardiograd
