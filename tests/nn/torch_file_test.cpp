#include "nn/torch_file.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <map>

#include "nn/weights_file.h"
#include "tests/support/shared_data.h"
#include "tests/support/temp_folder.h"
#include "tests/support/torch_archive.h"
#include "tests/support/zip_file.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::read_file;
using testing::string_op;
using testing::tensor_op;
using testing::torch_archive;
using testing::zip_bytes;

std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(CARDIOGRAD_SOURCE_DIR) / "tests/golden/data" / name;
}

const TorchValue& at(const TorchValue& dict, std::string_view key) {
  const TorchValue* found = dict.find(key);
  if (found == nullptr) throw std::runtime_error("no " + std::string(key));
  return *found;
}

using Doubles = std::vector<double>;
Doubles doubles(const TorchValue& dict, std::string_view key) {
  return at(dict, key).as_tensor().values<double>();
}

// Text with zero bytes in it.
template <std::size_t N>
std::string bytes(const char (&text)[N]) {
  return {text, N - 1};
}

// A tensor of storage 0: ops of a pickle.
std::string tensor_ops(std::int64_t elements, std::int64_t offset,
                       const std::vector<std::int64_t>& sizes,
                       const std::vector<std::int64_t>& strides) {
  return tensor_op({elements, offset, sizes, strides});
}

const std::string protocol = "\x80\x02";

std::string archive(const std::string& ops, const std::string& storage = std::string(24, '\0')) {
  return torch_archive(ops, {storage});
}

TorchValue parse(const std::string& file) {
  return parse_torch_file(std::as_bytes(std::span(file)), "x.pt");
}
std::string parse_error(const std::string& file) {
  return error_of([&] { parse(file); });
}
std::string pickle_error(const std::string& ops) { return parse_error(archive(ops)); }

class TorchFile : public ::testing::TestWithParam<const char*> {
 protected:
  TorchValue value_ = read_torch_file(golden(GetParam()));
};

TEST_P(TorchFile, TensorsOfEveryDtype) {
  EXPECT_EQ(doubles(value_, "float64"), (Doubles{0.1, -2.0}));
  EXPECT_EQ(at(value_, "float32").as_tensor().dims(), (Dims{1, 3}));
  EXPECT_EQ(doubles(value_, "float32"), (Doubles{1.5, -2.25, 3.0}));
  EXPECT_EQ(doubles(value_, "float16"), (Doubles{0.5, -65504.0, std::ldexp(1.0, -24)}));
  EXPECT_EQ(doubles(value_, "bfloat16"), (Doubles{1.0, -3.0}));
  EXPECT_EQ(doubles(value_, "int64"), (Doubles{2147483647.0, -2147483648.0}));
  EXPECT_EQ(doubles(value_, "int32"), (Doubles{-7, 8}));
  EXPECT_EQ(doubles(value_, "int16"), (Doubles{-300, 300}));
  EXPECT_EQ(doubles(value_, "int8"), (Doubles{-128, 127}));
  EXPECT_EQ(doubles(value_, "uint8"), (Doubles{0, 255}));
  EXPECT_EQ(doubles(value_, "bool"), (Doubles{1, 0, 1}));
  EXPECT_EQ(at(value_, "wide").as_tensor().values<std::int64_t>()[0], std::int64_t{1} << 40);
  for (const char* name : {"float64", "float32", "float16", "bfloat16", "int64", "int32", "int16",
                           "int8", "uint8", "bool"}) {
    EXPECT_EQ(name_of(at(value_, name).as_tensor().dtype()), name);
  }
}

TEST_P(TorchFile, TensorsOnABackend) {
  const auto backend = make_backend("cpu");
  const auto tensor = [&](const char* key) {
    return at(value_, key).as_tensor().to_tensor(backend);
  };
  EXPECT_EQ(tensor("float16").dtype(), DType::f32);
  EXPECT_EQ(tensor("float16").to_vector<float>()[1], -65504.0F);
  EXPECT_EQ(tensor("bfloat16").dtype(), DType::bf16);
  EXPECT_EQ(tensor("bfloat16").to_vector<float>()[1], -3.0F);
  EXPECT_EQ(tensor("int64").to_vector<std::int32_t>()[1], -2147483647 - 1);
  EXPECT_EQ(tensor("int8").to_vector<std::int32_t>()[0], -128);
  EXPECT_EQ(tensor("bool").to_vector<std::int32_t>()[2], 1);
  EXPECT_EQ(tensor("float64").to_vector<double>()[0], 0.1);
  EXPECT_EQ(tensor("transposed").to_vector<float>()[1], 6.0F);
  EXPECT_EQ(error_of([&] { tensor("wide"); }),
            "it has the integer 1099511627776, which does not fit into 32 bits");
}

TEST_P(TorchFile, ShapesStridesAndSharedStorages) {
  EXPECT_EQ(at(value_, "scalar").as_tensor().dims().rank(), 0);
  EXPECT_EQ(doubles(value_, "scalar"), Doubles{3.5});
  EXPECT_EQ(at(value_, "empty").as_tensor().dims(), (Dims{0, 3}));
  EXPECT_EQ(doubles(value_, "empty"), Doubles{});
  const TorchTensor& transposed = at(value_, "transposed").as_tensor();
  EXPECT_EQ(transposed.dims(), (Dims{6, 4}));
  EXPECT_FALSE(transposed.is_contiguous());
  const Doubles columns = transposed.values<double>();
  for (std::size_t i = 0; i < columns.size(); ++i) {
    EXPECT_EQ(columns[i], static_cast<double>(i % 4 * 6 + i / 4)) << i;
  }
  EXPECT_EQ(doubles(value_, "part"), (Doubles{5, 8, 11, 14}));
  EXPECT_EQ(doubles(value_, "repeated"), (Doubles{4, 4, 4, 4, 4, 4}));
  EXPECT_EQ(doubles(value_, "parameter"), Doubles{9});
}

TEST_P(TorchFile, PlainValues) {
  const auto list = at(value_, "list").items();
  ASSERT_EQ(list.size(), 9U);
  EXPECT_EQ(list[1].as_integer(), -2);
  EXPECT_EQ(list[2].as_integer(), std::int64_t{1} << 40);
  EXPECT_EQ(list[3].as_integer(), 300);
  EXPECT_EQ(list[4].as_integer(), 70000);
  EXPECT_TRUE(list[5].is(TorchKind::none));
  EXPECT_TRUE(list[6].as_boolean());
  EXPECT_FALSE(list[7].as_boolean());
  EXPECT_EQ(list[8].as_number(), 0.25);
  const auto tuple = at(value_, "tuple").items();
  ASSERT_EQ(tuple.size(), 4U);
  EXPECT_TRUE(at(value_, "tuple").is(TorchKind::tuple));
  EXPECT_EQ(tuple[0].as_string(), "a");
  EXPECT_EQ(tuple[1].items()[0].as_string(), "b");
  EXPECT_EQ(tuple[2].items().size(), 0U);
  EXPECT_EQ(tuple[3].items()[3].as_integer(), 4);
  EXPECT_EQ(at(value_, "text").as_string(), "\u00dcberleitung");
  EXPECT_EQ(at(value_, "bytes").as_bytes(), bytes("\0A\xc8\xff"));
  EXPECT_EQ(at(*at(value_, "integer keys").find(std::int64_t{0}), "step").as_integer(), 1);
  EXPECT_EQ(at(value_, "ordered").entries()[0].key.as_string(), "z");
  EXPECT_EQ(at(value_, "numpy float64").as_number(), 0.625);
  EXPECT_EQ(at(value_, "numpy float32").as_number(), 1.5);
  EXPECT_EQ(at(value_, "numpy int64").as_integer(), -12345678901);
  EXPECT_EQ(at(value_, "numpy uint8").as_integer(), 200);
  EXPECT_TRUE(at(value_, "numpy bool").as_boolean());
  EXPECT_EQ(at(value_, "dtype").as_string(), "torch.float16");
  EXPECT_EQ(at(value_, "size").items()[1].as_integer(), 3);
}

TEST_P(TorchFile, StateDict) {
  const auto& state = at(value_, "state");
  ASSERT_EQ(state.entries().size(), 7U);
  EXPECT_EQ(state.entries()[0].key.as_string(), "0.weight");
  EXPECT_EQ(doubles(state, "1.bias"), Doubles{4});
  EXPECT_EQ(at(state, "1.num_batches_tracked").as_tensor().dims().rank(), 0);
}

INSTANTIATE_TEST_SUITE_P(, TorchFile,
                         ::testing::Values("torch_zip.pt", "torch_protocol5.pt", "torch_legacy.pt",
                                           "torch_legacy4.pt", "torch_deflated.pt"),
                         [](const auto& test) {
                           const std::string name = test.param;
                           return name.substr(6, name.size() - 9);
                         });

TEST(TorchSeedFiles, MetricsAndEmbeddings) {
  CARDIOGRAD_NEEDS_SHARED("golden/seed");
  const TorchValue metrics = read_torch_file(testing::shared_path("golden/seed/metrics_MMRNN.pt"));
  EXPECT_TRUE(metrics.is(TorchKind::dict));
  for (const TorchEntry& entry : metrics.entries()) EXPECT_FALSE(entry.value.items().empty());
  const TorchValue note = read_torch_file(testing::shared_path("golden/seed/embeddings/1.pt"));
  EXPECT_EQ(note.as_tensor().numel(), 768);
}

TEST(TorchSeedFiles, EveryWeightOfBothModels) {
  CARDIOGRAD_NEEDS_SHARED("golden/seed");
  const auto backend = make_backend("cpu");
  for (const auto& [name, parameters] : std::map<std::string, std::int64_t>{
           {"model_MMCNN_CAT.pt", 3173029}, {"model_MMRNN.pt", 110085}}) {
    std::int64_t count = 0;
    for (const StateEntry& entry :
         read_weights(testing::shared_path("golden/seed/" + name), backend)) {
      count += entry.value.numel();
    }
    EXPECT_EQ(count, parameters) << name;
  }
}

TEST(TorchFileErrors, OtherKindsOfFiles) {
  const std::string hint =
      "; load the file where you trust it and save the model's state_dict alone";
  EXPECT_EQ(parse_error(""),
            "x.pt is no PyTorch file: it begins neither like a zip archive nor like the older "
            "format of torch.save");
  EXPECT_EQ(parse_error("\x80\x04]."),
            "x.pt is a pickle that torch.save did not write; save it with torch.save");
  EXPECT_EQ(parse_error(zip_bytes({{"a/b", "c"}})),
            "x.pt is a zip archive without data.pkl: torch.save did not write it");
  EXPECT_EQ(parse_error(zip_bytes({{"a/data.pkl", "N."}, {"b/data.pkl", "N."}})),
            "x.pt has two pickles, \"a/data.pkl\" and \"b/data.pkl\"");
  EXPECT_EQ(parse_error(zip_bytes({{"a/data.pkl", "N."}, {"a/byteorder", "big"}})),
            "x.pt was saved on a big-endian machine, but only little-endian files are read; load "
            "and save it again with PyTorch");
}

TEST(TorchFileErrors, GlobalsAreRefusedByName) {
  const auto refused = [](const std::string& global) {
    return "x.pt names the global \"" + global +
           "\", which this reader does not run: it takes tensors, dicts, lists, numbers and "
           "strings; load the file where you trust it and save the model's state_dict alone";
  };
  EXPECT_EQ(pickle_error("cos\nsystem\n" + string_op("true") + "\x85R"), refused("os.system"));
  EXPECT_EQ(pickle_error(string_op("builtins") + string_op("eval") + "\x93"),
            refused("builtins.eval"));
  EXPECT_EQ(pickle_error("cbuiltins\nset\n"), refused("builtins.set"));
  EXPECT_EQ(pickle_error("ctorch.storage\n_load_from_bytes\n"),
            refused("torch.storage._load_from_bytes"));
  EXPECT_EQ(pickle_error("ctorch.nn.modules.linear\nLinear\n"),
            refused("torch.nn.modules.linear.Linear"));
  EXPECT_EQ(pickle_error("ctorch\nComplexFloatStorage\n"), refused("torch.ComplexFloatStorage"));
  EXPECT_EQ(pickle_error("\x8f"),
            "x.pt holds a set, which this reader does not take; save a list instead");
  EXPECT_EQ(pickle_error("ccollections\nOrderedDict\n)\x81"),
            "x.pt holds an object of a Python class, which this reader does not build; save its "
            "state_dict instead");
  EXPECT_EQ(pickle_error("ctorch\nFloatStorage\n"),
            "x.pt holds a storage or a function outside a tensor, which this reader does not "
            "take; save tensors instead");
}

TEST(TorchFileErrors, TensorsBeyondTheirStorage) {
  // The storage has 24 bytes: 6 floats.
  EXPECT_EQ(parse(archive(tensor_ops(6, 1, {5}, {1}))).as_tensor().numel(), 5);
  const auto beyond = [](const std::string& shape) {
    return "x.pt has a tensor of shape " + shape +
           ", which reaches beyond its storage of 6 elements";
  };
  EXPECT_EQ(pickle_error(tensor_ops(6, 2, {5}, {1})), beyond("[5], strides [1] and offset 2"));
  EXPECT_EQ(pickle_error(tensor_ops(6, -1, {5}, {1})), beyond("[5], strides [1] and offset -1"));
  EXPECT_EQ(pickle_error(tensor_ops(6, 0, {2, 3}, {4, 1})),
            beyond("[2, 3], strides [4, 1] and offset 0"));
  const std::int64_t huge = std::int64_t{1} << 62;
  EXPECT_EQ(pickle_error(tensor_ops(6, 0, {huge, 8}, {0, 0})),
            beyond("[4611686018427387904, 8], strides [0, 0] and offset 0"));
  EXPECT_EQ(pickle_error(tensor_ops(6, huge, {3}, {huge})),
            beyond("[3], strides [4611686018427387904] and offset 4611686018427387904"));
  EXPECT_EQ(pickle_error(tensor_ops(6, 0, {-1}, {1})),
            "x.pt has a tensor with a size or stride that is no count");
  EXPECT_EQ(pickle_error(tensor_ops(6, 0, {1}, {-1})),
            "x.pt has a tensor with a size or stride that is no count");
  EXPECT_EQ(pickle_error(tensor_ops(6, 0, {1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1})),
            "x.pt has a tensor of 7 dimensions, but this reader takes at most 6");
  EXPECT_NE(pickle_error(tensor_ops(6, 0, {1 << 30}, {0})).find("bytes, far more than the file"),
            std::string::npos);
}

TEST(TorchFileErrors, StoragesOfAnotherSize) {
  EXPECT_EQ(pickle_error(tensor_ops(7, 0, {1}, {1})),
            "x.pt: storage \"0\" has 24 bytes, but its pickle says 28");
  EXPECT_EQ(pickle_error(tensor_ops(-1, 0, {1}, {1})),
            "x.pt: storage \"0\" has the impossible size -1");
  EXPECT_EQ(pickle_error(tensor_ops(std::int64_t{1} << 62, 0, {1}, {1})),
            "x.pt: storage \"0\" has the impossible size 4611686018427387904");
  EXPECT_EQ(parse_error(zip_bytes({{"data.pkl", tensor_ops(6, 0, {1}, {1}) + "."}})),
            "x.pt lacks the storage \"0\"");
}

TEST(TorchFileErrors, Pickles) {
  const auto damaged = [](int byte, const std::string& how) {
    return "x.pt is damaged: at byte " + std::to_string(byte) + " its pickle " + how;
  };
  EXPECT_EQ(parse_error(zip_bytes({{"a/data.pkl", protocol + "]"}})), damaged(3, "ends early"));
  EXPECT_EQ(parse_error(zip_bytes({{"a/data.pkl", bytes("X\xff\xff\xff\xff abc")}})),
            damaged(5, "ends early"));
  EXPECT_EQ(parse_error(zip_bytes({{"a/data.pkl", bytes("\x8d\xff\xff\xff\xff\xff\xff\xff\xff")}})),
            damaged(9, "ends early"));
  EXPECT_EQ(parse_error(zip_bytes({{"a/data.pkl", "cnever\nending"}})), damaged(7, "ends early"));
  EXPECT_EQ(pickle_error("a"), damaged(3, "takes a value that is not there"));
  EXPECT_EQ(pickle_error("N(a"), damaged(5, "takes a value that is not there"));
  EXPECT_EQ(pickle_error("]e"), damaged(4, "takes a mark that is not there"));
  EXPECT_EQ(pickle_error("}(Nu"), damaged(6, "has a key without a value"));
  EXPECT_EQ(pickle_error("NNa"), damaged(5, "appends to what is no list"));
  EXPECT_EQ(pickle_error("h\x05"), damaged(4, "asks for remembered value 5 of 0"));
  EXPECT_EQ(pickle_error(bytes("Nr\xff\xff\xff\x7f")),
            damaged(8, "remembers a value as number 2147483647 after 0 others"));
  EXPECT_EQ(pickle_error("I1\n"), damaged(3, "has the opcode 73, which torch.save does not write"));
  EXPECT_EQ(pickle_error("N)R"), damaged(5, "passes a function something that it does not take"));
  EXPECT_EQ(pickle_error("}(NNNNu"), "") << "only strings and integers must be unique";
  EXPECT_EQ(pickle_error("}(K\1NK\1Nu"), "x.pt has a dict with two entries 1");
  EXPECT_EQ(pickle_error("}(" + string_op("a") + "N" + string_op("a") + "Nu"),
            "x.pt has a dict with two entries \"a\"");
  EXPECT_EQ(pickle_error(bytes("\x8a\x09\1\2\3\4\5\6\7\x08\x09")),
            "x.pt holds an integer of more than 64 bits, which this reader does not take");
}

TEST(TorchFileErrors, NestingCyclesAndRepetition) {
  const std::string deep =
      "x.pt nests lists and dicts deeper than 64 levels, or puts one into itself";
  EXPECT_EQ(pickle_error(std::string(100000, ']') + std::string(99999, 'a')), deep);
  EXPECT_EQ(pickle_error(")" + std::string(100000, '\x85')), deep);
  EXPECT_EQ(pickle_error(bytes("]q\0h\0a")), deep);
  EXPECT_EQ(pickle_error(bytes("}q\0h\0h\0s")), deep);
  // Each list holds the one before twice: 2^40 values in 200 bytes.
  std::string doubling = bytes("]q\0");
  for (int i = 0; i < 40; ++i) {
    const std::string before = "h" + std::string(1, static_cast<char>(i));
    doubling += "](" + before + before + "eq" + std::string(1, static_cast<char>(i + 1));
  }
  EXPECT_EQ(pickle_error(doubling),
            "x.pt repeats its lists and dicts until they are far larger than the file");
  EXPECT_EQ(pickle_error(std::string((1 << 22) + 1, 'N')),
            "x.pt holds more than 4194304 numbers and strings outside its tensors; save them as a "
            "tensor");
}

TEST(TorchFileErrors, Archives) {
  const std::string good = archive(tensor_ops(6, 0, {6}, {1}), bytes("abcdefghijklmnopqrstuvwx"));
  EXPECT_EQ(parse(good).as_tensor().numel(), 6);
  for (const std::size_t size : {good.size() - 1, good.size() / 2, std::size_t{30}}) {
    EXPECT_EQ(parse_error(good.substr(0, size)).find("x.pt is a zip archive that is cut off"), 0U)
        << size;
  }
  std::string flipped = good;
  flipped[good.find("mnop")] ^= 1;
  EXPECT_EQ(parse_error(flipped),
            "x.pt: its entry \"a/data/0\" is damaged: its length or checksum is not what the "
            "archive says");
  std::string doubled =
      zip_bytes({{"a/data.pkl", "N."}, {"a/data/0", "0123"}, {"a/data/1", "4567"}});
  for (std::size_t found = 0; (found = doubled.find("a/data/1")) != std::string::npos;) {
    doubled.replace(found, 8, "a/data/0");
  }
  EXPECT_EQ(parse_error(doubled),
            "x.pt is a zip archive with two entries of the same name: save it again");
}

TEST(TorchFileErrors, ZipBombs) {
  const std::string zeros(std::size_t{8} << 20, '\0');
  const std::string bomb =
      zip_bytes({{"a/data.pkl", "N."}, {"a/data/0", zeros, true}, {"a/version", "3"}});
  ASSERT_LT(bomb.size(), 20000U);
  EXPECT_EQ(parse_error(bomb), "x.pt unpacks to more than the " +
                                   std::to_string(32 * bomb.size() + (1 << 20)) +
                                   " bytes that an archive of its size may hold: it looks like a "
                                   "zip bomb");
  // The same with a directory that says 1,000 bytes.
  std::string liar = zip_bytes(
      {{"a/data.pkl", protocol + tensor_ops(250, 0, {250}, {1}) + "."}, {"a/data/0", zeros, true}});
  const std::uint32_t real = 8U << 20, claimed = 1000;
  const std::string wanted(reinterpret_cast<const char*>(&real), 4);
  for (std::size_t found = 0; (found = liar.find(wanted, found)) != std::string::npos; ++found) {
    std::memcpy(&liar[found], &claimed, 4);
  }
  EXPECT_EQ(parse_error(liar),
            "x.pt: its entry \"a/data/0\" is damaged: its length or checksum is not what the "
            "archive says");
}

TEST(TorchFileErrors, OlderFormat) {
  const std::string good = read_file(golden("torch_legacy.pt"));
  for (std::size_t size = 14; size < good.size(); size += 97) {
    EXPECT_NE(parse_error(good.substr(0, size)), "") << size;
  }
  EXPECT_EQ(parse_error(good + "!"), "x.pt is damaged: bytes follow its last storage");
  EXPECT_EQ(parse_error(good.substr(0, good.size() - 1)).find("x.pt is damaged: it ends inside"),
            0U);
  const std::string head = bytes("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.") +
                           bytes("\x80\x02M\xe9\x03.");
  const std::string little = "}" + string_op("little_endian") + "\x88s.";
  EXPECT_EQ(parse_error(head + "}" + string_op("little_endian") + "\x89s."),
            "x.pt was saved on a big-endian machine, but only little-endian files are read; load "
            "and save it again with PyTorch");
  EXPECT_EQ(parse_error(head + little + tensor_ops(1000000, 0, {1}, {1}) + ".].")
                .find("x.pt: storage \"0\" has 4000000 bytes, more than the whole file"),
            0U);
  EXPECT_EQ(parse_error(head + little + tensor_ops(1, 0, {1}, {1}) + ".]."),
            "x.pt is damaged: it lacks a storage that its tensors name");
  const std::string keys = "]" + string_op("0") + "a.";
  EXPECT_EQ(parse_error(head + little + tensor_ops(1, 0, {1}, {1}) + "." + keys +
                        bytes("\2\0\0\0\0\0\0\0abcdefgh")),
            "x.pt is damaged: storage \"0\" has 2 elements, but its pickle says 1");
  EXPECT_EQ(parse_error(head + little + "N." + keys),
            "x.pt is damaged: storage \"0\" belongs to no tensor or comes twice");
}

}  // namespace
}  // namespace cardiograd
