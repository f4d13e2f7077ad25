// One process, and the logic around a group of devices, which a stand-in imitates.
#include "trainer/communicator.h"

#include <chrono>
#include <cstring>
#include <deque>
#include <gtest/gtest.h>

#include "kernels/backend.h"
#include "tests/support/temp_folder.h"
#include "trainer/device_communicator.h"
#include "trainer/exit_codes.h"

namespace cardiograd {
namespace {

using testing::error_of;
using Bytes = Communicator::Bytes;
using Calls = std::vector<std::string>;

Bytes bytes_of(const std::string& text) {
  Bytes bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

TEST(OneProcess, IsItsOwnSum) {
  const auto group = make_communicator({}, make_backend("cpu"));
  std::vector<float> values{1.0F, 2.0F};
  group->all_reduce_sum({values.data(), DType::f32, {2}}, "a sum");
  group->finish("a sum");
  EXPECT_EQ(values, (std::vector<float>{1.0F, 2.0F}));
  EXPECT_EQ(group->gather_bytes(bytes_of("abc"), "a gather"), std::vector<Bytes>{bytes_of("abc")});
  Bytes told = bytes_of("xy");
  group->broadcast_bytes(told, "a broadcast");
  EXPECT_EQ(told, bytes_of("xy"));
  EXPECT_TRUE(group->any(true, "a flag"));
  EXPECT_FALSE(group->all(false, "a flag"));
  group->barrier("a barrier");
  EXPECT_GE(thread_count(*group), 1);
  EXPECT_EQ(group->name(), "one process");
}

TEST(OneProcess, RefusesWhatCannotBeSummedAndTimeoutsOfNothing) {
  const auto group = make_communicator({}, nullptr);
  std::vector<std::int32_t> values(2);
  EXPECT_NE(error_of([&] {
              group->all_reduce_sum({values.data(), DType::i32, {2}}, "a sum");
            }).find("an all-reduce sums f32, f64 or bf16, not i32"),
            std::string::npos);
  EXPECT_EQ(error_of([&] { group->set_timeout(0.0); }), "run.timeout_seconds must be above 0");
}

TEST(OneProcess, PrintsItsErrorWithoutARank) {
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(end_after_error({}, "trainer", "no data", exit_failed), exit_failed);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "trainer: no data\n");
}

TEST(LostRankSentence, NamesOneOrSeveral) {
  EXPECT_EQ(lost_rank_sentence({3}, "the barrier", 60.0),
            "rank 3 did not arrive at the barrier within 60 seconds: it died or hung, and without "
            "it the run cannot go on; resume it from its last checkpoint, or raise "
            "run.timeout_seconds where a rank's work takes longer");
  EXPECT_EQ(lost_rank_sentence({1, 3}, "the barrier", 0.5).substr(0, 70),
            "ranks 1, 3 did not arrive at the barrier within 0.5 seconds: they died");
}

// A group of two devices in host memory: what is enqueued happens at once, and the other rank
// holds the same values.
struct StandIn {
  Calls calls;
  int working_polls = 0;  // how often state() says "working" after each call
  int polls_left = 0;
  int busy_polls = 0;  // how often idle() says no
  bool hangs = false;  // never idle again
  bool never_joins = false;
  std::string failure;
  bool aborted = false;
};

class StandInGroup final : public DeviceGroup {
 public:
  explicit StandInGroup(StandIn& script) : script_(script) { begin("begin"); }
  std::string name() const override { return "stand-in"; }
  State state() override {
    if (!script_.failure.empty()) return State::failed;
    if (script_.never_joins || script_.polls_left-- > 0) return State::working;
    return State::ready;
  }
  std::string failure() override { return script_.failure; }
  void enqueue_all_reduce_sum(const View& view) override {
    begin("sum " + std::to_string(view.numel()));
    dispatch(view.dtype, [&](auto element) {
      using T = decltype(element);
      T* values = view.as<T>();
      for (std::int64_t i = 0; i < view.numel(); ++i) {
        values[i] = static_cast<T>(2.0F * static_cast<float>(values[i]));
      }
    });
  }
  void enqueue_all_gather(const ConstView& mine, const View& all) override {
    begin("gather " + std::to_string(mine.numel()));
    for (std::size_t rank = 0; rank < 2; ++rank) {
      std::memcpy(static_cast<std::byte*>(all.data) + rank * mine.bytes(), mine.data, mine.bytes());
    }
  }
  void mark(std::size_t slot) override { call("mark " + std::to_string(slot)); }
  void join(std::size_t slot) override { call("join " + std::to_string(slot)); }
  bool idle() override { return !script_.hangs && script_.busy_polls-- <= 0; }
  void abort() noexcept override { script_.aborted = true; }

 private:
  void begin(const std::string& name) {
    call(name);
    script_.polls_left = script_.working_polls;
  }
  void call(const std::string& name) {
    EXPECT_LE(script_.polls_left, 0) << name << " while the group works";
    EXPECT_FALSE(script_.aborted) << name << " after abort";
    script_.calls.push_back(name);
  }
  StandIn& script_;
};

// The host's side, of which some ranks do not answer.
class StandInHost final : public Communicator {
 public:
  StandInHost(const Launch& launch, std::vector<int> silent)
      : Communicator(launch, 1.0), silent_(std::move(silent)) {}
  std::string name() const override { return "host"; }
  Ticket start_all_reduce_sum(const View&, std::string_view) override { return 0; }
  void wait(Ticket) override {}
  void wait_all() override {}
  void finish(std::string_view) override {}
  std::vector<Bytes> all_gather_bytes(std::span<const std::byte> bytes, std::string_view) override {
    return {Bytes(bytes.begin(), bytes.end()), bytes_of("other")};
  }
  std::vector<Bytes> gather_bytes(std::span<const std::byte> bytes, std::string_view) override {
    return {Bytes(bytes.begin(), bytes.end()), bytes_of("gathered")};
  }
  void broadcast_bytes(Bytes& bytes, std::string_view) override { bytes = bytes_of("told"); }
  void answer_calls() override { ++answers; }
  std::vector<int> silent_ranks(double) override { return silent_; }
  int answers = 0;

 private:
  std::vector<int> silent_;
};

class DeviceGroups : public ::testing::Test {
 protected:
  DeviceGroups() {
    launch_.launcher = Launcher::mpirun;
    launch_.size = 2;
    launch_.local_size = 2;
  }
  std::unique_ptr<DeviceCommunicator> make(double timeout = 0.3,
                                           std::shared_ptr<Communicator> host = nullptr) {
    return std::make_unique<DeviceCommunicator>(launch_, timeout, make_backend("cpu"),
                                                std::make_unique<StandInGroup>(script_), host);
  }
  static View view_of(std::vector<float>& values) {
    return {values.data(), DType::f32, {static_cast<std::int64_t>(values.size())}};
  }
  Launch launch_;
  StandIn script_;
  std::vector<float> a_{1.0F, 2.0F};
  std::vector<float> b_{3.0F};
};

TEST_F(DeviceGroups, MarkEachBucketOnceItIsEnqueuedAndJoinWhatIsWaitedFor) {
  script_.working_polls = 3;
  const auto group = make();
  const auto first = group->start_all_reduce_sum(view_of(a_), "bucket 0");
  const auto second = group->start_all_reduce_sum(view_of(b_), "bucket 1");
  EXPECT_NE(first, second);
  group->wait(first);
  group->wait_all();
  group->wait_all();    // nothing is left
  group->wait(second);  // and an old ticket is free
  EXPECT_EQ(script_.calls,
            (Calls{"begin", "sum 2", "mark 0", "sum 1", "mark 1", "join 0", "join 1"}));
  EXPECT_EQ(a_, (std::vector<float>{2.0F, 4.0F}));
  EXPECT_EQ(b_, std::vector<float>{6.0F});
}

TEST_F(DeviceGroups, UseTheSameMarksInEveryStep) {
  const auto group = make();
  for (int step = 0; step < 3; ++step) {
    script_.calls.clear();
    group->start_all_reduce_sum(view_of(a_), "bucket 0");
    group->start_all_reduce_sum(view_of(b_), "bucket 1");
    script_.busy_polls = 5;
    group->finish("a step");
    EXPECT_LT(script_.busy_polls, 0);
    EXPECT_EQ(script_.calls, (Calls{"sum 2", "mark 0", "sum 1", "mark 1", "join 1"}));
  }
}

TEST_F(DeviceGroups, SumNothingAndBfloat16) {
  const auto group = make();
  std::vector<float> none;
  group->all_reduce_sum(view_of(none), "nothing");
  std::vector<BFloat16> half{BFloat16(1.5F)};
  group->all_reduce_sum({half.data(), DType::bf16, {1}}, "a bucket");
  EXPECT_EQ(static_cast<float>(half[0]), 3.0F);
  EXPECT_NE(error_of([&] { group->wait(7); }).find("ticket 7 was never given"), std::string::npos);
  std::vector<std::int32_t> whole(1);
  EXPECT_NE(error_of([&] {
              group->start_all_reduce_sum({whole.data(), DType::i32, {1}}, "a bucket");
            }).find("not i32"),
            std::string::npos);
}

TEST_F(DeviceGroups, GatherThroughTheDevicesWhereThereIsNoHostSide) {
  const auto group = make();
  EXPECT_EQ(group->all_gather_bytes(bytes_of("abc"), "a gather"),
            (std::vector<Bytes>{bytes_of("abc"), bytes_of("abc")}));
  EXPECT_EQ(group->gather_bytes({}, "a gather"), (std::vector<Bytes>{{}, {}}));
  Bytes told = bytes_of("xyz");
  group->broadcast_bytes(told, "a broadcast");
  EXPECT_EQ(told, bytes_of("xyz"));
  std::vector<double> values{1.5, 2.0};
  group->sum(values, "a sum");
  EXPECT_EQ(values, (std::vector<double>{3.0, 4.0}));
  EXPECT_FALSE(group->any(false, "a flag"));
}

TEST_F(DeviceGroups, SendHostBytesThroughTheHostSide) {
  const auto host = std::make_shared<StandInHost>(launch_, std::vector<int>{});
  const auto group = make(0.3, host);
  EXPECT_EQ(group->name(), "stand-in with host");
  EXPECT_EQ(group->all_gather_bytes(bytes_of("a"), "")[1], bytes_of("other"));
  EXPECT_EQ(group->gather_bytes(bytes_of("a"), "")[1], bytes_of("gathered"));
  Bytes told;
  group->broadcast_bytes(told, "");
  EXPECT_EQ(told, bytes_of("told"));
  EXPECT_EQ(script_.calls, Calls{"begin"});
  group->set_timeout(7.0);
  EXPECT_EQ(host->timeout(), 7.0);
}

TEST_F(DeviceGroups, AbortAndNameTheRankThatDoesNotArrive) {
  const auto host = std::make_shared<StandInHost>(launch_, std::vector<int>{1});
  const auto group = make(0.3, host);
  group->start_all_reduce_sum(view_of(a_), "bucket 0");
  script_.hangs = true;
  const auto begun = std::chrono::steady_clock::now();
  const std::string sentence = lost_rank_sentence({1}, "step 12", 0.3);
  EXPECT_EQ(error_of([&] { group->finish("step 12"); }), sentence);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(2));
  EXPECT_TRUE(script_.aborted);
  EXPECT_GT(host->answers, 0);  // those who asked meanwhile heard of us
  // Nothing touches the group any more.
  EXPECT_EQ(error_of([&] { group->start_all_reduce_sum(view_of(a_), "bucket 1"); }), sentence);
  EXPECT_EQ(error_of([&] { group->wait_all(); }), sentence);
  EXPECT_EQ(error_of([&] { group->barrier("the end"); }), sentence);
}

TEST_F(DeviceGroups, AbortWhereNobodyCanTellWhoIsMissing) {
  const auto group = make(0.2);
  script_.hangs = true;
  EXPECT_EQ(error_of([&] { group->finish("step 12"); }),
            "step 12 failed on rank 0 of 2, because a rank did not arrive within 0.2 seconds "
            "(stand-in alone cannot tell which one: mpirun or srun can); see what the other ranks "
            "say, then resume the run from its last checkpoint");
  EXPECT_TRUE(script_.aborted);
}

TEST_F(DeviceGroups, AbortWhereTheGroupFails) {
  const auto group = make(60.0);
  script_.failure = "NCCL says: remote process exited";
  EXPECT_EQ(error_of([&] { group->start_all_reduce_sum(view_of(a_), "bucket 4"); }),
            "bucket 4 failed on rank 0 of 2, because NCCL says: remote process exited; see what "
            "the other ranks say, then resume the run from its last checkpoint");
  EXPECT_TRUE(script_.aborted);
}

TEST_F(DeviceGroups, WaitForAllToJoinAndNotForEver) {
  script_.never_joins = true;
  const auto host = std::make_shared<StandInHost>(launch_, std::vector<int>{1});
  EXPECT_EQ(error_of([&] { make(0.2, host); }),
            lost_rank_sentence({1}, "the beginning of the run", 0.2));
  EXPECT_TRUE(script_.aborted);
}

}  // namespace
}  // namespace cardiograd
