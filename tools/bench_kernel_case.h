// What `cardiograd bench --kernels` times: one call of a method of Backend, with the shapes that a
// model gives it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"

namespace cardiograd {

// The sizes that the cases' shapes are made of; the defaults are those of training.
struct BenchSizes {
  std::int64_t batch = 256;
  std::int64_t large_batch = 1024;
  std::int64_t length = 1000;           // samples a record
  std::int64_t records = 21799;         // of the data set
  std::int64_t parameters = 3'100'000;  // of the seed's CNN
  std::int64_t square = 8192;           // side of the product that stands for the matrix ceiling
  std::int64_t bulk = 1 << 27;          // elements of the copy that stands for the copy ceiling
};

enum class BenchRole : std::uint8_t { read, written, updated };

struct BenchOperand {
  std::string name;
  BenchRole role = BenchRole::read;
  DType dtype = DType::f32;
  Dims dims;
  // Values: uniform in [low, high); whole numbers low .. high - 1 for integers.
  double low = -1.0;
  double high = 1.0;
  // How often a call must go through it: 2 where what is read depends on the whole of it, as
  // BatchNorm's statistics do.
  int passes = 1;

  // Memory traffic of one call.
  double traffic() const;
};

// The operands of one call in memory.
class BenchViews {
 public:
  void add(std::string name, const View& view) { views_.emplace_back(std::move(name), view); }
  // Throws InputError where the case has no such operand.
  const View& operator[](std::string_view name) const;

 private:
  std::vector<std::pair<std::string, View>> views_;
};

using BenchCall = std::function<void(Backend&, const BenchViews&)>;

struct BenchCase {
  std::string operation;  // Backend's method
  std::string shape;      // what a reader is told of it
  DType dtype = DType::f32;
  BenchCall call;
  std::vector<BenchOperand> operands;
  double flops = 0.0;  // of one call; a multiply-add is two
  // Whether the FLOPs are those of matrix products (or convolutions), which tensor cores can do in
  // bf16. Others are done in f32, whatever the storage.
  bool product = false;
  // Where an operand is not gone through once: of what gather_records picks, say. 0: the operands'.
  double traffic = 0.0;

  BenchCase(std::string method, std::string text, DType storage, BenchCall function);
  // Floating operands, in the case's dtype.
  BenchCase& read(std::string name, const Dims& dims, double low = -1.0, double high = 1.0);
  BenchCase& written(std::string name, const Dims& dims);
  BenchCase& updated(std::string name, const Dims& dims);
  // An operand of a dtype of its own.
  BenchCase& other(BenchOperand operand);
  // The operand added last is gone through twice.
  BenchCase& twice();
  BenchCase& arithmetic(double count);
  BenchCase& multiply_adds(double count);  // of a product

  // Bytes that one call must move between memory and chip, if nothing of it lies in a cache.
  double bytes() const;
};

// The one table. `dtype` is the storage of floating operands: f32 or bf16.
std::vector<BenchCase> bench_kernel_cases(DType dtype, const BenchSizes& sizes);

// Its parts.
void add_movement_bench_cases(std::vector<BenchCase>& cases, DType dtype, const BenchSizes& sizes);
void add_pooling_bench_cases(std::vector<BenchCase>& cases, DType dtype, const BenchSizes& sizes);
void add_product_bench_cases(std::vector<BenchCase>& cases, DType dtype, const BenchSizes& sizes);
void add_sequence_bench_cases(std::vector<BenchCase>& cases, DType dtype, const BenchSizes& sizes);
void add_normalisation_bench_cases(std::vector<BenchCase>& cases, DType dtype,
                                   const BenchSizes& sizes);
void add_training_bench_cases(std::vector<BenchCase>& cases, DType dtype, const BenchSizes& sizes);

// The ceilings: a copy that no cache holds, a square matrix product, and the shortest call.
BenchCase copy_ceiling_case(const BenchSizes& sizes);
BenchCase product_ceiling_case(DType dtype, const BenchSizes& sizes);
BenchCase launch_ceiling_case();

}  // namespace cardiograd
