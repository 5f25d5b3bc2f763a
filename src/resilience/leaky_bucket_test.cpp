#include "resilience/leaky_bucket.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <thread>
#include <vector>

#include "core/rng.h"

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260106;
}

TEST(LeakyBucket, ABurstLeavesEvenlyAndWhoFindsItFullIsRefused) {
    LeakyBucket bucket(milliseconds(10), 3);
    const Instant now{};
    for (int i = 0; i <= 3; ++i) {
        EXPECT_EQ(bucket.try_acquire(now, hours(1)), milliseconds(10 * i)) << i;
    }
    EXPECT_EQ(bucket.try_acquire(now, hours(1)), std::nullopt);
    EXPECT_EQ(bucket.retry_in(now, hours(1)), milliseconds(10));
    EXPECT_EQ(bucket.try_acquire(now + milliseconds(10) - Duration(1), hours(1)), std::nullopt);
    EXPECT_EQ(bucket.try_acquire(now + milliseconds(10), hours(1)), milliseconds(30));
}

TEST(LeakyBucket, ARefusalTakesNoTurnAndPatienceIsTheCallers) {
    LeakyBucket bucket(milliseconds(10), 100);
    const Instant now{};
    EXPECT_EQ(bucket.try_acquire(now, Duration::zero()), Duration::zero());
    for (int i = 0; i < 50; ++i) EXPECT_EQ(bucket.try_acquire(now, milliseconds(9)), std::nullopt);
    EXPECT_EQ(bucket.retry_in(now, milliseconds(9)), milliseconds(1));
    EXPECT_EQ(bucket.try_acquire(now, milliseconds(10)), milliseconds(10));
}

// A token bucket would let as many through at once as it has saved up.
TEST(LeakyBucket, TrapIdlenessSavesNothingUp) {
    LeakyBucket bucket(milliseconds(10), 5);
    const Instant later = Instant{} + hours(24 * 365);
    EXPECT_EQ(bucket.try_acquire(later, hours(1)), Duration::zero());
    EXPECT_EQ(bucket.try_acquire(later, hours(1)), milliseconds(10));
    EXPECT_FALSE(bucket.is_empty(later + milliseconds(20) - Duration(1)));
    EXPECT_TRUE(bucket.is_empty(later + milliseconds(20)));
}

TEST(LeakyBucket, TurnsAreAPeriodApartWhateverThreadsDo) {
    LeakyBucket bucket(milliseconds(1), 1'000'000);
    constexpr int kEach = 5000;
    std::vector<std::vector<Duration>> waits(4);
    {
        std::vector<std::jthread> threads;
        for (auto& mine : waits) {
            threads.emplace_back([&bucket, &mine] {
                for (int i = 0; i < kEach; ++i) {
                    mine.push_back(*bucket.try_acquire(Instant{}, hours(1)));
                }
            });
        }
    }
    std::vector<Duration> all;
    for (const auto& mine : waits) {
        EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
        all.insert(all.end(), mine.begin(), mine.end());
    }
    std::sort(all.begin(), all.end());
    for (std::size_t i = 0; i < all.size(); ++i) {
        ASSERT_EQ(all[i], milliseconds(static_cast<int>(i)));
    }
}

TEST(LeakyBucket, NoTwoTurnsAreEverCloserThanAPeriod) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    for (int round = 0; round < 50; ++round) {
        const auto depth = static_cast<std::uint32_t>(rng.below(20));
        LeakyBucket bucket(milliseconds(10), depth);
        Instant now{};
        Instant last = Instant::min();
        std::size_t admitted = 0;
        for (int i = 0; i < 1000; ++i) {
            now += milliseconds(rng.below(rng.chance(0.05) ? 200 : 12));
            const auto wait = bucket.try_acquire(now, milliseconds(rng.below(300)));
            if (!wait) continue;
            ++admitted;
            ASSERT_LE(*wait, milliseconds(10) * depth);
            if (last != Instant::min()) {
                ASSERT_GE(now + *wait - last, milliseconds(10));
            }
            last = now + *wait;
        }
        ASSERT_GT(admitted, 100U);
    }
}

}  // namespace
}  // namespace datapunk::mesh::resilience
