#include "balance/weighted_round_robin.h"

#include <gmock/gmock.h>

#include "balance/test_fleet.h"

namespace datapunk::mesh::balance {
namespace {

using ::testing::ElementsAre;

TEST(WeightedRoundRobin, SpreadsTheTurnsAsNginxDoes) {
    const TestFleet fleet({5, 1, 1});
    const WeightedRoundRobinPicker picker(fleet.candidates());
    PickState state(0);
    state.cursor = 0;
    std::string turns;
    for (int i = 0; i < 7; ++i) turns += static_cast<char>('a' + *picker.pick({}, state));
    EXPECT_EQ(turns, "aabacaa");
}

TEST(WeightedRoundRobin, HonoursWeightsExactlyInOnePeriod) {
    const TestFleet fleet({10, 20, 70});
    const WeightedRoundRobinPicker picker(fleet.candidates());
    EXPECT_THAT(count_picks(picker, 3, 1000, 9), ElementsAre(100, 200, 700));
}

TEST(WeightedRoundRobin, HonoursWeightsWhosePeriodIsTooLongToStore) {
    const TestFleet fleet({65535, 32768, 1, 9});
    const WeightedRoundRobinPicker picker(fleet.candidates());
    const auto counts = count_picks(picker, 4, 98313, 4);
    EXPECT_NEAR(counts[0], 65535, 20);
    EXPECT_NEAR(counts[1], 32768, 20);
    EXPECT_NEAR(counts[2], 1, 2);
    EXPECT_NEAR(counts[3], 9, 6);
}

TEST(WeightedRoundRobin, LongPeriodsAreSpreadToo) {
    // Two of the same large weight: neither is ever picked more than a few times in a row.
    const TestFleet fleet({65535, 65534});
    const WeightedRoundRobinPicker picker(fleet.candidates());
    PickState state(11);
    int run = 0;
    int longest = 0;
    std::uint32_t last = 99;
    for (int i = 0; i < 10000; ++i) {
        const std::uint32_t picked = *picker.pick({}, state);
        run = picked == last ? run + 1 : 1;
        last = picked;
        longest = std::max(longest, run);
    }
    EXPECT_LE(longest, 2);
}

TEST(WeightedRoundRobin, KeepsTheProportionsOfThoseLeft) {
    TestFleet fleet({50, 3, 1});
    fleet.exclude(0);
    const WeightedRoundRobinPicker picker(fleet.candidates());
    const auto counts = count_picks(picker, 3, 40000, 5);
    EXPECT_EQ(counts[0], 0);
    EXPECT_NEAR(counts[1], 30000, 1500);
    EXPECT_NEAR(counts[2], 10000, 1500);
}

}  // namespace
}  // namespace datapunk::mesh::balance
