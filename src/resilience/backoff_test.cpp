#include "resilience/backoff.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <tuple>

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

TEST(Backoff, EachKindIsItsFormula) {
    core::Rng rng(test_seed());
    const auto wait = [&](BackoffKind kind, std::uint32_t retry) {
        const BackoffConfig config{
            .base = milliseconds(10), .max = milliseconds(100), .kind = kind
        };
        return backoff(config, retry, Duration::zero(), rng);
    };
    using Kind = BackoffKind;
    for (const auto& [retry, exponential, linear, fibonacci] :
         {std::tuple{0U, 10, 10, 10},
          {1U, 20, 20, 10},
          {2U, 40, 30, 20},
          {3U, 80, 40, 30},
          {4U, 100, 50, 50},
          {5U, 100, 60, 80},
          {6U, 100, 70, 100},
          {9U, 100, 100, 100},
          {10U, 100, 100, 100},
          {4'294'967'295U, 100, 100, 100}}) {
        EXPECT_EQ(wait(Kind::exponential, retry), milliseconds(exponential)) << retry;
        EXPECT_EQ(wait(Kind::linear, retry), milliseconds(linear)) << retry;
        EXPECT_EQ(wait(Kind::fibonacci, retry), milliseconds(fibonacci)) << retry;
        EXPECT_EQ(wait(Kind::fixed, retry), milliseconds(10)) << retry;
    }
}

TEST(Backoff, EqualJitterNeverWaitsLessThanHalfAndFillsTheRest) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    const BackoffConfig config{.kind = BackoffKind::equal_jitter};
    Duration least = Duration::max();
    Duration most{};
    for (int i = 0; i < 2000; ++i) {
        const Duration wait = backoff(config, 2, Duration::zero(), rng);
        least = std::min(least, wait);
        most = std::max(most, wait);
    }
    EXPECT_GE(least, milliseconds(50));
    EXPECT_LT(least, milliseconds(51));
    EXPECT_LE(most, milliseconds(100));
    EXPECT_GT(most, milliseconds(99));
}

TEST(Backoff, JitterIsInsideTheCapAndNotAddedBeyondIt) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    for (int kind = 0; kind <= static_cast<int>(BackoffKind::fixed); ++kind) {
        for (int i = 0; i < 2000; ++i) {
            const BackoffConfig config{
                .base = Duration(static_cast<std::int64_t>(rng.below(1'000'000'000))),
                .max = Duration(1'000'000'000 + static_cast<std::int64_t>(rng.below(1U << 30U))),
                .kind = static_cast<BackoffKind>(kind)
            };
            const auto retry = static_cast<std::uint32_t>(rng.below(40));
            const Duration wait = backoff(config, retry, config.max, rng);
            ASSERT_GE(wait, Duration::zero()) << kind;
            ASSERT_LE(wait, config.max) << kind;
        }
        const BackoffConfig none{.base = {}, .kind = static_cast<BackoffKind>(kind)};
        EXPECT_LE(backoff(none, 3, Duration::zero(), rng), Duration::zero());
    }
}

}  // namespace
}  // namespace datapunk::mesh::resilience
