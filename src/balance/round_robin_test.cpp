#include "balance/round_robin.h"

#include <gmock/gmock.h>

#include <set>

#include "balance/test_fleet.h"

namespace datapunk::mesh::balance {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

TEST(RoundRobin, GivesEveryoneTheSameInAnyFullTurn) {
    const TestFleet fleet(7);
    const RoundRobinPicker picker(fleet.candidates());
    EXPECT_THAT(count_picks(picker, 7, 7 * 13, 1), Each(13));
}

TEST(RoundRobin, StartsSomewhereElseForEveryThread) {
    const TestFleet fleet(100);
    const RoundRobinPicker picker(fleet.candidates());
    std::set<std::uint32_t> starts;
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        PickState state(seed);
        starts.insert(*picker.pick({}, state));
    }
    EXPECT_GT(starts.size(), 25U);
}

TEST(RoundRobin, SharesTheTurnsOfTheExcludedEvenly) {
    TestFleet fleet(5);
    fleet.exclude(1);
    fleet.exclude(2);
    const RoundRobinPicker picker(fleet.candidates());
    EXPECT_THAT(count_picks(picker, 5, 30, 3), ElementsAre(10, 0, 0, 10, 10));
}

TEST(RoundRobin, HasNothingToGiveWhenEmptyOrAllExcluded) {
    TestFleet fleet(2);
    fleet.exclude(0);
    fleet.exclude(1);
    PickState state(1);
    EXPECT_FALSE(RoundRobinPicker(fleet.candidates()).pick({}, state));
    EXPECT_FALSE(RoundRobinPicker({}).pick({}, state));
}

}  // namespace
}  // namespace datapunk::mesh::balance
