#include "resilience/token_bucket.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "core/rng.h"

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260106;
}

TEST(TokenBucket, AdmitsTheBurstAndThenOnePerPeriod) {
    TokenBucket limit({.per_second = 100, .burst = 5});
    Instant now{};
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(limit.try_acquire(now));
    EXPECT_FALSE(limit.try_acquire(now));
    EXPECT_EQ(limit.retry_in(now), milliseconds(10));
    EXPECT_FALSE(limit.try_acquire(now + milliseconds(10) - Duration(1)));
    EXPECT_TRUE(limit.try_acquire(now + milliseconds(10)));
    EXPECT_FALSE(limit.try_acquire(now + milliseconds(10)));
}

TEST(TokenBucket, IdlenessFillsTheBucketAndNoMore) {
    TokenBucket limit({.per_second = 100, .burst = 5});
    for (const Instant now : {Instant{}, Instant{} + hours(24 * 365)}) {
        for (int i = 0; i < 5; ++i) EXPECT_TRUE(limit.try_acquire(now));
        EXPECT_FALSE(limit.try_acquire(now));
    }
}

TEST(TokenBucket, CostsMoreThanOneAndNeverMoreThanTheBurst) {
    TokenBucket limit({.per_second = 10, .burst = 5});
    const Instant now{};
    EXPECT_FALSE(limit.try_acquire(now, 6));
    EXPECT_EQ(limit.retry_in(now, 6), Duration::max());
    EXPECT_TRUE(limit.try_acquire(now, 5));
    EXPECT_TRUE(limit.try_acquire(now, 0));
    EXPECT_EQ(limit.retry_in(now, 3), milliseconds(300));
}

TEST(TokenBucket, OddRatesAreTakenToTheNearestEnd) {
    for (const double rate : {0.0, -1.0, std::nan(""), 1e300}) {
        TokenBucket limit({.per_second = rate, .burst = 1});
        EXPECT_TRUE(limit.try_acquire(Instant{})) << rate;
        EXPECT_FALSE(limit.try_acquire(Instant{})) << rate;
    }
}

TEST(TokenBucket, NoIntervalEverGetsMoreThanBurstPlusRate) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    for (int round = 0; round < 50; ++round) {
        const std::uint32_t burst = 1 + static_cast<std::uint32_t>(rng.below(20));
        TokenBucket limit({.per_second = 1000, .burst = burst});
        Instant now{};
        std::vector<Instant> admitted;
        for (int i = 0; i < 2000; ++i) {
            now += microseconds(rng.below(rng.chance(0.02) ? 50'000 : 700));
            if (limit.try_acquire(now)) admitted.push_back(now);
        }
        ASSERT_GT(admitted.size(), 100U);
        for (std::size_t i = 0; i < admitted.size(); ++i) {
            const std::size_t j = i + rng.below(admitted.size() - i);
            const double span = std::chrono::duration<double>(admitted[j] - admitted[i]).count();
            ASSERT_LE(static_cast<double>(j - i + 1), burst + 1000 * span + 1e-6);
        }
    }
}

}  // namespace
}  // namespace datapunk::mesh::resilience
