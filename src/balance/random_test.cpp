#include "balance/random.h"

#include <gtest/gtest.h>

#include <cmath>

#include "balance/test_fleet.h"

namespace datapunk::mesh::balance {
namespace {

TEST(Random, HonoursWeights) {
    const TestFleet fleet({1, 2, 3, 94});
    const RandomPicker picker(fleet.candidates());
    const auto counts = count_picks(picker, 4, 1'000'000, 7);
    for (std::size_t i = 0; i < 4; ++i) {
        const double expected = 1e4 * fleet.candidates()[i].weight;
        EXPECT_NEAR(counts[i], expected, 5 * std::sqrt(expected)) << i;
    }
}

TEST(Random, KeepsTheProportionsOfThoseLeft) {
    TestFleet fleet({1, 2, 3, 994});
    fleet.exclude(3);
    const RandomPicker picker(fleet.candidates());
    const auto counts = count_picks(picker, 4, 60000, 8);
    EXPECT_NEAR(counts[0], 10000, 500);
    EXPECT_NEAR(counts[1], 20000, 700);
    EXPECT_NEAR(counts[2], 30000, 700);
    EXPECT_EQ(counts[3], 0);
}

TEST(WeightedDraw, GivesEveryoneItsExactShareOfThePoints) {
    const TestFleet fleet({7, 1, 65535, 12, 12, 300});
    const WeightedDraw draw(fleet.candidates());
    std::vector<int> counts(fleet.size());
    constexpr int kPoints = 1 << 20;
    for (std::uint64_t i = 0; i < kPoints; ++i) ++counts[draw.at(i << 44U)];
    for (std::size_t i = 0; i < fleet.size(); ++i) {
        const double expected = kPoints * (fleet.candidates()[i].weight / 65867.0);
        EXPECT_NEAR(counts[i], expected, static_cast<double>(fleet.size())) << i;
    }
}

}  // namespace
}  // namespace datapunk::mesh::balance
