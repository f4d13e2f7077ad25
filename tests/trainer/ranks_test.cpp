#include "trainer/ranks.h"

#include <gtest/gtest.h>
#include <vector>

#include "tests/support/send_signal.h"

namespace cardiograd {
namespace {

using Asked = RankExchange::Asked;

class Exchange : public ::testing::Test {
 protected:
  Ranks ranks_{Launch{}, RunConfig{}};
  RankExchange exchange_{ranks_};
};

TEST_F(Exchange, AsksForACheckpointOnceUntilItIsHeard) {
  const Asked checkpoint{0.0F, 0.0F, 0.0F, 1.0F};
  exchange_.ask_for_checkpoint();
  exchange_.ask_for_checkpoint();
  EXPECT_EQ(exchange_.take_asked(), checkpoint);
  exchange_.ask_for_checkpoint();  // what was asked is on its way
  EXPECT_EQ(exchange_.take_asked(), Asked{});
  EXPECT_FALSE(exchange_.take_checkpoint_request());
  exchange_.hear(checkpoint);
  EXPECT_TRUE(exchange_.take_checkpoint_request());
  EXPECT_FALSE(exchange_.take_checkpoint_request());
  exchange_.ask_for_checkpoint();
  EXPECT_EQ(exchange_.take_asked(), checkpoint);
}

TEST_F(Exchange, RemembersTheFirstStopOfAnyRank) {
  EXPECT_EQ(exchange_.stop_signal(), 0);
  exchange_.hear(std::vector<float>{0.0F, 2.0F, 1.0F, 0.0F});
  EXPECT_EQ(exchange_.stop_signal(), SIGINT);
  EXPECT_TRUE(exchange_.take_save_request());
  EXPECT_FALSE(exchange_.take_save_request());
  exchange_.hear(std::vector<float>{1.0F, 0.0F, 0.0F, 0.0F});
  EXPECT_EQ(exchange_.stop_signal(), SIGINT);
}

TEST_F(Exchange, TellsOfTheSignalsOfThisProcess) {
  testing::send_signal(SIGUSR1, [this] {
    exchange_.share("a signal");
    return exchange_.take_save_request();
  });
  EXPECT_EQ(exchange_.stop_signal(), 0);
  testing::send_signal(SIGTERM, [this] {
    exchange_.share("a signal");
    return exchange_.stop_signal() != 0;
  });
  EXPECT_EQ(exchange_.stop_signal(), SIGTERM);
}

}  // namespace
}  // namespace cardiograd
