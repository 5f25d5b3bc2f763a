#include "balance/slow_start.h"

#include <gtest/gtest.h>

namespace datapunk::mesh::balance {
namespace {

using std::chrono::seconds;

TEST(SlowStart, GrowsFromItsLeastShareToAll) {
    const SlowStartConfig config{.window = seconds(100)};
    EXPECT_EQ(slow_start_share(config, seconds(0)), 0.1);
    EXPECT_EQ(slow_start_share(config, seconds(10)), 0.1);
    EXPECT_EQ(slow_start_share(config, seconds(50)), 0.5);
    EXPECT_EQ(slow_start_share(config, seconds(100)), 1);
    EXPECT_EQ(slow_start_share(config, seconds(1000)), 1);
    EXPECT_EQ(slow_start_share(config, seconds(-5)), 0.1);
}

TEST(SlowStart, MoreAggressionIsFasterAtFirst) {
    const SlowStartConfig fast{.window = seconds(100), .aggression = 2};
    EXPECT_NEAR(slow_start_share(fast, seconds(25)), 0.5, 1e-9);
    const SlowStartConfig slow{.window = seconds(100), .aggression = 0.5};
    EXPECT_NEAR(slow_start_share(slow, seconds(50)), 0.25, 1e-9);
}

TEST(SlowStart, WithinTheFirstSecondAgeCountsAsOne) {
    const SlowStartConfig config{.window = seconds(5), .min_share = 0.01};
    EXPECT_EQ(slow_start_share(config, seconds(0)), 0.2);
}

// The trap of a deployment: one old endpoint beside nine that begin with a tenth.
TEST(SlowStart, TheOldAreNotDrownedWhenMostAreNew) {
    const double floor = slow_start_floor(1, 9);
    EXPECT_NEAR(1 / (1 + 9 * floor), 0.2, 1e-9);  // twice its fair tenth
    EXPECT_EQ(slow_start_floor(9, 1), 0);         // nothing to mend: a ninth at most
    EXPECT_EQ(slow_start_floor(0, 10), 1);        // all are new: shares would only cancel
}

}  // namespace
}  // namespace datapunk::mesh::balance
