#include "resilience/backoff.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::milliseconds;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260104;
}

TEST(FullJitter, FillsTheWholeRangeAndNoMore) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    const BackoffConfig config;
    for (const auto& [retry, ceiling] :
         {std::pair{0U, 25}, {1U, 50}, {3U, 200}, {4U, 250}, {4'000'000'000U, 250}}) {
        Duration least = Duration::max();
        Duration most{};
        for (int i = 0; i < 2000; ++i) {
            const Duration wait = full_jitter(config, retry, rng);
            least = std::min(least, wait);
            most = std::max(most, wait);
        }
        EXPECT_LE(most, milliseconds(ceiling)) << retry;
        EXPECT_GT(most, Duration(milliseconds(ceiling)) * 98 / 100) << retry;
        EXPECT_LT(least, Duration(milliseconds(ceiling)) / 50) << retry;
        EXPECT_GE(least, Duration::zero()) << retry;
    }
}

TEST(FullJitter, TakesTheEndsOfTheConfig) {
    core::Rng rng(1);
    EXPECT_EQ(full_jitter({.base = {}, .max = milliseconds(9)}, 50, rng), Duration::zero());
    const BackoffConfig huge{.base = Duration(1), .max = Duration::max()};
    for (int i = 0; i < 1000; ++i) EXPECT_GE(full_jitter(huge, 1000, rng), Duration::zero());
}

TEST(DecorrelatedJitter, StaysBetweenBaseAndThreeTimesThePreviousUnderTheCap) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    const BackoffConfig config;
    EXPECT_EQ(decorrelated_jitter(config, Duration::zero(), rng), config.base);
    Duration previous = config.base;
    Duration most{};
    for (int i = 0; i < 5000; ++i) {
        const Duration wait = decorrelated_jitter(config, previous, rng);
        ASSERT_GE(wait, config.base);
        ASSERT_LE(wait, std::min(config.max, previous * 3));
        most = std::max(most, wait);
        previous = wait;
    }
    EXPECT_GT(most, config.max * 95 / 100);
}

}  // namespace
}  // namespace datapunk::mesh::resilience
