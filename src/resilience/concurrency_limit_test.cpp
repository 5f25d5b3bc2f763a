#include "resilience/concurrency_limit.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace datapunk::mesh::resilience {
namespace {

TEST(ConcurrencyLimit, AdmitsExactlyTheLimitAndAgainAfterARelease) {
    ConcurrencyLimit limit(2);
    EXPECT_TRUE(limit.try_acquire());
    EXPECT_TRUE(limit.try_acquire());
    EXPECT_FALSE(limit.try_acquire());
    EXPECT_EQ(limit.held(), 2U);
    limit.release();
    EXPECT_TRUE(limit.try_acquire());
    EXPECT_FALSE(ConcurrencyLimit(0).try_acquire());
}

TEST(ConcurrencyLimit, LoweringItEvictsNobody) {
    ConcurrencyLimit limit(3);
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(limit.try_acquire());
    limit.set_limit(1);
    limit.release();
    limit.release();
    EXPECT_FALSE(limit.try_acquire());
    limit.release();
    EXPECT_TRUE(limit.try_acquire());
}

TEST(ConcurrencyLimit, ThreadsTogetherNeverHoldMoreThanTheLimit) {
    ConcurrencyLimit limit(3);
    std::atomic<int> inside = 0;
    std::atomic<int> most = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 20'000; ++i) {
                if (!limit.try_acquire()) continue;
                const int now_inside = inside.fetch_add(1) + 1;
                int seen = most.load();
                while (now_inside > seen && !most.compare_exchange_weak(seen, now_inside)) {
                }
                inside.fetch_sub(1);
                limit.release();
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_LE(most.load(), 3);
    EXPECT_GE(most.load(), 1);
    EXPECT_EQ(limit.held(), 0U);
}

}  // namespace
}  // namespace datapunk::mesh::resilience
