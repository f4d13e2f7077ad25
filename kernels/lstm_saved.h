// What lstm_forward keeps for lstm_backward, in the order of every implementation of our own: gates
// [L, N, 4, H] (i, f, g, o of every time step, after their functions), then cells [L, N, H].
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include "kernels/view.h"

namespace cardiograd {

inline std::int64_t lstm_parts_size(std::int64_t records, std::int64_t length, std::int64_t units) {
  return 5 * length * records * units;
}

// Of View or ConstView; both absent where nothing is saved.
template <class V>
struct LstmParts {
  V gates;
  V cells;

  // Throws ShapeError where `saved` has another size.
  LstmParts(const V& saved, std::int64_t records, std::int64_t length, std::int64_t units) {
    if (!saved.present()) return;
    CG_CHECK(saved.dims == Dims({lstm_parts_size(records, length, units)}),
             "lstm: saved has 5 L N H elements, " +
                 std::to_string(lstm_parts_size(records, length, units)) + ", got " +
                 saved.dims.to_string());
    gates = {saved.data, saved.dtype, {length, records, 4, units}};
    using Byte = std::conditional_t<std::is_same_v<V, View>, char, const char>;
    cells = {static_cast<Byte*>(saved.data) + gates.bytes(), saved.dtype, {length, records, units}};
  }
};

}  // namespace cardiograd
