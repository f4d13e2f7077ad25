// Several neighbouring elements, moved in one access of up to 16 bytes by load_pack and store_pack.
#pragma once

namespace cardiograd::cuda {

template <class T, int n>
struct alignas(sizeof(T) * n) Pack {
  static_assert(sizeof(T) * n <= 16, "a thread moves at most 16 bytes in one access");
  T values[n];

  constexpr T& operator[](int i) { return values[i]; }
  constexpr const T& operator[](int i) const { return values[i]; }
};

// How many elements make 16 bytes.
template <class T>
inline constexpr int pack_size = static_cast<int>(16 / sizeof(T));

}  // namespace cardiograd::cuda
