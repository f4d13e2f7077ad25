// Cases of the gathering of records: plain, with each augmentation alone, and with all of them.
#include <utility>

#include "tests/kernels/operation_cases.h"

namespace cardiograd::cases {

namespace {

struct Gathering {
  std::string name;
  Dims records;
  Dims y;
  GatherSpec spec;
  bool mixed = false;  // with partners
  bool keyed = false;  // with keys other than the rows
};

OperationCase gather_case(const Gathering& g) {
  OperationCase each{g.name + ": " + g.y.to_string() + " of " + g.records.to_string(),
                     {},
                     [=](Backend& backend, const BoundOperands& o) {
                       const GatherOperands x{o["records"],
                                              o["rows"],
                                              o["scale"],
                                              o["shift"],
                                              o["gain"],
                                              o.optional("keys"),
                                              o.optional("partners"),
                                              o.optional("shares")};
                       backend.gather_records(g.spec, x, o["y"]);
                     }};
  // Every 7th sample or so is missing; the ends of the range are there.
  const Values samples = [](std::int64_t count, std::uint64_t seed) {
    std::vector<double> values = whole(-32767, 32767)(count, seed);
    for (std::size_t i = 0; i < values.size(); i += 7) values[i] = -32768.0;
    return values;
  };
  const Values rows = whole(0, static_cast<int>(g.records[0]) - 1);
  const Dims count{g.y[0]};
  const Dims leads{g.records[2]};
  each.add({"records", Role::input, DType::i16, g.records, samples});
  each.add({"rows", Role::input, DType::i32, count, rows});
  each.add({"scale", Role::input, DType::f32, leads, uniform(0.0005, 0.002)});
  each.add({"shift", Role::input, DType::f32, leads, uniform(-0.5, 0.5)});
  each.add({"gain", Role::input, DType::f32, leads, uniform(500.0, 1000.0)});
  if (g.keyed) each.add({"keys", Role::input, DType::i32, count, whole(0, 1 << 20)});
  if (g.mixed) {
    each.add({"partners", Role::input, DType::i32, count, rows});
    each.add({"shares", Role::input, DType::f32, count, uniform(0.0, 1.0)});
  }
  return each.output("y", g.y);
}

AugmentSpec everything() {
  AugmentSpec spec;
  spec.seed = 0x123456789abcdefU;
  spec.epoch = 3;
  spec.crop = true;
  spec.shift = 0.7;
  spec.shift_most = 9;
  spec.amplitude = 0.7;
  spec.amplitude_low = 0.5;
  spec.amplitude_high = 1.5;
  spec.wander = 0.7;
  spec.wander_mv = 2.0;
  spec.hum = 0.7;
  spec.hum_mv = 2.0;
  spec.hum_hz = 60.0;
  spec.noise = 0.1;
  spec.lead_dropout = 0.2;
  spec.mask = 0.7;
  return spec;
}

// One augmentation of `all`, the others off.
template <class... Members>
AugmentSpec only(const AugmentSpec& all, Members... members) {
  AugmentSpec spec;
  spec.seed = all.seed;
  spec.epoch = all.epoch;
  ((spec.*members = all.*members), ...);
  return spec;
}

std::vector<std::pair<std::string, AugmentSpec>> specs() {
  using S = AugmentSpec;
  const S all = everything();
  AugmentSpec short_record = all;  // longer than the record, and none but the kept lead stays
  short_record.shift_most = 70;
  short_record.lead_dropout = 1.0;
  AugmentSpec some = all;
  some.first_key = 1 << 19;
  AugmentSpec hum_at_nyquist = only(all, &S::hum, &S::hum_mv);
  return {{"crop", only(all, &S::crop)},
          {"shift", only(all, &S::shift, &S::shift_most)},
          {"amplitude", only(all, &S::amplitude, &S::amplitude_low, &S::amplitude_high)},
          {"wander", only(all, &S::wander, &S::wander_mv)},
          {"hum", only(all, &S::hum, &S::hum_mv, &S::hum_hz)},
          {"hum at half the rate", hum_at_nyquist},
          {"noise", only(all, &S::noise)},
          {"lead dropout", only(all, &S::lead_dropout)},
          {"mask", only(all, &S::mask)},
          {"all", all},
          {"all of some records", some},
          {"long shift, one lead", short_record}};
}

}  // namespace

std::vector<OperationCase> gather_records_cases() {
  std::vector<OperationCase> cases;
  for (const double missing : {0.0, -1.5}) {
    for (const auto& [records, y] :
         std::vector<std::pair<Dims, Dims>>{{{5, 40, 12}, {3, 40, 12}},
                                            {{5, 40, 12}, {9, 17, 12}},
                                            {{1, 1, 1}, {1, 1, 1}},
                                            {{1, 33, 3}, {2, 7, 3}},
                                            {{5, 40, 12}, {0, 40, 12}},
                                            {{5, 40, 12}, {3, 0, 12}},
                                            {{3, 1000, 12}, {2, 1000, 12}},
                                            {{4, 65, 17}, {5, 64, 17}},
                                            {{5, 41, 12}, {3, 39, 16}},
                                            {{5, 40, 3}, {3, 33, 4}},
                                            {{5, 40, 3}, {0, 33, 4}},
                                            {{2, 11, 5}, {3, 11, 13}}}) {
      cases.push_back(
          gather_case({"missing " + std::to_string(missing), records, y, {missing, {}}}));
    }
  }
  for (const auto& [name, spec] : specs()) {
    for (const bool mixed : {false, true}) {
      const std::string full = name + (mixed ? " mixed" : "");
      cases.push_back(gather_case({full, {5, 200, 12}, {9, 150, 12}, {0.0, spec}, mixed, mixed}));
      cases.push_back(gather_case({full, {3, 65, 5}, {7, 65, 5}, {-1.5, spec}, mixed, true}));
    }
  }
  for (const auto& [records, y] : std::vector<std::pair<Dims, Dims>>{{{3, 1000, 12}, {4, 900, 12}},
                                                                     {{3, 600, 1}, {4, 599, 1}},
                                                                     {{3, 300, 17}, {4, 290, 17}},
                                                                     {{3, 300, 12}, {4, 290, 16}},
                                                                     {{3, 65, 5}, {4, 33, 6}},
                                                                     {{1, 1, 1}, {3, 1, 1}},
                                                                     {{5, 40, 12}, {0, 40, 12}},
                                                                     {{5, 40, 12}, {3, 0, 12}}}) {
    cases.push_back(gather_case({"all", records, y, {0.5, everything()}, true, true}));
  }
  cases.push_back(gather_case({"mixup alone", {5, 40, 12}, {6, 40, 12}, {}, true, false}));
  return cases;
}

}  // namespace cardiograd::cases
