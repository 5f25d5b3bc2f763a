#include "balance/least_request.h"

#include <gtest/gtest.h>

#include "balance/test_fleet.h"

namespace datapunk::mesh::balance {
namespace {

TEST(LeastRequest, PrefersTheEmptierOfTwo) {
    TestFleet fleet(2);
    fleet[0].in_flight = 3;
    fleet[1].in_flight = 2;
    const LeastRequestPicker picker({}, fleet.candidates());
    const auto counts = count_picks(picker, 2, 100, 1);
    EXPECT_EQ(counts[0], 0);
    EXPECT_EQ(counts[1], 100);
}

TEST(LeastRequest, CountsInFlightPerWeight) {
    TestFleet fleet({1, 4});
    fleet[0].in_flight = 2;
    fleet[1].in_flight = 7;  // 7/4 < 2/1
    const LeastRequestPicker picker({}, fleet.candidates());
    EXPECT_EQ(count_picks(picker, 2, 100, 1)[1], 100);
    fleet[1].in_flight = 9;  // 9/4 > 2/1
    EXPECT_EQ(count_picks(picker, 2, 100, 1)[0], 100);
}

TEST(LeastRequest, SharesByWeightWhileAllAreIdle) {
    const TestFleet fleet({1, 3});
    const LeastRequestPicker picker({}, fleet.candidates());
    const auto counts = count_picks(picker, 2, 100000, 2);
    EXPECT_NEAR(counts[0], 25000, 1000);
}

TEST(LeastRequest, MoreChoicesFindTheIdleOne) {
    TestFleet fleet(64);
    for (std::size_t i = 1; i < 64; ++i) fleet[i].in_flight = 5;
    const auto two =
        count_picks(LeastRequestPicker({.choices = 2}, fleet.candidates()), 64, 10000, 3);
    EXPECT_NEAR(two[0], 10000 * 2 / 64, 90);
    const auto all =
        count_picks(LeastRequestPicker({.choices = 64}, fleet.candidates()), 64, 1000, 3);
    EXPECT_GT(all[0], 600);
}

TEST(LeastRequest, FillsEndpointsToTheirWeights) {
    TestFleet fleet({1, 2, 5});
    const LeastRequestPicker picker({.choices = 3}, fleet.candidates());
    PickState state(4);
    for (int i = 0; i < 800; ++i) ++fleet[*picker.pick({}, state)].in_flight;
    EXPECT_NEAR(fleet[0].in_flight, 100, 3);
    EXPECT_NEAR(fleet[1].in_flight, 200, 3);
    EXPECT_NEAR(fleet[2].in_flight, 500, 3);
}

}  // namespace
}  // namespace datapunk::mesh::balance
