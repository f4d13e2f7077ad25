// Dropout by element and by channel; the mask comes from Philox alone.
#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {

void ReferenceBackend::dropout(const DropoutSpec& spec, ConstView records, ConstView x, View y) {
  reference::check_same_shape(x.dims, y.dims);
  CG_CHECK(x.dims.rank() >= 1, "dropout needs a batch axis");
  CG_CHECK(!spec.channel || x.dims.rank() == 3,
           "channel dropout takes [N, L, C], got " + x.dims.to_string());
  CG_CHECK(spec.p >= 0.0 && spec.p <= 1.0,
           "a dropout probability lies in [0, 1], got " + std::to_string(spec.p));
  const std::int64_t batch = x.dims[0];
  if (records.present()) reference::check_channels(records.dims, batch);
  if (x.numel() == 0) return;
  const std::int64_t elements = x.numel() / batch;
  for (std::int64_t n = 0; n < batch; ++n) {
    const std::int64_t record = records.present() ? records.as<std::int32_t>()[n] : n;
    for (std::int64_t i = 0; i < elements; ++i) {
      const std::int64_t draw = spec.channel ? i % x.dims[2] : i;
      const Philox::Words words =
          spec.key.draw(static_cast<std::uint32_t>(record), static_cast<std::uint32_t>(draw / 4));
      const bool keep = Philox::uniform(words[static_cast<std::size_t>(draw % 4)]) >= spec.p;
      y.as<double>()[n * elements + i] =
          keep ? x.as<double>()[n * elements + i] / (1.0 - spec.p) : 0.0;
    }
  }
}

}  // namespace cardiograd
