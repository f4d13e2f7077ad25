// A backend under observation: every operation is told by name, and nothing else is different.
#include "kernels/observed_backend.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <regex>
#include <set>

#include "kernels/operation_clock.h"
#include "tests/kernels/operation_cases.h"

namespace cardiograd {
namespace {

struct Listener final : OperationObserver {
  void begin(const char* operation) override { begun.emplace_back(operation); }
  void end() override { ++ended; }
  std::vector<std::string> begun;
  std::size_t ended = 0;
};

TEST(ObservedBackend, TellsEachOperationByNameAndComputesTheSame) {
  for (const cases::Operation& operation : cases::operations()) {
    const auto listener = std::make_shared<Listener>();
    const std::shared_ptr<Backend> backend = observed_backend(make_backend("cpu"), listener);
    EXPECT_EQ(cases::check_case(operation.cases().front(), *backend), "") << operation.name;
    EXPECT_GE(std::count(listener->begun.begin(), listener->begun.end(), operation.name), 1)
        << operation.name;
    EXPECT_EQ(listener->ended, listener->begun.size()) << operation.name;
  }
}

TEST(ObservedBackend, AnOperationThatThrowsHasNoEnd) {
  const auto listener = std::make_shared<Listener>();
  const std::shared_ptr<Backend> backend = observed_backend(make_backend("cpu"), listener);
  float x[2] = {1.0F, 2.0F}, y[3] = {};
  EXPECT_THROW(backend->copy({x, DType::f32, {2}}, {y, DType::f32, {3}}), ShapeError);
  EXPECT_EQ(listener->begun, std::vector<std::string>{"copy"});
  EXPECT_EQ(listener->ended, 0U);
}

// Methods with a body in Backend do not fail to compile where they are forgotten.
TEST(ObservedBackend, SpeaksForEveryMethodThatBackendDefines) {
  const auto text_of = [](const char* path) {
    std::ifstream file(std::string(CARDIOGRAD_SOURCE_DIR) + path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string header = text_of("/kernels/backend.h");
  const std::string source = text_of("/kernels/observed_backend.cpp");
  const std::regex declaration(R"(virtual [^;{=]*?(\w+)\([^;{]*\)( const)?( noexcept)?\s*(;|\{))");
  std::set<std::string> defined;
  for (std::sregex_iterator at(header.begin(), header.end(), declaration), end; at != end; ++at) {
    if (at->str().find("= 0") == std::string::npos) defined.insert((*at)[1]);
  }
  EXPECT_TRUE(defined.count("second_queue") && defined.count("upload_rows") &&
              defined.count("reads_host_memory"))
      << ::testing::PrintToString(defined);
  for (const std::string& name : defined) {
    EXPECT_NE(source.find(" " + name + "("), std::string::npos) << name;
  }
}

TEST(HostClock, TimesWhatHasEndedInOrderAndForgetsTheRest) {
  const std::unique_ptr<OperationClock> clock = make_backend("cpu")->operation_clock();
  EXPECT_TRUE(clock->read().empty());
  const auto wait = [](double microseconds) {
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begin <
           std::chrono::duration<double, std::micro>(microseconds)) {
    }
  };
  clock->begin();
  wait(300.0);
  clock->begin();  // the first did not end
  clock->end();
  clock->begin();
  wait(300.0);
  clock->end();
  const std::vector<double> times = clock->read();
  ASSERT_EQ(times.size(), 2U);
  EXPECT_GE(times[0], 0.0);
  EXPECT_GE(times[1], 300.0);
  EXPECT_TRUE(clock->read().empty());
}

}  // namespace
}  // namespace cardiograd
