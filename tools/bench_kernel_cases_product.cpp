// Linear layers, convolutions, LSTMs, attention and tokens, with the shapes of the seed's CNN, RNN,
// transformer and GAN, and two convolutions that only later models have (k = 39, depthwise).
#include "kernels/lstm_saved.h"
#include "tools/bench_kernel_case.h"

namespace cardiograd {
namespace {

constexpr std::int64_t leads = 12;
constexpr std::int64_t width = 120;  // of the transformer
constexpr std::int64_t token_stride = 4;
constexpr std::int64_t levels = 256;

double product(std::initializer_list<std::int64_t> sizes) {
  return static_cast<double>(Dims(sizes).numel());
}

void add_linear(std::vector<BenchCase>& cases, DType dtype, std::int64_t rows, std::int64_t inputs,
                std::int64_t outputs) {
  const Dims x{rows, inputs};
  const Dims y{rows, outputs};
  const Dims weight{outputs, inputs};
  const std::string text = x.to_string() + " to " + std::to_string(outputs);
  const double work = product({rows, inputs, outputs});
  cases
      .emplace_back("linear_forward", text, dtype,
                    [](Backend& b, const BenchViews& o) {
                      b.linear_forward(o["x"], o["weight"], o["bias"], o["y"]);
                    })
      .read("x", x)
      .read("weight", weight)
      .read("bias", {outputs})
      .written("y", y)
      .multiply_adds(work);
  cases
      .emplace_back("linear_backward_data", text, dtype,
                    [](Backend& b, const BenchViews& o) {
                      b.linear_backward_data(o["dy"], o["weight"], o["dx"]);
                    })
      .read("dy", y)
      .read("weight", weight)
      .written("dx", x)
      .multiply_adds(work);
  cases
      .emplace_back("linear_backward_weight", text, dtype,
                    [](Backend& b, const BenchViews& o) {
                      b.linear_backward_weight(o["x"], o["dy"], o["dweight"], o["dbias"]);
                    })
      .read("x", x)
      .read("dy", y)
      .written("dweight", weight)
      .written("dbias", {outputs})
      .multiply_adds(work);
}

struct Convolution {
  Dims x;
  std::int64_t outputs = 1;
  std::int64_t kernel = 1;
  Conv1dSpec spec;

  std::int64_t length() const { return spec.output_length(x[1], kernel); }
  Dims y() const { return {x[0], length(), outputs}; }
  Dims weight() const { return {kernel, x[2] / spec.groups, outputs}; }
  // Multiply-adds of the forward pass over `steps` outputs.
  double work(std::int64_t steps) const {
    return product({x[0], steps, outputs, kernel, x[2] / spec.groups});
  }
  std::string text() const {
    std::string words =
        x.to_string() + " to " + std::to_string(outputs) + ", k " + std::to_string(kernel);
    if (spec.stride > 1) words += ", stride " + std::to_string(spec.stride);
    if (spec.groups > 1) words += ", groups " + std::to_string(spec.groups);
    return words;
  }
};

void add_conv1d(std::vector<BenchCase>& cases, DType dtype, const Convolution& shape) {
  const Conv1dSpec spec = shape.spec;
  const double work = shape.work(shape.length());
  cases
      .emplace_back("conv1d_forward", shape.text(), dtype,
                    [=](Backend& b, const BenchViews& o) {
                      b.conv1d_forward(spec, o["x"], o["weight"], o["bias"], o["y"]);
                    })
      .read("x", shape.x)
      .read("weight", shape.weight())
      .read("bias", {shape.outputs})
      .written("y", shape.y())
      .multiply_adds(work);
  cases
      .emplace_back("conv1d_backward_data", shape.text(), dtype,
                    [=](Backend& b, const BenchViews& o) {
                      b.conv1d_backward_data(spec, o["dy"], o["weight"], o["dx"]);
                    })
      .read("dy", shape.y())
      .read("weight", shape.weight())
      .written("dx", shape.x)
      .multiply_adds(work);
  cases
      .emplace_back("conv1d_backward_weight", shape.text(), dtype,
                    [=](Backend& b, const BenchViews& o) {
                      b.conv1d_backward_weight(spec, o["x"], o["dy"], o["dweight"], o["dbias"]);
                    })
      .read("x", shape.x)
      .read("dy", shape.y())
      .written("dweight", shape.weight())
      .written("dbias", {shape.outputs})
      .multiply_adds(work);
}

// A stage of the seed's CNN. `first`: it needs no gradient to its input.
void add_conv_relu_pool(std::vector<BenchCase>& cases, DType dtype, const Convolution& shape,
                        bool first) {
  constexpr std::int64_t pool = 2;
  const Conv1dSpec spec = shape.spec;
  const Dims y{shape.x[0], shape.length() / pool, shape.outputs};
  const std::string text = shape.text() + ", pool 2";
  const double work = shape.work(pool * y[1]);
  cases
      .emplace_back("conv1d_relu_maxpool_forward", text, dtype,
                    [=](Backend& b, const BenchViews& o) {
                      b.conv1d_relu_maxpool_forward(spec, pool, o["x"], o["weight"], o["bias"],
                                                    o["y"], o["winner"]);
                    })
      .read("x", shape.x)
      .read("weight", shape.weight())
      .read("bias", {shape.outputs})
      .written("y", y)
      .other({"winner", BenchRole::written, DType::u8, y})
      .multiply_adds(work);
  // One of a window's elements has a gradient: half of the forward pass's work, for each gradient.
  BenchCase& backward = cases.emplace_back(
      "conv1d_relu_maxpool_backward", text + (first ? ", no dx" : ""), dtype,
      [=](Backend& b, const BenchViews& o) {
        b.conv1d_relu_maxpool_backward(spec, pool, o["x"], o["weight"], o["winner"], o["dy"],
                                       first ? View{} : o["dx"], o["dweight"], o["dbias"]);
      });
  backward.read("x", shape.x)
      .read("weight", shape.weight())
      .other({"winner", BenchRole::read, DType::u8, y, 0.0, static_cast<double>(pool)})
      .read("dy", y)
      .written("dweight", shape.weight())
      .written("dbias", {shape.outputs})
      .multiply_adds(work / static_cast<double>(pool) * (first ? 1.0 : 2.0));
  if (!first) backward.written("dx", shape.x);
}

void add_lstm(std::vector<BenchCase>& cases, DType dtype, const Dims& x, std::int64_t units) {
  const LstmSpec spec;
  const Dims weight_ih{4 * units, x[2]};
  const Dims weight_hh{4 * units, units};
  const Dims y{x[0], x[1], units};
  const Dims saved{lstm_parts_size(x[0], x[1], units)};
  const std::string text = x.to_string() + " to " + std::to_string(units);
  const double work = product({x[0], x[1], 4 * units, x[2] + units});
  cases
      .emplace_back("lstm_forward", text, dtype,
                    [=](Backend& b, const BenchViews& o) {
                      b.lstm_forward(spec, o["x"], o["weight_ih"], o["weight_hh"], o["bias_ih"],
                                     o["bias_hh"], o["y"], o["saved"]);
                    })
      .read("x", x)
      .read("weight_ih", weight_ih)
      .read("weight_hh", weight_hh, -0.1, 0.1)
      .read("bias_ih", {4 * units})
      .read("bias_hh", {4 * units})
      .written("y", y)
      .written("saved", saved)
      .multiply_adds(work);
  cases
      .emplace_back("lstm_backward", text, dtype,
                    [=](Backend& b, const BenchViews& o) {
                      b.lstm_backward(spec, o["x"], o["weight_ih"], o["weight_hh"], o["saved"],
                                      o["dy"], o["dx"], o["dweight_ih"], o["dweight_hh"],
                                      o["dbias_ih"], o["dbias_hh"]);
                    })
      .read("x", x)
      .read("weight_ih", weight_ih)
      .read("weight_hh", weight_hh, -0.1, 0.1)
      .read("saved", saved, 0.0)
      .read("dy", y)
      .written("dx", x)
      .written("dweight_ih", weight_ih)
      .written("dweight_hh", weight_hh)
      .written("dbias_ih", {4 * units})
      .written("dbias_hh", {4 * units})
      .multiply_adds(2.0 * work);
}

void add_attention(std::vector<BenchCase>& cases, DType dtype, const Dims& q, std::int64_t keys,
                   std::int64_t heads) {
  const AttentionSpec spec{heads, false, 0.0, {}};
  const Dims k{q[0], keys, q[2]};
  const Dims lse{q[0], heads, q[1]};
  const std::string text =
      q.to_string() + " on " + std::to_string(keys) + ", " + std::to_string(heads) + " heads";
  const double work = product({q[0], q[1], keys, q[2]});  // of one product
  cases
      .emplace_back("attention_forward", text, dtype,
                    [=](Backend& b, const BenchViews& o) {
                      b.attention_forward(spec, {}, o["q"], o["k"], o["v"], o["y"], o["lse"]);
                    })
      .read("q", q)
      .read("k", k)
      .read("v", k)
      .written("y", q)
      .other({"lse", BenchRole::written, DType::f32, lse})
      .multiply_adds(2.0 * work);
  cases
      .emplace_back("attention_backward", text, dtype,
                    [=](Backend& b, const BenchViews& o) {
                      b.attention_backward(spec, {}, o["q"], o["k"], o["v"], o["y"], o["lse"],
                                           o["dy"], o["dq"], o["dk"], o["dv"]);
                    })
      .read("q", q)
      .read("k", k)
      .read("v", k)
      .read("y", q)
      .other({"lse", BenchRole::read, DType::f32, lse, 4.0, 6.0})
      .read("dy", q)
      .written("dq", q)
      .written("dk", k)
      .written("dv", k)
      .multiply_adds(5.0 * work);
}

void add_tokens(std::vector<BenchCase>& cases, DType dtype, const BenchSizes& sizes) {
  const Dims x{sizes.batch, sizes.length / token_stride, leads};
  const Dims table{leads * levels, width / leads};
  const Dims y{x[0], x[1], leads, table[1]};
  const QuantizeSpec spec{-4.0, 4.0, levels, levels};
  const BenchOperand indices{
      "indices", BenchRole::read, DType::i32, x, 0.0, static_cast<double>(table[0])};
  cases
      .emplace_back("quantize", x.to_string(), dtype,
                    [=](Backend& b, const BenchViews& o) { b.quantize(spec, o["x"], o["y"]); })
      .read("x", x)
      .other({"y", BenchRole::written, DType::i32, x})
      .arithmetic(3.0 * static_cast<double>(x.numel()));
  const std::string text = x.to_string() + " of " + table.to_string();
  cases
      .emplace_back("embedding_forward", text, dtype,
                    [](Backend& b, const BenchViews& o) {
                      b.embedding_forward(o["indices"], o["weight"], o["y"]);
                    })
      .other(indices)
      .read("weight", table)
      .written("y", y);
  cases
      .emplace_back("embedding_backward", text, dtype,
                    [](Backend& b, const BenchViews& o) {
                      b.embedding_backward(o["indices"], o["dy"], o["dweight"]);
                    })
      .other(indices)
      .read("dy", y)
      .written("dweight", table)
      .arithmetic(static_cast<double>(y.numel()));
}

}  // namespace

void add_product_bench_cases(std::vector<BenchCase>& cases, DType dtype, const BenchSizes& sizes) {
  const std::int64_t length = sizes.length;
  for (const std::int64_t batch : {sizes.batch, sizes.large_batch}) {
    Convolution stage{{batch, length, leads}, 16, 7, {}};
    for (const auto& [outputs, next_kernel] :
         {std::pair{16, 5}, std::pair{32, 3}, std::pair{48, 0}}) {
      stage.outputs = outputs;
      add_conv_relu_pool(cases, dtype, stage, stage.x[2] == leads);
      stage.x = {batch, stage.length() / 2, outputs};
      stage.kernel = next_kernel;
    }
    add_linear(cases, dtype, batch, stage.x[1] * stage.x[2], 512);
  }
  const std::int64_t batch = sizes.batch;
  add_linear(cases, dtype, batch, 512, 128);
  add_linear(cases, dtype, batch, 128, 5);
  add_linear(cases, dtype, batch, 768, 128);
  add_linear(cases, dtype, batch * (length / token_stride), width, 4 * width);
  add_linear(cases, dtype, batch * (length / token_stride), 4 * width, width);
  // Generator and critic of the GAN.
  add_conv1d(cases, dtype, {{batch, length / 4, 64}, 64, 9, {1, 4}});
  add_conv1d(cases, dtype, {{batch, length, 16}, leads, 9, {1, 4}});
  add_conv1d(cases, dtype, {{batch, length, leads}, 32, 9, {2, 4}});
  add_conv1d(cases, dtype, {{batch, length / 2, 32}, 64, 9, {2, 4}});
  add_conv1d(cases, dtype, {{batch, length, 32}, 32, 39, {1, 19}});
  add_conv1d(cases, dtype, {{batch, length, 64}, 64, 7, {1, 3, 1, 64}});
}

void add_sequence_bench_cases(std::vector<BenchCase>& cases, DType dtype, const BenchSizes& sizes) {
  for (const std::int64_t units : {64, 128}) {
    for (const std::int64_t length : {sizes.length, sizes.length / 4}) {
      add_lstm(cases, dtype, {sizes.batch, length, leads}, units);
    }
  }
  const std::int64_t tokens = sizes.length / token_stride;
  add_attention(cases, dtype, {sizes.batch, tokens, width}, tokens, leads);
  add_attention(cases, dtype, {sizes.batch, 8, width}, tokens, leads);
  add_attention(cases, dtype, {sizes.batch, 1, 128}, 1, 8);
  add_tokens(cases, dtype, sizes);
}

}  // namespace cardiograd
