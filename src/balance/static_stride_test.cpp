#include "balance/static_stride.h"

#include <gtest/gtest.h>

#include <cmath>

#include "balance/test_fleet.h"

namespace datapunk::mesh::balance {
namespace {

TEST(StaticStride, EqualWeightsAreRoundRobin) {
    const TestFleet fleet({7, 7, 7});
    const StaticStridePicker picker(fleet.candidates());
    PickState state(1);
    const std::uint32_t first = *picker.pick({}, state);
    for (std::uint32_t i = 1; i < 300; ++i) EXPECT_EQ(*picker.pick({}, state), (first + i) % 3);
}

// The invariant: over all strides everyone has exactly its share.
TEST(StaticStride, HonoursWeightsWithinOneTurn) {
    const std::uint64_t seed = test_seed(41);
    SCOPED_TRACE(seed);
    core::Rng rng(seed);
    for (int round = 0; round < 30; ++round) {
        std::vector<std::uint32_t> weights(2 + rng.below(20));
        for (auto& weight : weights) weight = static_cast<std::uint32_t>(10 + rng.below(60));
        const TestFleet fleet(weights);
        const StaticStridePicker picker(fleet.candidates());
        double sum = 0;
        for (const auto weight : weights) sum += weight;
        constexpr int kPicks = 50'000;
        const auto counts = count_picks(picker, weights.size(), kPicks, rng());
        for (std::size_t i = 0; i < weights.size(); ++i) {
            const double share = weights[i] / sum * kPicks;
            // Weights are rounded to 1 / 65535, and the run begins and ends within a turn.
            EXPECT_NEAR(counts[i], share, 2 + share * 0.001) << i << " of " << weights.size();
        }
    }
}

TEST(StaticStride, SpreadsAHeavyOnesTurns) {
    const TestFleet fleet({1, 1, 2});
    const StaticStridePicker picker(fleet.candidates());
    PickState state(3);
    int in_a_row = 0;
    for (int i = 0; i < 400; ++i) {
        in_a_row = *picker.pick({}, state) == 2 ? in_a_row + 1 : 0;
        EXPECT_LE(in_a_row, 2);
    }
}

// The traps: an outlier would starve the others of turns, or starve itself.
TEST(StaticStride, AnOutlierIsTakenForTenTimesOrAHundredthOfTheMean) {
    std::vector<std::uint32_t> weights(100, 100);
    weights[7] = 4'000'000'000;
    const TestFleet heavy(weights);
    const auto counts = count_picks(StaticStridePicker(heavy.candidates()), 100, 200'000, 4);
    EXPECT_GT(counts[7], counts[8]);
    EXPECT_GT(counts[8], 0);
    std::vector<std::uint32_t> light(100, 1'000'000);
    light[7] = 1;
    const TestFleet fleet(light);
    const auto found = count_picks(StaticStridePicker(fleet.candidates()), 100, 1'000'000, 4);
    EXPECT_NEAR(found[7], 100, 3);
}

TEST(StaticStride, TheTurnsOfAnExcludedOneAreEverybodys) {
    TestFleet fleet({3, 1, 3, 3});
    fleet.exclude(0);
    const auto counts = count_picks(StaticStridePicker(fleet.candidates()), 4, 70'000, 5);
    EXPECT_EQ(counts[0], 0);
    EXPECT_NEAR(counts[1], 10'000, 30);
    EXPECT_NEAR(counts[2], 30'000, 60);
    EXPECT_NEAR(counts[3], 30'000, 60);
}

}  // namespace
}  // namespace datapunk::mesh::balance
