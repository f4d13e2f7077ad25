// Cases of attention, embedding, quantisation and nearest upsampling.
#include <limits>

#include "tests/kernels/operation_cases.h"

namespace cardiograd::cases {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Attention {
  std::int64_t batch, queries, keys, width, heads;
  bool causal = false;
  double dropout = 0.0;
  bool padding = false;
  bool mask = false;
  bool records = false;
  double size = 1.0;  // of q and k
};

std::vector<Attention> attentions() {
  std::vector<Attention> all{
      {1, 1, 1, 1, 1},      {2, 3, 5, 4, 1},    {2, 5, 3, 12, 3},    {3, 1, 1, 128, 8},
      {2, 8, 31, 120, 12},  {1, 49, 50, 30, 3}, {2, 48, 16, 8, 2},   {1, 97, 101, 64, 1},
      {1, 7, 130, 66, 2},   {0, 3, 4, 6, 2},    {2, 0, 4, 6, 2},     {2, 3, 0, 6, 2},
      {1, 250, 250, 20, 2}, {9, 2, 3, 10, 5},   {1, 18, 37, 192, 2},
  };
  const std::vector<Attention> plain{{2, 5, 7, 6, 2}, {2, 50, 61, 10, 1}};
  for (Attention each : plain) {
    each.causal = true;
    all.push_back(each);
    each.padding = true;
    each.mask = true;
    all.push_back(each);
    each.causal = false;
    each.dropout = 0.3;
    all.push_back(each);
    each.records = true;
    each.padding = false;
    each.mask = false;
    all.push_back(each);
    each.dropout = 1.0;
    all.push_back(each);
    each.dropout = 0.0;
    each.size = 30.0;  // overflows where no maximum is subtracted
    all.push_back(each);
  }
  return all;
}

OperationCase attention_case(const Attention& a) {
  AttentionSpec spec{a.heads, a.causal, a.dropout, {0x123456789abcdefU, 3, 5}};
  std::string name = Dims{a.batch, a.queries, a.keys, a.width, a.heads}.to_string();
  if (a.causal) name += " causal";
  if (a.dropout > 0.0) name += " dropout " + std::to_string(a.dropout);
  if (a.padding) name += " padding";
  if (a.mask) name += " mask";
  if (a.records) name += " records";
  if (a.size > 1.0) name += " large";
  OperationCase each{name, {}, [=](Backend& backend, const BoundOperands& o) {
                       backend.attention_forward(
                           spec, {o.optional("padding"), o.optional("mask"), o.optional("records")},
                           o["q"], o["k"], o["v"], o["y"], o["lse"]);
                     }};
  // A record whose keys are all hidden, queries that a mask leaves without a key.
  const Dims keys{a.batch, a.keys};
  if (a.padding) {
    each.add({"padding", Role::input, DType::u8, keys, [](std::int64_t count, std::uint64_t) {
                std::vector<double> hidden;
                for (std::int64_t i = 0; i < count; ++i)
                  hidden.push_back(i < count / 2 || i % 3 == 0);
                return hidden;
              }});
  }
  if (a.mask) {
    each.input("mask", {a.queries, a.keys}, listed({0.5, -infinity, -1.0, 0.0, 2.0}));
  }
  if (a.records) each.add({"records", Role::input, DType::i32, {a.batch}, whole(0, 21799)});
  return each.input("q", {a.batch, a.queries, a.width}, uniform(-a.size, a.size))
      .input("k", {a.batch, a.keys, a.width}, uniform(-a.size, a.size))
      .input("v", {a.batch, a.keys, a.width})
      .output("y", {a.batch, a.queries, a.width})
      .output("lse", {a.batch, a.heads, a.queries})
      .statistic();
}

struct Lookup {
  Dims indices;
  std::int64_t rows, width;
};

std::vector<Lookup> lookups() {
  return {{{5}, 3, 4},     {{2, 3}, 7, 1}, {{1}, 1, 1}, {{0, 4}, 3, 5}, {{2, 250, 12}, 3072, 10},
          {{3, 2}, 4, 33}, {{}, 9, 6},     {{4}, 2, 0}};
}

OperationCase embedding_case(const Lookup& lookup) {
  OperationCase each{lookup.indices.to_string() + " of " + std::to_string(lookup.rows) + " x " +
                         std::to_string(lookup.width),
                     {},
                     [](Backend& backend, const BoundOperands& o) {
                       backend.embedding_forward(o["indices"], o["weight"], o["y"]);
                     }};
  Dims y = lookup.indices;
  y.push_back(lookup.width);
  each.add({"indices", Role::input, DType::i32, lookup.indices,
            whole(0, static_cast<int>(lookup.rows) - 1)});
  return each.input("weight", {lookup.rows, lookup.width}).output("y", y);
}

OperationCase quantize_case(const std::string& name, const QuantizeSpec& spec, const Dims& dims,
                            Values values) {
  OperationCase each{
      name + " " + dims.to_string(), {}, [=](Backend& backend, const BoundOperands& o) {
        backend.quantize(spec, o["x"], o["y"]);
      }};
  return each.input("x", dims, std::move(values))
      .add({"y", Role::output, DType::i32, dims, nullptr});
}

OperationCase upsample_case(const Dims& x, std::int64_t factor) {
  OperationCase each{x.to_string() + " by " + std::to_string(factor),
                     {},
                     [=](Backend& backend, const BoundOperands& o) {
                       backend.upsample_nearest_forward(factor, o["x"], o["y"]);
                     }};
  return each.input("x", x).output("y", {x[0], factor * x[1], x[2]});
}

std::vector<OperationCase> all_upsample_cases() {
  std::vector<OperationCase> cases;
  for (const Dims& x : {Dims{1, 1, 1}, Dims{3, 17, 12}, Dims{2, 9, 65}, Dims{0, 3, 4},
                        Dims{2, 0, 4}, Dims{2, 5, 0}, Dims{40, 50, 30}}) {
    for (const std::int64_t factor : {1, 2, 5}) cases.push_back(upsample_case(x, factor));
  }
  return cases;
}

}  // namespace

std::vector<OperationCase> attention_forward_cases() {
  std::vector<OperationCase> cases;
  for (const Attention& each : attentions()) cases.push_back(attention_case(each));
  return cases;
}

std::vector<OperationCase> attention_backward_cases() {
  std::vector<OperationCase> cases;
  for (const Attention& a : attentions()) {
    if (a.size > 1.0) continue;  // nothing is left of a saturated softmax's gradient but rounding
    const AttentionSpec spec{a.heads, a.causal, a.dropout, {0x123456789abcdefU, 3, 5}};
    cases.push_back(backward_case(
        attention_case(a), {"dq", "dk", "dv"}, [=](Backend& backend, const BoundOperands& o) {
          backend.attention_backward(
              spec, {o.optional("padding"), o.optional("mask"), o.optional("records")}, o["q"],
              o["k"], o["v"], o["y"], o["lse"], o["dy"], o["dq"], o["dk"], o["dv"]);
        }));
  }
  return cases;
}

std::vector<OperationCase> embedding_forward_cases() {
  std::vector<OperationCase> cases;
  for (const Lookup& each : lookups()) cases.push_back(embedding_case(each));
  return cases;
}

std::vector<OperationCase> embedding_backward_cases() {
  std::vector<OperationCase> cases;
  for (const Lookup& each : lookups()) {
    cases.push_back(backward_case(embedding_case(each), {"dweight"},
                                  [](Backend& backend, const BoundOperands& o) {
                                    backend.embedding_backward(o["indices"], o["dy"], o["dweight"]);
                                  }));
  }
  return cases;
}

std::vector<OperationCase> quantize_cases() {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> edges{-1.0, 1.0, 0.0,      -0.75,     0.5, 0.25,
                                  -1.5, 9.0, infinity, -infinity, nan};
  return {quantize_case("leads", {-4.0, 4.0, 256, 256}, {3, 250, 12}, uniform(-5.0, 5.0)),
          quantize_case("one level", {-1.0, 1.0, 1, 0}, {4, 3}, uniform()),
          quantize_case("uneven", {-0.3, 0.7, 10, 0}, {1031}, uniform()),
          quantize_case("edges", {-1.0, 1.0, 8, 8}, {4, 11}, listed(edges)),
          quantize_case("nothing", {-1.0, 1.0, 8, 8}, {0, 11}, uniform()),
          quantize_case("no channel", {-1.0, 1.0, 8, 8}, {3, 0}, uniform())};
}

std::vector<OperationCase> upsample_nearest_forward_cases() { return all_upsample_cases(); }

std::vector<OperationCase> upsample_nearest_backward_cases() {
  std::vector<OperationCase> cases;
  for (const OperationCase& forward : all_upsample_cases()) {
    const std::int64_t length = forward.at("x").dims[1];
    const std::int64_t factor = length > 0 ? forward.at("y").dims[1] / length : 1;
    cases.push_back(backward_case(forward, {"dx"}, [=](Backend& backend, const BoundOperands& o) {
      backend.upsample_nearest_backward(factor, o["dy"], o["dx"]);
    }));
  }
  return cases;
}

}  // namespace cardiograd::cases
