// Several ranks with a device each, as threads of one process: the trainer, its communicator
// between devices and recorded steps, on the emulator. NCCL's stand-in adds up in rank order, where
// a recording replays it, too.
#include "trainer/ranks.h"

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <functional>
#include <gtest/gtest.h>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/device_group.h"
#include "tests/emulator/machine_state.h"
#include "tests/support/run_events.h"
#include "tests/support/small_packed.h"
#include "tests/support/temp_folder.h"
#include "trainer/device_communicator.h"
#include "trainer/fit.h"

namespace cardiograd {
namespace {

using testing::losses_of;
using testing::TempFolder;

constexpr int ranks = 2;

// Where the ranks meet. Who is alone there for long is out of step with the others.
class Meeting {
 public:
  // The last one to come does `work` for all, with what each brought.
  struct Brought {
    std::string what;
    std::vector<void*> data;
  };
  void meet(int rank, const std::string& what, void* in, void* out,
            const std::function<void(const std::array<Brought, ranks>&)>& work) {
    std::unique_lock lock(mutex_);
    brought_[static_cast<std::size_t>(rank)] = {what, {in, out}};
    const std::int64_t turn = turn_;
    if (++here_ == ranks) {
      for (const Brought& each : brought_) {
        if (each.what != what) fault_ = "one rank is at " + what + ", another at " + each.what;
      }
      if (fault_.empty()) work(brought_);
      here_ = 0;
      ++turn_;
      all_.notify_all();
    } else if (!all_.wait_for(lock, std::chrono::seconds(30), [&] { return turn_ != turn; })) {
      fault_ = "only one rank came to " + what;
    }
    if (!fault_.empty()) throw DeviceError(fault_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_;
  std::array<Brought, ranks> brought_;
  std::int64_t turn_ = 0;
  int here_ = 0;
  std::string fault_;
};

// What is asked of the group is done, or recorded, as what is asked of the device.
class ThreadGroup final : public DeviceGroup {
 public:
  ThreadGroup(Meeting& meeting, int rank, int& sums_recorded)
      : meeting_(meeting), rank_(rank), sums_recorded_(sums_recorded) {}

  std::string name() const override { return "threads"; }
  State state() override { return State::ready; }
  std::string failure() override { return ""; }
  void enqueue_all_reduce_sum(const View& view) override {
    if (emulator::is_capturing()) ++sums_recorded_;
    emulator::run_or_record([this, view] {
      const auto count = static_cast<std::size_t>(view.numel());
      meeting_.meet(rank_, "the sum of " + std::to_string(count), view.data, nullptr,
                    [&](const auto& brought) {
                      for (std::size_t i = 0; i < count; ++i) {
                        float sum = 0.0F;
                        for (const auto& each : brought) {
                          sum += static_cast<const float*>(each.data[0])[i];
                        }
                        for (const auto& each : brought) static_cast<float*>(each.data[0])[i] = sum;
                      }
                    });
    });
  }
  void enqueue_all_gather(const ConstView& mine, const View& all) override {
    emulator::run_or_record([this, mine, all] {
      const std::size_t bytes = mine.bytes();
      meeting_.meet(rank_, "the gathering of " + std::to_string(bytes),
                    const_cast<void*>(mine.data), all.data, [&](const auto& brought) {
                      for (std::size_t to = 0; to < ranks; ++to) {
                        for (std::size_t from = 0; from < ranks; ++from) {
                          std::memcpy(static_cast<std::byte*>(brought[to].data[1]) + from * bytes,
                                      brought[from].data[0], bytes);
                        }
                      }
                    });
    });
  }
  void mark(std::size_t) override {}
  void join(std::size_t) override {}
  bool idle() override { return true; }
  void abort() noexcept override {}

 private:
  Meeting& meeting_;
  int rank_;
  int& sums_recorded_;
};

void write_data(const std::filesystem::path& folder) {
  testing::SmallPacked packed(34, 72);
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  for (std::int16_t& value : packed.signal)
    value = static_cast<std::int16_t>(300.0F * normal(random));
  packed.write(folder / "packed");
}

RunConfig config_in(const TempFolder& folder, const std::string& name) {
  RunConfig config;
  config.data.path = (folder / "packed").string();
  config.data.inputs = {"signal"};
  config.model.name = "cnn";
  config.model.batch_norm = config.model.sync_batch_norm = true;
  config.train.epochs = 2;
  config.train.batch_size = 4;
  config.train.clip_norm = 1.0;
  config.train.optimizer = "sgd";
  config.train.lr = 0.05;
  config.augment.noise = 0.1;
  config.run.dir = (folder / name).string();
  config.plans = "own";  // what is measured may differ from run to run
  config.run.plots = config.run.tensorboard = false;
  return config;
}

// Trains as `ranks` threads; how many sums they recorded.
int train_among_ranks(const RunConfig& config) {
  const SignalScope signals;  // the process's: those of the threads are within it
  Meeting meeting;
  std::array<std::exception_ptr, ranks> errors;
  std::array<int, ranks> recorded{};
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] {
        const auto at = static_cast<std::size_t>(rank);
        try {
          Launch launch;
          launch.launcher = Launcher::environment;
          launch.rank = launch.local_rank = rank;
          launch.size = launch.local_size = ranks;
          const std::shared_ptr<Backend> backend = make_backend("cuda", backend_options(config));
          const auto communicator = std::make_shared<DeviceCommunicator>(
              launch, 60.0, backend, std::make_unique<ThreadGroup>(meeting, rank, recorded[at]),
              nullptr);
          fit(config, Ranks(backend, communicator), true);
        } catch (...) {
          errors[at] = std::current_exception();
        }
      });
    }
  }
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  EXPECT_EQ(recorded[0], recorded[1]);
  return recorded[0];
}

// 19 records are learned from: the last batch of an epoch has 3, which are shared unevenly.
TEST(RanksWithDevices, ReplayTheirSumsToTheSameBitsAndLearnAsOneProcess) {
  const TempFolder folder;
  write_data(folder.path());
  fit(config_in(folder, "one"), true);
  RunConfig eager = config_in(folder, "eager");
  eager.device = "cuda";
  eager.replay = false;
  EXPECT_EQ(train_among_ranks(eager), 0);
  RunConfig replayed = config_in(folder, "replayed");
  replayed.device = "cuda";
  EXPECT_GT(train_among_ranks(replayed), 0);

  const std::vector<double> expected = losses_of(folder / "one");
  const std::vector<double> losses = losses_of(folder / "eager");
  ASSERT_EQ(losses.size(), expected.size());
  for (std::size_t i = 0; i < losses.size(); ++i) {
    EXPECT_NEAR(losses[i], expected[i], 1e-4 * expected[i]) << "loss " << i;
  }
  EXPECT_EQ(losses_of(folder / "replayed"), losses);
  for (const char* file : {"last/model.safetensors", "last/optimizer.safetensors"}) {
    EXPECT_TRUE(testing::read_file(folder / "replayed" / file) ==
                testing::read_file(folder / "eager" / file))
        << file << " differs";
  }
}

}  // namespace
}  // namespace cardiograd
