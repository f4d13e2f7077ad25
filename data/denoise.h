// Wavelet denoising of ECG records: transform, set small coefficients to zero, transform back
// (Donoho & Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81(3), 1994).
//
// The threshold is `factor` times the median absolute coefficient of the finest level, of this
// record and lead, and acts on all coefficients, the approximation included, as the seed's did; 0.1
// is the seed's factor, sqrt(2 ln length) / 0.6745 would be Donoho and Johnstone's universal one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cardiograd {

struct DenoiseSpec {
  int vanishing_moments = 4;  // db1 .. db8
  int levels = 3;
  bool soft = false;  // soft: what stays is pulled towards 0 by the threshold; hard: it stays as is
  double factor = 0.1;

  bool operator==(const DenoiseSpec&) const = default;
  // "db4,levels=3,mode=hard,factor=0.1": parse_denoise reads it back.
  std::string to_string() const;
};

// "db4", optionally followed by ",levels=N", ",mode=hard|soft" and ",factor=X". Throws InputError
// that begins with `where` for anything else.
DenoiseSpec parse_denoise(std::string_view text, const std::string& where);

// Of one lead.
std::vector<double> denoise(const DenoiseSpec& spec, std::span<const double> x);

// Of a record, int16 [length, leads], in place: rounded to the nearest ADC unit. Missing samples
// stay missing; the transform sees the straight line between their neighbours instead. Throws
// InputError where the record is too short for the levels.
void denoise_record(const DenoiseSpec& spec, std::int64_t leads, std::span<std::int16_t> samples);

}  // namespace cardiograd
