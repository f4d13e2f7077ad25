// The products of tensor_product.h: one kernel for the linear layer, for convolution as a product
// of overlapping rows, and for the gradients of both.
//
// Bytes: a tile of 128 (64) x 64 results reads 192 (128) elements for each of the depth, most from
// L2, and does 16384 (8192) FLOPs with them. Bound: shared memory's 128 bytes a clock, which feed
// mma.sync of bf16 at 21 FLOPs a byte (a warp's 64 x 32 results) or 16 (32 x 32): two thirds or one
// half of the tensor cores' peak; memory for shallow products. TF32 does half the FLOPs a byte, and
// its peak is half. A product with few tiles and great depth is cut along the depth into chunks
// that depend on the shape alone, summed in a fixed order (partials.h).
#include <type_traits>

#include "kernels/checks.h"
#include "kernels/cuda/partials.h"
#include "kernels/cuda/tensor_tile.h"

namespace cardiograd::cuda {
namespace {

// How a launch cuts its work; the same for every block.
struct TensorCut {
  int rows = 0;
  int columns = 0;
  int depth = 0;
  int depth_chunk = 0;  // a multiple of a stage's
  int chunks = 1;
  int rows_a_tile = 0;
  bool packed = false;

  CG_HOST_DEVICE std::int64_t across() const { return (columns + tensor_side - 1) / tensor_side; }
  CG_HOST_DEVICE std::int64_t down() const { return (rows + rows_a_tile - 1) / rows_a_tile; }
  CG_HOST_DEVICE std::int64_t items() const { return across() * down() * chunks; }
};

// Blocks a multiprocessor that registers are left for. TF32's reads of transposed operands need
// more addresses: with as many blocks as bf16 they spill.
template <class T, int down>
inline constexpr int blocks_resident = (down == 64 ? 4 : 3) - (is_tf32<T> ? 1 : 0);

template <bool a_along_depth, bool b_along_depth, int down, class T, class Result>
CG_KERNEL(tensor_threads, blocks_resident<T, down>)
void tensor_product_kernel(TensorSource<T> a, TensorSource<T> b, TensorCut cut, Result result) {
  CG_DYNAMIC_SHARED(T, shared);
  for (std::int64_t item = blockIdx.x; item < cut.items(); item += gridDim.x) {
    const auto column0 = static_cast<int>(item % cut.across()) * tensor_side;
    const auto row0 = static_cast<int>(item / cut.across() % cut.down()) * cut.rows_a_tile;
    const auto chunk = static_cast<int>(item / cut.across() / cut.down());
    const int begin = chunk * cut.depth_chunk;
    const int end = chunk + 1 == cut.chunks ? cut.depth : begin + cut.depth_chunk;
    tensor_tile<a_along_depth, b_along_depth, down>(a, b, row0, column0, begin, end, shared);
    const int left = cut.rows - row0;
    const TensorPlace place{row0, column0, left < cut.rows_a_tile ? left : cut.rows_a_tile,
                            cut.columns, cut.packed};
    Result to = result;
    if constexpr (std::is_same_v<Result, TensorRows<T>>) {
      if (cut.chunks > 1) to.sums += static_cast<std::int64_t>(chunk) * cut.rows * cut.columns;
    }
    write_tile(to, place, reinterpret_cast<const float*>(shared));
    sync_block();  // the next tile's stages take the results' place
  }
}

// ---- The host's side ----------------------------------------------------------------------------

int narrow(std::int64_t value) {
  constexpr std::int64_t most = std::int64_t{1} << 30;
  CG_CHECK(value > -most && value < most,
           "a product on cuda's tensor cores: " + std::to_string(value) +
               " elements are too many for a record or a side, cut the batch or the record");
  return static_cast<int>(value);
}

template <class T>
TensorSource<T> source_of(const TensorMatrix<T>& m) {
  TensorSource<T> source{m.data,
                         m.record_jump,
                         narrow(m.rows),
                         narrow(m.columns),
                         narrow(m.steps),
                         narrow(m.first),
                         narrow(m.row_jump),
                         narrow(m.run),
                         narrow(m.run_jump),
                         narrow(m.record_size)};
  for (const int unit : {tensor_pack<T>, tensor_pack<T> / 2}) {
    const bool runs_fit = m.run >= m.columns || (m.run % unit == 0 && m.run_jump % unit == 0);
    if (source.unit == 1 && runs_fit && m.first % unit == 0 && m.row_jump % unit == 0 &&
        m.record_jump % unit == 0 &&
        is_aligned(m.data, static_cast<std::size_t>(unit) * sizeof(T))) {
      source.unit = unit;
    }
  }
  return source;
}

// Tiles of 128 rows where they still give every multiprocessor of a large GPU a block.
template <bool a_along_depth, bool b_along_depth, class T, class Result>
void launch_product(const Device& device, const TensorFactor<T>& a, const TensorFactor<T>& b,
                    TensorCut cut, int pool, const Result& result) {
  const auto run = [&](auto side) {
    constexpr int down = decltype(side)::value;
    cut.rows_a_tile = down / pool * pool;
    launch<tensor_product_kernel<a_along_depth, b_along_depth, down, T, Result>>(
        static_cast<unsigned>(std::min<std::int64_t>(cut.items(), 1 << 30)), tensor_threads,
        tensor_stages * (down + tensor_side) * tensor_row_bytes, device.stream, source_of(a.matrix),
        source_of(b.matrix), cut, result);
  };
  constexpr std::int64_t tiles_wanted = 132;
  cut.rows_a_tile = 128 / pool * pool;
  if (cut.items() >= tiles_wanted) {
    run(std::integral_constant<int, 128>{});
  } else {
    run(std::integral_constant<int, 64>{});
  }
}

template <class T>
TensorCut cut_of(const TensorFactor<T>& a, const TensorFactor<T>& b) {
  CG_CHECK(a.depth() == b.depth(), "a product of depths " + std::to_string(a.depth()) + " and " +
                                       std::to_string(b.depth()));
  TensorCut cut;
  cut.rows = narrow(a.lines());
  cut.columns = narrow(b.lines());
  cut.depth = narrow(a.depth());
  cut.depth_chunk = cut.depth;
  return cut;
}

// Enough blocks to fill a GPU, of at least 512 steps of depth each.
void cut_depth(TensorCut& cut) {
  constexpr std::int64_t blocks_wanted = 512;
  constexpr std::int64_t least_depth = 512;
  cut.rows_a_tile = tensor_side;
  const std::int64_t wanted =
      std::clamp<std::int64_t>(cut.depth / least_depth, 1, 1 + blocks_wanted / cut.items());
  const std::int64_t depth = (cut.depth + wanted - 1) / wanted;
  cut.depth_chunk =
      static_cast<int>(std::max<std::int64_t>((depth + tensor_side - 1) / tensor_side, 1)) *
      tensor_side;
  cut.chunks = std::max((cut.depth + cut.depth_chunk - 1) / cut.depth_chunk, 1);
}

bool eights_fit(const void* p, std::int64_t columns) {
  return columns % result_pack == 0 && is_aligned(p, 16);
}

template <class T>
void launch_rows(const Device& device, const TensorFactor<T>& a, const TensorFactor<T>& b,
                 const TensorCut& cut, const TensorRows<T>& to) {
  if (a.along_depth && b.along_depth) return launch_product<true, true>(device, a, b, cut, 1, to);
  if (a.along_depth) return launch_product<true, false>(device, a, b, cut, 1, to);
  launch_product<false, false>(device, a, b, cut, 1, to);
}

}  // namespace

template <class T>
void tensor_product(const Device& device, BlockCache& blocks,
                    const std::type_identity_t<TensorFactor<T>>& a,
                    const std::type_identity_t<TensorFactor<T>>& b, const TensorRows<T>& to) {
  TensorCut cut = cut_of(a, b);
  if (to.y != nullptr && to.contiguous()) cut_depth(cut);
  if (cut.chunks == 1) {
    const void* out = to.y != nullptr ? static_cast<const void*>(to.y) : to.sums;
    cut.packed = eights_fit(out, cut.columns);
    launch_rows(device, a, b, cut, to);
    return;
  }
  const std::int64_t count = static_cast<std::int64_t>(cut.rows) * cut.columns;
  const Scratch<float> partial(blocks, cut.chunks * count);
  cut.packed = eights_fit(partial.data(), cut.columns);
  TensorRows<T> parts;
  parts.sums = partial.data();
  launch_rows(device, a, b, cut, parts);
  sum_partials(device, partial.data(), cut.chunks, count, to.bias, cut.columns, to.y);
}

template <class T>
void tensor_product(const Device& device, const std::type_identity_t<TensorFactor<T>>& a,
                    const std::type_identity_t<TensorFactor<T>>& b, const TensorPool<T>& to) {
  launch_product<true, false>(device, a, b, cut_of(a, b), to.pool, to);
}

template void tensor_product(const Device&, BlockCache&, const TensorFactor<BFloat16>&,
                             const TensorFactor<BFloat16>&, const TensorRows<BFloat16>&);
template void tensor_product(const Device&, BlockCache&, const TensorFactor<float>&,
                             const TensorFactor<float>&, const TensorRows<float>&);
template void tensor_product(const Device&, const TensorFactor<BFloat16>&,
                             const TensorFactor<BFloat16>&, const TensorPool<BFloat16>&);
template void tensor_product(const Device&, const TensorFactor<float>&, const TensorFactor<float>&,
                             const TensorPool<float>&);

}  // namespace cardiograd::cuda
