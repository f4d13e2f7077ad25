// Matrix products by cuBLASLt, as candidates of the plan cache. Implemented by cublaslt.cpp, or by
// cublaslt_stub.cpp in builds without its headers and on the emulator. The library is loaded when
// the program runs; where it is missing there are no candidates.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/plan_cache.h"
#include "kernels/cuda/runtime.h"

namespace cardiograd::cuda {

// What a product does besides multiplying.
enum class ProductExtra : std::uint8_t {
  none,
  bias,           // in[2] [columns] is added to each row of c
  bias_gradient,  // out[1] [rows] receives the sums of a over the depth
};

// c [rows, columns] = a b, summed in f32. Operands: in[0] = a, in[1] = b, out[0] = c.
struct ProductPlan {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t depth = 0;
  bool a_along_depth = true;  // a lies as [rows, depth], else as [depth, rows]
  bool b_along_depth = true;  // b lies as [columns, depth], else as [depth, columns]
  DType dtype = DType::f32;   // f32 or bf16, of all operands
  MathMode math = MathMode::exact;
  ProductExtra extra = ProductExtra::none;
  int alignment = 16;  // bytes that every operand's address is a multiple of
};

class CublasLt {
 public:
  virtual ~CublasLt() = default;
  // The best plans by the library's own estimate, best first; none where it has no such product.
  // They stay valid as long as this. `bias` is one call's in[2] or out[1].
  virtual std::vector<Candidate> products(const ProductPlan& plan, const void* bias) = 0;
};

// For work on one stream of the current device; null where the library is missing or refuses.
std::unique_ptr<CublasLt> make_cublaslt(Stream stream);

// "13.1.0", or empty where the library is missing; `why` then says what the loader said.
std::string cublaslt_version(std::string& why);

}  // namespace cardiograd::cuda
