// The plan cache against a stand-in device, whose clock says what a test wants of each candidate.
#include "kernels/cuda/plan_cache.h"

#include <algorithm>
#include <atomic>
#include <gtest/gtest.h>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cuda/plan_file.h"
#include "kernels/error.h"
#include "tests/support/environment_variable.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using cardiograd::testing::EnvironmentVariable;
using cardiograd::testing::error_of;
using cardiograd::testing::read_file;
using cardiograd::testing::TempFolder;
using cuda::Candidate;
using cuda::MathMode;
using cuda::PlanCache;
using cuda::PlanKey;
using cuda::PlanMachine;
using cuda::PlanOperands;
using cuda::PlanRecords;
using cuda::PlanRules;
using cuda::PlanTimer;

// A clock that candidates set forward.
struct StandIn {
  double clock = 0.0;
  bool capturing = false;
  int measured = 0;
  std::vector<std::string> ran;
  std::vector<std::string> said;
};

class StandInTimer final : public PlanTimer {
 public:
  explicit StandInTimer(StandIn& device) : device_(device) {}
  bool is_capturing() override { return device_.capturing; }
  double milliseconds(const std::function<void()>& run, int repetitions) override {
    EXPECT_FALSE(device_.capturing) << "nothing can be timed while a graph is captured";
    ++device_.measured;
    const double begin = device_.clock;
    for (int i = 0; i < repetitions; ++i) run();
    return device_.clock - begin;
  }

 private:
  StandIn& device_;
};

class Plans : public ::testing::Test {
 protected:
  PlanCache cache(PlanRules rules = {}) {
    return {std::move(rules), std::make_unique<StandInTimer>(device_), blocks_,
            [this](const std::string& sentence) { device_.said.push_back(sentence); }};
  }
  // Takes that long, each time.
  Candidate candidate(const std::string& name, double milliseconds) {
    return timed(name, [milliseconds](int) { return milliseconds; });
  }
  // Call i takes time(i).
  Candidate timed(const std::string& name, std::function<double(int call)> time) {
    return {name, true, 0, [this, name, time, call = 0](const PlanOperands&) mutable {
              device_.ran.push_back(name);
              device_.clock += time(call++);
            }};
  }
  Candidate failing(const std::string& name, const std::string& why) {
    return {name, true, 0, [why](const PlanOperands&) { throw DeviceError(why); }};
  }
  // Which candidate a call runs in the end.
  std::string chosen(PlanCache& plans, const PlanKey& key, std::vector<Candidate> candidates) {
    device_.ran.clear();
    plans.run(key, {}, [&] { return candidates; });
    return device_.ran.empty() ? "" : device_.ran.back();
  }

  static PlanKey key(std::int64_t size = 8) {
    return {"linear_forward", DType::f32, MathMode::exact, {size, 0, 3}};
  }

  StandIn device_;
  BlockCache blocks_;
};

TEST_F(Plans, KeysReadAsText) {
  EXPECT_EQ(key().to_string(), "linear_forward f32 exact 8 0 3");
  EXPECT_EQ((PlanKey{"conv1d", DType::bf16, MathMode::tf32, {1}}).to_string(),
            "conv1d bf16 tf32 1");
}

TEST_F(Plans, AChoiceCanBeMadeWithoutTheWork) {
  PlanCache plans = cache();
  const auto ask = [&] {
    return plans.plan(key(), {}, [&] {
      return std::vector{candidate("own", 3), candidate("a", 1)};
    });
  };
  EXPECT_EQ(ask()->name, "a");
  device_.ran.clear();
  EXPECT_EQ(ask()->name, "a");
  EXPECT_TRUE(device_.ran.empty());
  device_.capturing = true;
  EXPECT_EQ(
      plans.plan(key(9), {},
                 [&] {
                   return std::vector{candidate("own", 3), candidate("a", 1)};
                 })
          ->name,
      "own");
  EXPECT_TRUE(device_.ran.empty());
}

TEST_F(Plans, TheFastestRunsAndIsNotTimedAgain) {
  PlanCache plans = cache();
  EXPECT_EQ(chosen(plans, key(), {candidate("own", 3), candidate("a", 1), candidate("b", 2)}), "a");
  const int measured = device_.measured;
  EXPECT_GT(measured, 3);
  int made = 0;
  plans.run(key(), {}, [&] { return ++made, std::vector<Candidate>{}; });
  EXPECT_EQ(made, 0);
  EXPECT_EQ(device_.ran.back(), "a");
  EXPECT_EQ(device_.measured, measured);
  EXPECT_EQ(plans.records().at("linear_forward f32 exact 8 0 3").candidate, "a");
  EXPECT_DOUBLE_EQ(plans.records().begin()->second.milliseconds, 1.0);
}

TEST_F(Plans, EachKeyHasItsOwn) {
  PlanCache plans = cache();
  EXPECT_EQ(chosen(plans, key(1), {candidate("own", 1), candidate("a", 2)}), "own");
  EXPECT_EQ(chosen(plans, key(2), {candidate("own", 2), candidate("a", 1)}), "a");
  PlanKey other = key(1);
  other.math = MathMode::tf32;
  EXPECT_EQ(chosen(plans, other, {candidate("own", 2), candidate("a", 1)}), "a");
}

TEST_F(Plans, OfEqualsTheFirst) {
  PlanCache plans = cache();
  EXPECT_EQ(chosen(plans, key(), {candidate("own", 1), candidate("a", 1)}), "own");
}

TEST_F(Plans, FirstCallsAndOutliersDoNotCount) {
  PlanCache plans = cache();
  // "a" loads its code at first and is disturbed once later; its median is the least.
  const auto disturbed = [](int call) { return call == 0 ? 500.0 : call == 4 ? 90.0 : 1.0; };
  EXPECT_EQ(chosen(plans, key(), {candidate("own", 2), timed("a", disturbed)}), "a");
}

TEST_F(Plans, ShortRunsAreRepeated) {
  PlanCache plans = cache();
  chosen(plans, key(), {candidate("own", 0.001), candidate("a", 10)});
  const auto runs = [&](const std::string& name) {
    return std::count(device_.ran.begin(), device_.ran.end(), name);
  };
  EXPECT_EQ(runs("a"), 2 + 5);
  EXPECT_EQ(runs("own"), 2 + 5 * 20 + 1);
}

TEST_F(Plans, WhatFailsIsLeftOutAndRemembered) {
  PlanCache plans = cache();
  EXPECT_EQ(
      chosen(plans, key(), {candidate("own", 3), failing("a", "status 15"), candidate("b", 2)}),
      "b");
  const auto record = plans.records().begin()->second;
  EXPECT_EQ(record.left_out, (std::map<std::string, std::string>{{"a", "status 15"}}));
}

TEST_F(Plans, OneThatFailsLaterIsLeftOutToo) {
  PlanCache plans = cache();
  Candidate late = timed("a", [](int call) {
    if (call == 4) throw DeviceError("worn out");
    return 1.0;
  });
  EXPECT_EQ(chosen(plans, key(), {candidate("own", 3), late}), "own");
}

TEST_F(Plans, WhereNothingRunsTheFirstSaysWhy) {
  PlanCache plans = cache();
  EXPECT_EQ(error_of([&] { chosen(plans, key(), {failing("own", "x"), failing("a", "y")}); }), "x");
  EXPECT_TRUE(plans.records().empty());
}

TEST_F(Plans, OneCandidateIsNotTimed) {
  PlanCache plans = cache();
  EXPECT_EQ(chosen(plans, key(), {candidate("own", 3)}), "own");
  EXPECT_EQ(device_.ran.size(), 1U);
  EXPECT_EQ(device_.measured, 0);
  EXPECT_TRUE(plans.records().empty());
}

TEST_F(Plans, DeterministicModeLeavesOthersOut) {
  const auto choices = [&] {
    std::vector<Candidate> all{candidate("own", 3), candidate("a", 1), candidate("b", 2)};
    all[1].deterministic = false;
    return all;
  };
  PlanCache strict = cache({true, ""});
  EXPECT_EQ(chosen(strict, key(), choices()), "b");
  PlanCache loose = cache({false, ""});
  EXPECT_EQ(chosen(loose, key(), choices()), "a");
  // Nor does a record of another mode bring one back.
  PlanCache recalled = cache({true, ""});
  recalled.remember(loose.records());
  EXPECT_EQ(chosen(recalled, key(), choices()), "b");
}

TEST_F(Plans, WithoutADeterministicOneThereIsAnError) {
  PlanCache plans = cache();
  Candidate loose = candidate("a", 1);
  loose.deterministic = false;
  EXPECT_EQ(error_of([&] { chosen(plans, key(), {loose}); }),
            "there is no deterministic way to compute linear_forward f32 exact 8 0 3: allow "
            "others, or use device = \"cpu\"");
}

TEST_F(Plans, CapturesTakeTheFirstUntimedAndSayItOnce) {
  PlanCache plans = cache();
  device_.capturing = true;
  EXPECT_EQ(chosen(plans, key(1), {candidate("own", 3), candidate("a", 1)}), "own");
  EXPECT_EQ(chosen(plans, key(2), {candidate("own", 3), candidate("a", 1)}), "own");
  EXPECT_EQ(device_.ran.size(), 1U);
  EXPECT_EQ(device_.said,
            std::vector<std::string>{
                "the plan of linear_forward f32 exact 1 0 3 was not chosen before a graph was "
                "captured: the graph takes own, untimed, for this and every such operation"});
  // The choice is still open.
  device_.capturing = false;
  EXPECT_EQ(chosen(plans, key(1), {candidate("own", 3), candidate("a", 1)}), "a");
  // Once made, it holds in captures.
  device_.capturing = true;
  EXPECT_EQ(chosen(plans, key(1), {}), "a");
}

TEST_F(Plans, RulesNameALibrary) {
  const std::vector<Candidate> all{candidate("own", 1), failing("lt:0", "no"), candidate("lt:1", 3),
                                   candidate("dnn:0", 2)};
  PlanCache lt = cache({true, "lt"});
  EXPECT_EQ(chosen(lt, key(), all), "lt:1");
  PlanCache own = cache({true, "own"});
  EXPECT_EQ(chosen(own, key(), all), "own");
  PlanCache absent = cache({true, "other"});
  EXPECT_EQ(chosen(absent, key(), all), "own");
  EXPECT_TRUE(lt.records().empty());
}

TEST_F(Plans, WorkspaceIsLentAndGivenBack) {
  PlanCache plans = cache();
  std::vector<void*> seen;
  Candidate wanting{"a", true, 1000,
                    [&](const PlanOperands& operands) { seen.push_back(operands.workspace); }};
  plans.run(key(), {}, [&] { return std::vector<Candidate>{wanting}; });
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_NE(seen[0], nullptr);
  EXPECT_EQ(blocks_.bytes_in_use(), 0U);
}

TEST_F(Plans, OperandsReachThePlan) {
  PlanCache plans = cache();
  float x = 0, y = 0;
  PlanOperands got;
  plans.run(key(), {{&x}, {&y}, nullptr}, [&] {
    return std::vector<Candidate>{{"own", true, 0, [&](const PlanOperands& o) { got = o; }}};
  });
  EXPECT_EQ(got.in[0], &x);
  EXPECT_EQ(got.out[0], &y);
}

TEST_F(Plans, ManyThreadsChooseOnce) {
  PlanCache plans = cache();
  std::atomic<int> made{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      plans.run(key(), {}, [&] {
        ++made;
        const auto nothing = [](const PlanOperands&) {};
        return std::vector<Candidate>{{"own", true, 0, nothing}, {"a", true, 0, nothing}};
      });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(plans.records().size(), 1U);
  EXPECT_EQ(device_.measured, 2 * (2 + 5));
}

PlanMachine h200() { return {"NVIDIA H200", "9.0", "13.0", "13.0", "13.1.0", "9.19.0", "0.1.0"}; }

class PlanFiles : public Plans {
 protected:
  void use(PlanCache& plans, const PlanMachine& machine = h200()) {
    cuda::keep_in_file(plans, file_, machine,
                       [this](const std::string& sentence) { device_.said.push_back(sentence); });
  }
  // What reading this text says, without the file's name and the advice.
  std::string refusal(const std::string& text) {
    folder_.write("plans.json", text);
    std::string error = error_of([&] { cuda::read_plans(file_, h200()); });
    const std::string head = "the plan file " + file_.string() + " ";
    const std::string tail = ": remove it, or name another one (plan_file, CARDIOGRAD_PLAN_FILE)";
    if (!error.starts_with(head) || !error.ends_with(tail)) return "?? " + error;
    return error.substr(head.size(), error.size() - head.size() - tail.size());
  }
  // A proper file with one piece replaced.
  std::string edited(const std::string& piece, const std::string& other) {
    cuda::write_plans(file_, h200(), {{"k", {"a", 0.5, {}}}});
    std::string text = read_file(file_);
    const std::size_t at = text.find(piece);
    EXPECT_NE(at, std::string::npos) << piece;
    return at == std::string::npos ? text : text.replace(at, piece.size(), other);
  }

  TempFolder folder_;
  std::filesystem::path file_ = folder_ / "plans.json";
};

TEST_F(PlanFiles, LaterRunsDoNotTime) {
  const auto choices = [&] {
    return std::vector<Candidate>{candidate("own", 3), candidate("a", 1), failing("b", "\xff no")};
  };
  PlanCache first = cache();
  use(first);
  EXPECT_EQ(chosen(first, key(), choices()), "a");
  PlanCache second = cache();
  use(second);
  device_.measured = 0;
  EXPECT_EQ(chosen(second, key(), choices()), "a");
  EXPECT_EQ(device_.measured, 1);  // that it runs, not how fast
  EXPECT_EQ(second.records().begin()->second.left_out.count("b"), 1U);
  EXPECT_EQ(device_.said, std::vector<std::string>{});
}

TEST_F(PlanFiles, WhatIsNoLongerOfferedOrFailsIsTimedAnew) {
  cuda::write_plans(file_, h200(), {{key().to_string(), {"gone", 0.1, {}}}});
  PlanCache plans = cache();
  use(plans);
  EXPECT_EQ(chosen(plans, key(), {candidate("own", 3), candidate("a", 1)}), "a");
  EXPECT_EQ(cuda::read_plans(file_, h200()).at(key().to_string()).candidate, "a");
  PlanCache later = cache();
  use(later);
  EXPECT_EQ(chosen(later, key(), {candidate("own", 3), failing("a", "no"), candidate("b", 2)}),
            "b");
}

TEST_F(PlanFiles, OtherProcessesChoicesStay) {
  PlanCache plans = cache();
  use(plans);
  cuda::write_plans(file_, h200(), {{"theirs", {"a", 0.1, {}}}});
  chosen(plans, key(), {candidate("own", 3), candidate("a", 1)});
  EXPECT_EQ(cuda::read_plans(file_, h200()).size(), 2U);
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    EXPECT_EQ(entry.path(), file_) << "a temporary file was left";
  }
}

TEST_F(PlanFiles, AnotherMachinesFileIsIgnoredAndKept) {
  cuda::write_plans(file_, h200(), {{key().to_string(), {"own", 0.1, {}}}});
  const std::string before = read_file(file_);
  PlanMachine other = h200();
  other.driver = "13.1";
  PlanCache plans = cache();
  use(plans, other);
  EXPECT_EQ(chosen(plans, key(), {candidate("own", 3), candidate("a", 1)}), "a");
  EXPECT_EQ(read_file(file_), before);
  EXPECT_EQ(device_.said,
            std::vector<std::string>{
                "the plan file " + file_.string() +
                " was timed with driver \"13.0\", here it is \"13.1\": remove it, or name another "
                "one (plan_file, CARDIOGRAD_PLAN_FILE); plans are timed anew and not kept"});
}

TEST_F(PlanFiles, FilesThatCannotBeWrittenAreSaidOnce) {
  folder_.write("no-folder", "x");
  file_ = folder_ / "no-folder" / "plans.json";
  PlanCache plans = cache();
  use(plans);
  chosen(plans, key(1), {candidate("own", 3), candidate("a", 1)});
  chosen(plans, key(2), {candidate("own", 3), candidate("a", 1)});
  EXPECT_EQ(device_.said,
            std::vector<std::string>{"cannot write the plan file " + file_.string() +
                                     " (Not a directory): name another one (plan_file, "
                                     "CARDIOGRAD_PLAN_FILE), or off for none; plans of this run "
                                     "are not kept"});
}

TEST_F(PlanFiles, HostileFilesAreRefused) {
  EXPECT_EQ(refusal(""), "is no JSON object");
  EXPECT_EQ(refusal("[1, 2"), "is no JSON object");
  EXPECT_EQ(refusal("[]"), "is no JSON object");
  EXPECT_EQ(refusal(std::string(100000, '[')), "is no JSON object");
  EXPECT_EQ(refusal("{}"), "is not of the format \"cardiograd plans 1\"");
  EXPECT_EQ(refusal(std::string((std::size_t{1} << 22) + 1, ' ')), "is larger than 4 MiB");
  EXPECT_EQ(refusal(edited("plans 1", "plans 2")), "is not of the format \"cardiograd plans 1\"");
  EXPECT_EQ(refusal(edited("\"machine\"", "\"m\"")), "names no machine");
  EXPECT_EQ(refusal(edited("\"gpu\"", "\"cpu\"")), "does not name its machine's gpu");
  EXPECT_EQ(refusal(edited("NVIDIA H200", "\\u001b[31m")),
            "was timed with gpu \"\\x1b[31m\", here it is \"NVIDIA H200\"");
  EXPECT_EQ(refusal(edited("\"plans\"", "\"x\"")), "holds no plans");
  const std::string damaged = "is damaged: the plan \"k\" has no proper ";
  EXPECT_EQ(refusal(edited("\"candidate\": \"a\"", "\"candidate\": 7")), damaged + "candidate");
  EXPECT_EQ(refusal(edited("0.5", "\"fast\"")), damaged + "milliseconds");
  EXPECT_EQ(refusal(edited("0.5", "-1")), damaged + "milliseconds");
  EXPECT_EQ(refusal(edited("0.5", "1, \"left_out\": 3")), damaged + "left_out");
  EXPECT_EQ(refusal(edited("0.5", "1, \"left_out\": {\"b\": []}")), damaged + "left_out");
  const std::string long_name(2000, 'x');
  EXPECT_EQ(refusal(edited("\"a\"", "\"" + long_name + "\"")), damaged + "candidate");
  std::filesystem::remove(file_);
  std::filesystem::create_directory(file_);
  EXPECT_EQ(error_of([&] { cuda::read_plans(file_, h200()); }),
            "the plan file " + file_.string() +
                " is not a regular file: remove it, or name another one (plan_file, "
                "CARDIOGRAD_PLAN_FILE)");
}

TEST_F(PlanFiles, NoFileHoldsNoPlans) { EXPECT_TRUE(cuda::read_plans(file_, h200()).empty()); }

TEST_F(PlanFiles, TheirPlaceDependsOnTheMachine) {
  const EnvironmentVariable cache("XDG_CACHE_HOME", nullptr), home("HOME", "/home/x");
  const std::string here = cuda::plan_file_path(h200(), "").value();
  EXPECT_TRUE(here.starts_with("/home/x/.cache/cardiograd/plans-nvidia-h200-")) << here;
  PlanMachine other = h200();
  other.cudnn = "9.20.0";
  EXPECT_NE(cuda::plan_file_path(other, "").value(), here);
  const EnvironmentVariable place("XDG_CACHE_HOME", "/c");
  EXPECT_TRUE(
      cuda::plan_file_path(h200(), "").value().string().starts_with("/c/cardiograd/plans-"));
  EXPECT_EQ(cuda::plan_file_path(h200(), "/p/q.json").value(), "/p/q.json");
  EXPECT_FALSE(cuda::plan_file_path(h200(), "off").has_value());
}

}  // namespace
}  // namespace cardiograd
