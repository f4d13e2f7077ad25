// Wavelet denoising of ECG records (kernels/wavelet.h) before they are packed or judged.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "kernels/backend.h"

namespace cardiograd {

using DenoiseSpec = WaveletDenoiseSpec;

// "db4", optionally followed by ",levels=N", ",mode=hard|soft" and ",factor=X". Throws InputError
// that begins with `where` for anything else.
DenoiseSpec parse_denoise(std::string_view text, const std::string& where);

// Of a record, int16 [length, leads], in place: rounded to the nearest ADC unit. Missing samples
// stay missing; the transform sees the straight line between their neighbours instead. Throws
// InputError where the record is too short for the levels.
void denoise_record(const DenoiseSpec& spec, std::int64_t leads, std::span<std::int16_t> samples);

}  // namespace cardiograd
