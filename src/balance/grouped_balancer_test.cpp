#include "balance/grouped_balancer.h"

#include <gtest/gtest.h>

#include "balance/test_fleet.h"

namespace datapunk::mesh::balance {
namespace {

std::vector<GroupedBalancer::Group> split(
    const TestFleet& fleet, const std::vector<std::pair<std::size_t, double>>& sizes
) {
    std::vector<GroupedBalancer::Group> groups;
    std::size_t at = 0;
    for (const auto& [size, share] : sizes) {
        auto& group = groups.emplace_back();
        group.share = share;
        for (std::size_t i = 0; i < size; ++i) group.candidates.push_back(fleet.candidates()[at++]);
    }
    return groups;
}

TEST(GroupedBalancer, GroupsGetTheirSharesAndMembersTheSame) {
    const TestFleet fleet(10);
    for (const BalanceConfig& config :
         {BalanceConfig{RoundRobin{}},
          BalanceConfig{WeightedRoundRobin{}},
          BalanceConfig{StaticStride{}},
          BalanceConfig{LeastRequest{}},
          BalanceConfig{Random{}}}) {
        const GroupedBalancer balancer(config, split(fleet, {{4, 0.7}, {5, 0.3}, {1, 0}}));
        const auto counts = count_picks(balancer, 10, 100'000, 1);
        for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(counts[i], 17'500, 600) << config.index();
        for (std::size_t i = 4; i < 9; ++i) EXPECT_NEAR(counts[i], 6'000, 400) << config.index();
        EXPECT_EQ(counts[9], 0);
    }
}

// Taking turns must not be confused by the turns of other groups.
TEST(GroupedBalancer, RoundRobinTurnsExactlyWithinEachGroup) {
    const TestFleet fleet(7);
    const GroupedBalancer balancer(RoundRobin{}, split(fleet, {{3, 0.5}, {4, 0.5}}));
    const auto counts = count_picks(balancer, 7, 10'000, 1);
    EXPECT_LE(std::abs(counts[0] - counts[1]), 1);
    EXPECT_LE(std::abs(counts[0] - counts[2]), 1);
    EXPECT_LE(std::abs(counts[3] - counts[6]), 1);
}

TEST(GroupedBalancer, AGroupWithNobodyToOfferPassesOnInOrder) {
    TestFleet fleet(6);
    const GroupedBalancer balancer(PeakEwma{}, split(fleet, {{2, 1}, {2, 0}, {2, 0}}));
    fleet.exclude(0);
    EXPECT_EQ(count_picks(balancer, 6, 100, 1)[1], 100);
    fleet.exclude(1);
    auto counts = count_picks(balancer, 6, 100, 1);
    EXPECT_EQ(counts[2] + counts[3], 100);
    fleet.exclude(2);
    fleet.exclude(3);
    counts = count_picks(balancer, 6, 100, 1);
    EXPECT_EQ(counts[4] + counts[5], 100);
    fleet.exclude(4);
    fleet.exclude(5);
    PickState state(1);
    EXPECT_FALSE(balancer.pick({}, state));
    EXPECT_FALSE(GroupedBalancer(PeakEwma{}, {}).pick({}, state));
}

TEST(GroupedBalancer, ASessionStaysInItsGroup) {
    const TestFleet fleet(20);
    const GroupedBalancer balancer(RingHash{}, split(fleet, {{10, 0.6}, {10, 0.4}}));
    int in_first = 0;
    for (std::uint64_t hash = 0; hash < 2000; ++hash) {
        PickState one(1);
        PickState two(2);
        const auto picked = balancer.pick({.hash = hash}, one);
        ASSERT_EQ(picked, balancer.pick({.hash = hash}, two));
        in_first += *picked < 10 ? 1 : 0;
    }
    EXPECT_NEAR(in_first, 1200, 110);
}

}  // namespace
}  // namespace datapunk::mesh::balance
