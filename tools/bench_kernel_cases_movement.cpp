// Element by element, movement, reductions, activations, dropout and pooling. Their shapes are the
// activations of the seed's CNN, RNN and transformer.
#include "tools/bench_kernel_case.h"

namespace cardiograd {
namespace {

constexpr std::int64_t leads = 12;
constexpr std::int64_t width = 120;  // of the transformer
constexpr std::int64_t token_stride = 4;

double count(const Dims& dims) { return static_cast<double>(dims.numel()); }

void add_elementwise(std::vector<BenchCase>& cases, DType dtype, const Dims& x) {
  const std::string text = x.to_string();
  const auto add = [&](const char* method, BenchCall call) -> BenchCase& {
    return cases.emplace_back(method, text, dtype, std::move(call));
  };
  add("fill", [](Backend& b, const BenchViews& o) { b.fill(o["y"], 0.5); }).written("y", x);
  add("copy", [](Backend& b, const BenchViews& o) { b.copy(o["x"], o["y"]); })
      .read("x", x)
      .written("y", x);
  add("cast", [](Backend& b, const BenchViews& o) { b.cast(o["x"], o["y"]); })
      .read("x", x)
      .other({"y", BenchRole::written, dtype == DType::f32 ? DType::bf16 : DType::f32, x});
  add("accumulate", [](Backend& b, const BenchViews& o) { b.accumulate(o["x"], o["y"]); })
      .read("x", x)
      .updated("y", x)
      .arithmetic(count(x));
  add("scale", [](Backend& b, const BenchViews& o) { b.scale(o["x"], 0.5, o["y"]); })
      .read("x", x)
      .written("y", x)
      .arithmetic(count(x));
  for (const bool product : {false, true}) {
    add(product ? "multiply" : "add",
        [=](Backend& b, const BenchViews& o) {
          product ? b.multiply(o["a"], o["b"], o["y"]) : b.add(o["a"], o["b"], o["y"]);
        })
        .read("a", x)
        .read("b", x)
        .written("y", x)
        .arithmetic(count(x));
  }
}

void add_broadcast(std::vector<BenchCase>& cases, DType dtype, const BenchSizes& sizes) {
  const Dims x{sizes.batch, sizes.length / token_stride, width};
  const Dims positions{x[1], width};
  cases
      .emplace_back("add", x.to_string() + " + " + positions.to_string(), dtype,
                    [](Backend& b, const BenchViews& o) { b.add(o["a"], o["b"], o["y"]); })
      .read("a", x)
      .read("b", positions)
      .written("y", x)
      .arithmetic(count(x));
  const Dims row{x[0], 1, width};
  cases
      .emplace_back("expand", row.to_string() + " to " + x.to_string(), dtype,
                    [](Backend& b, const BenchViews& o) { b.expand(o["x"], 0.5, o["y"]); })
      .read("x", row)
      .written("y", x)
      .arithmetic(count(x));
}

void add_slices(std::vector<BenchCase>& cases, DType dtype, const BenchSizes& sizes) {
  // The halves of a bidirectional LSTM's output.
  const Dims whole{sizes.batch, sizes.length, 128};
  const Dims half{sizes.batch, sizes.length, 64};
  cases
      .emplace_back("slice", "half of " + whole.to_string(), dtype,
                    [](Backend& b, const BenchViews& o) { b.slice(o["x"], 2, 64, o["part"]); })
      .read("x", whole)
      .written("part", half)
      .traffic = 2.0 * count(half) * static_cast<double>(size_of(dtype));
  cases
      .emplace_back("place", "half of " + whole.to_string(), dtype,
                    [](Backend& b, const BenchViews& o) { b.place(o["part"], 2, 64, o["y"]); })
      .read("part", half)
      .updated("y", whole)
      .traffic = 2.0 * count(half) * static_cast<double>(size_of(dtype));
  // A record as PyTorch has it, [N, C, L], and flattening before a linear layer.
  const Dims records{sizes.batch, sizes.length, leads};
  const Dims turned{sizes.batch, leads, sizes.length};
  cases
      .emplace_back("permute", records.to_string() + " to N C L", dtype,
                    [](Backend& b, const BenchViews& o) {
                      b.permute(o["x"], {0, 2, 1}, o["y"]);
                    })
      .read("x", records)
      .written("y", turned);
}

void add_reductions(std::vector<BenchCase>& cases, DType dtype, const BenchSizes& sizes) {
  const Dims x{sizes.batch, sizes.length, 64};
  const auto add_sum = [&](const std::string& text, const Dims& y) {
    cases
        .emplace_back("sum", text + " of " + x.to_string(), dtype,
                      [](Backend& b, const BenchViews& o) { b.sum(o["x"], 1.0, o["y"]); })
        .read("x", x)
        .written("y", y)
        .arithmetic(count(x));
  };
  add_sum("all", {1, 1, 1});
  add_sum("time", {x[0], 1, x[2]});
  add_sum("channels", {x[0], x[1], 1});
  const Dims y{x[0], 1, x[2]};
  cases
      .emplace_back(
          "max_forward", "time of " + x.to_string(), dtype,
          [](Backend& b, const BenchViews& o) { b.max_forward(o["x"], o["y"], o["index"]); })
      .read("x", x)
      .written("y", y)
      .other({"index", BenchRole::written, DType::i32, y})
      .arithmetic(count(x));
  cases
      .emplace_back(
          "max_backward", "time of " + x.to_string(), dtype,
          [](Backend& b, const BenchViews& o) { b.max_backward(o["dy"], o["index"], o["dx"]); })
      .read("dy", y)
      .other({"index", BenchRole::read, DType::i32, y, 0.0, static_cast<double>(x[1])})
      .written("dx", x);
}

void add_activations(std::vector<BenchCase>& cases, DType dtype, const Dims& x) {
  for (const auto& [kind, name] :
       {std::pair{ActivationKind::relu, "relu"}, std::pair{ActivationKind::gelu, "gelu"},
        std::pair{ActivationKind::sigmoid, "sigmoid"}}) {
    const Activation activation{kind};
    const std::string text = std::string(name) + " " + x.to_string();
    cases
        .emplace_back("activation_forward", text, dtype,
                      [=](Backend& b, const BenchViews& o) {
                        b.activation_forward(activation, o["x"], o["y"]);
                      })
        .read("x", x)
        .written("y", x)
        .arithmetic(count(x));
    // Either x or y is looked at.
    cases
        .emplace_back("activation_backward", text, dtype,
                      [=](Backend& b, const BenchViews& o) {
                        b.activation_backward(activation, o["x"], o["x"], o["dy"], o["dx"]);
                      })
        .read("x", x, 0.0)
        .read("dy", x)
        .written("dx", x)
        .arithmetic(2.0 * count(x));
  }
}

void add_softmax_and_dropout(std::vector<BenchCase>& cases, DType dtype, const BenchSizes& sizes) {
  for (const Dims& x :
       {Dims{sizes.batch, sizes.length / token_stride, width}, Dims{sizes.large_batch, 5}}) {
    cases
        .emplace_back("softmax_forward", x.to_string(), dtype,
                      [](Backend& b, const BenchViews& o) { b.softmax_forward(o["x"], o["y"]); })
        .read("x", x)
        .written("y", x)
        .arithmetic(5.0 * count(x));
    cases
        .emplace_back(
            "softmax_backward", x.to_string(), dtype,
            [](Backend& b, const BenchViews& o) { b.softmax_backward(o["y"], o["dy"], o["dx"]); })
        .read("y", x, 0.0)
        .read("dy", x)
        .written("dx", x)
        .arithmetic(4.0 * count(x));
  }
  const Dims x{sizes.batch, sizes.length, 64};
  for (const bool channel : {false, true}) {
    const DropoutSpec spec{0.25, channel, {1, 2, 3}};
    cases
        .emplace_back(
            "dropout", (channel ? "channels of " : "") + x.to_string(), dtype,
            [=](Backend& b, const BenchViews& o) { b.dropout(spec, ConstView{}, o["x"], o["y"]); })
        .read("x", x)
        .written("y", x)
        .arithmetic(count(x));
  }
}

void add_max_pool(std::vector<BenchCase>& cases, DType dtype, const Dims& x) {
  const Pool1dSpec spec{2, 2, 0};
  const Dims y{x[0], spec.output_length(x[1]), x[2]};
  const std::string text = x.to_string() + " by 2";
  cases
      .emplace_back("max_pool1d_forward", text, dtype,
                    [=](Backend& b, const BenchViews& o) {
                      b.max_pool1d_forward(spec, o["x"], o["y"], o["index"]);
                    })
      .read("x", x)
      .written("y", y)
      .other({"index", BenchRole::written, DType::i32, y})
      .arithmetic(count(x));
  cases
      .emplace_back("max_pool1d_backward", text, dtype,
                    [=](Backend& b, const BenchViews& o) {
                      b.max_pool1d_backward(spec, o["index"], o["dy"], o["dx"]);
                    })
      .other({"index", BenchRole::read, DType::i32, y, 0.0, static_cast<double>(x[1])})
      .read("dy", y)
      .written("dx", x);
}

void add_average_pools(std::vector<BenchCase>& cases, DType dtype, const BenchSizes& sizes) {
  const Dims x{sizes.batch, sizes.length, leads};
  const Pool1dSpec spec{token_stride, token_stride, 0};
  const auto add = [&](const char* method, const std::string& text, const char* from,
                       const Dims& from_dims, const char* to, const Dims& to_dims, BenchCall call) {
    cases.emplace_back(method, text, dtype, std::move(call))
        .read(from, from_dims)
        .written(to, to_dims)
        .arithmetic(count(x));
  };
  const Dims tokens{x[0], spec.output_length(x[1]), leads};
  add("avg_pool1d_forward", x.to_string() + " by 4", "x", x, "y", tokens,
      [=](Backend& b, const BenchViews& o) { b.avg_pool1d_forward(spec, o["x"], o["y"]); });
  add("avg_pool1d_backward", x.to_string() + " by 4", "dy", tokens, "dx", x,
      [=](Backend& b, const BenchViews& o) { b.avg_pool1d_backward(spec, o["dy"], o["dx"]); });
  const Dims eight{x[0], 8, leads};
  add("adaptive_avg_pool1d_forward", x.to_string() + " to 8", "x", x, "y", eight,
      [](Backend& b, const BenchViews& o) { b.adaptive_avg_pool1d_forward(o["x"], o["y"]); });
  add("adaptive_avg_pool1d_backward", x.to_string() + " to 8", "dy", eight, "dx", x,
      [](Backend& b, const BenchViews& o) { b.adaptive_avg_pool1d_backward(o["dy"], o["dx"]); });
  // The generator's first step up.
  const Dims coarse{sizes.batch, sizes.length / 8, 64};
  const Dims fine{sizes.batch, 2 * coarse[1], 64};
  add("upsample_nearest_forward", coarse.to_string() + " by 2", "x", coarse, "y", fine,
      [](Backend& b, const BenchViews& o) { b.upsample_nearest_forward(2, o["x"], o["y"]); });
  add("upsample_nearest_backward", coarse.to_string() + " by 2", "dy", fine, "dx", coarse,
      [](Backend& b, const BenchViews& o) { b.upsample_nearest_backward(2, o["dy"], o["dx"]); });
}

}  // namespace

void add_movement_bench_cases(std::vector<BenchCase>& cases, DType dtype, const BenchSizes& sizes) {
  add_elementwise(cases, dtype, {sizes.batch, sizes.length, 64});
  add_broadcast(cases, dtype, sizes);
  add_slices(cases, dtype, sizes);
  add_reductions(cases, dtype, sizes);
  add_activations(cases, dtype, {sizes.batch, sizes.length, 64});
  add_softmax_and_dropout(cases, dtype, sizes);
}

void add_pooling_bench_cases(std::vector<BenchCase>& cases, DType dtype, const BenchSizes& sizes) {
  add_max_pool(cases, dtype, {sizes.batch, sizes.length, 16});
  add_max_pool(cases, dtype, {sizes.batch, sizes.length, 64});
  add_average_pools(cases, dtype, sizes);
}

}  // namespace cardiograd
