// Every operation of a backend against the reference, case by case; and proof that the comparison
// sees what it should.
#include <fstream>
#include <gtest/gtest.h>
#include <istream>
#include <memory>
#include <set>
#include <sstream>

#include "tests/kernels/operation_cases.h"
#include "tests/reference/reference_backend.h"
#include "tests/support/address_sanitizer.h"

namespace cardiograd {
namespace {

// (device as make_backend takes it, Backend's method)
class Operations : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(Operations, AgreesWithReference) {
  const auto& [device, method] = GetParam();
  const std::shared_ptr<Backend> backend = make_backend(device);
  const std::vector<cases::OperationCase> all = cases::operation_named(method).cases();
  EXPECT_FALSE(all.empty());
  for (const cases::OperationCase& each : all) {
    try {
      EXPECT_EQ(cases::check_case(each, *backend), "") << method;
    } catch (const std::exception& error) {
      ADD_FAILURE() << method << " " << each.name << " threw: " << error.what();
    }
  }
}

std::vector<std::string> methods() {
  std::vector<std::string> names;
  for (const cases::Operation& operation : cases::operations()) names.push_back(operation.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Cpu, Operations,
                         ::testing::Combine(::testing::Values("cpu"),
                                            ::testing::ValuesIn(methods())),
                         [](const ::testing::TestParamInfo<Operations::ParamType>& parameter) {
                           return std::get<1>(parameter.param);
                         });

// The reference itself stays inside its operands and leaves its inputs alone.
TEST(Reference, StaysInsideItsOperands) {
  ReferenceBackend reference;
  for (const cases::Operation& operation : cases::operations()) {
    for (const cases::OperationCase& each : operation.cases()) {
      EXPECT_EQ(cases::check_case(each, reference), "") << operation.name;
    }
  }
}

// The names of the pure virtual methods that a header's text declares.
std::set<std::string> pure_virtual_methods(std::istream& header) {
  std::string text;
  for (std::string line; std::getline(header, line);)
    text += line.substr(0, line.find("//")) + '\n';
  std::set<std::string> names;
  const std::string keyword = "virtual ";
  for (std::size_t at = text.find(keyword); at != std::string::npos;
       at = text.find(keyword, at + 1)) {
    const std::string declaration = text.substr(at, text.find(';', at) - at);
    const std::size_t open = declaration.find('(');
    if (open == std::string::npos || !declaration.ends_with(" = 0")) continue;
    const std::size_t before = declaration.find_last_of(" *&\n", open);
    names.insert(declaration.substr(before + 1, open - before - 1));
  }
  return names;
}

TEST(OperationTable, NamesEveryMethodOfBackend) {
  std::ifstream header(CARDIOGRAD_SOURCE_DIR "/kernels/backend.h");
  std::set<std::string> declared = pure_virtual_methods(header);
  // Not operations: who the backend is, its memory, its queue.
  const std::set<std::string> exempt{"name",           "default_dtype", "allocate",   "deallocate",
                                     "copy_from_host", "copy_to_host",  "synchronize"};
  for (const std::string& name : exempt) {
    EXPECT_EQ(declared.erase(name), 1U) << name << " is no method of Backend any more";
  }
  std::set<std::string> tested;
  for (const cases::Operation& operation : cases::operations()) {
    EXPECT_TRUE(tested.insert(operation.name).second) << operation.name << " has two rows";
  }
  for (const std::string& name : declared) {
    EXPECT_TRUE(tested.count(name)) << "Backend::" << name << " has no row in the table of cases";
  }
  for (const std::string& name : tested) {
    EXPECT_TRUE(declared.count(name)) << "the row " << name << " names no method of Backend";
  }
}

TEST(OperationTable, FindsMethodsHoweverTheyAreWritten) {
  std::istringstream header(
      "virtual ~Backend() = default;\n"
      "virtual void* allocate(std::size_t bytes) = 0;\n"
      "// virtual void old(View y) = 0;\n"
      "virtual void cast(ConstView x,\n                  View y) = 0;  // any to any\n"
      "virtual void free(void* data) noexcept = 0;\n"
      "virtual bool has(int axis) const { return axis == 0; }\n");
  EXPECT_EQ(pure_virtual_methods(header), (std::set<std::string>{"allocate", "cast", "free"}));
}

TEST(OperationTable, HasNoTwoCasesOfOneName) {
  for (const cases::Operation& operation : cases::operations()) {
    std::set<std::string> names;
    for (const cases::OperationCase& each : operation.cases()) {
      EXPECT_TRUE(names.insert(each.name).second) << operation.name << " " << each.name;
    }
  }
}

// ---- Planted errors: each must be seen ----------------------------------------------------------

enum class Fault { none, wrong_element, unwritten_element, write_past_end, changed_input };

class FaultyBackend : public ReferenceBackend {
 public:
  explicit FaultyBackend(Fault fault) : fault_(fault) {}

  void conv1d_forward(const Conv1dSpec& spec, ConstView x, ConstView weight, ConstView bias,
                      View y) override {
    double* last = y.as<double>() + y.numel() - 1;
    const double before = *last;
    ReferenceBackend::conv1d_forward(spec, x, weight, bias, y);
    switch (fault_) {
      case Fault::none:
        break;
      case Fault::wrong_element:
        *last += 0.01;
        break;
      case Fault::unwritten_element:
        *last = before;
        break;
      case Fault::write_past_end:
        last[1] = 0.0;
        break;
      case Fault::changed_input:
        *const_cast<double*>(x.as<double>()) += 1.0;
        break;
    }
  }

  void max_pool1d_forward(const Pool1dSpec& spec, ConstView x, View y, View index) override {
    ReferenceBackend::max_pool1d_forward(spec, x, y, index);
    if (fault_ == Fault::wrong_element) ++*index.as<std::int32_t>();
  }

 private:
  Fault fault_;
};

std::string first_check(const char* operation, Fault fault) {
  FaultyBackend backend(fault);
  return cases::check_case(cases::operation_named(operation).cases().front(), backend);
}

TEST(PlantedError, IsAbsentAtFirst) {
  EXPECT_EQ(first_check("conv1d_forward", Fault::none), "");
  EXPECT_EQ(first_check("max_pool1d_forward", Fault::none), "");
}

TEST(PlantedError, InOneElementIsSeen) {
  EXPECT_NE(first_check("conv1d_forward", Fault::wrong_element).find("y NMSE"), std::string::npos)
      << first_check("conv1d_forward", Fault::wrong_element);
}

TEST(PlantedError, InOneIndexIsSeen) {
  EXPECT_NE(first_check("max_pool1d_forward", Fault::wrong_element)
                .find("index element 0 is 1, expected 0"),
            std::string::npos)
      << first_check("max_pool1d_forward", Fault::wrong_element);
}

TEST(PlantedError, OfAnElementNotWrittenIsSeen) {
  EXPECT_NE(first_check("conv1d_forward", Fault::unwritten_element).find("nan"), std::string::npos);
}

TEST(PlantedError, OfAWritePastTheEndIsSeen) {
#if defined(CARDIOGRAD_ADDRESS_SANITIZER)
  EXPECT_DEATH(first_check("conv1d_forward", Fault::write_past_end), "operations_test.cpp");
#else
  EXPECT_NE(first_check("conv1d_forward", Fault::write_past_end).find("wrote outside y"),
            std::string::npos);
#endif
}

TEST(PlantedError, OfAChangedInputIsSeen) {
  EXPECT_NE(first_check("conv1d_forward", Fault::changed_input).find("x was changed"),
            std::string::npos);
}

}  // namespace
}  // namespace cardiograd
