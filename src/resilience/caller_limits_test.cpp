#include "resilience/caller_limits.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <vector>

#include "core/rng.h"

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Refusal = CallerLimits::Refusal;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260106;
}

constexpr Instant kStart = Instant{} + hours(5);

TEST(CallerLimits, EachCallerHasARateOfItsOwn) {
    CallerLimits limits({.calls = 5}, 0, 100);
    for (std::uint64_t caller = 1; caller <= 3; ++caller) {
        for (int i = 0; i < 5; ++i) {
            EXPECT_EQ(limits.begin(caller, kStart, {}).refusal, Refusal::none);
        }
        const auto refused = limits.begin(caller, kStart, {});
        EXPECT_EQ(refused.refusal, Refusal::rate);
        EXPECT_EQ(refused.wait, milliseconds(200));
    }
}

TEST(CallerLimits, ABulkheadCountsCallsInFlightAndARefusedOneCostsNoToken) {
    CallerLimits limits({.calls = 4, .per = hours(1)}, 2, 100);
    const auto first = limits.begin(7, kStart, {});
    const auto second = limits.begin(7, kStart, {});
    for (int i = 0; i < 10; ++i) {
        const auto third = limits.begin(7, kStart, {});
        EXPECT_EQ(third.refusal, Refusal::requests);
        EXPECT_EQ(third.in_flight, 2U);
    }
    EXPECT_EQ(limits.begin(8, kStart, {}).refusal, Refusal::none) << "another caller";
    limits.release(first.entry);
    limits.release(second.entry);
    limits.release(limits.begin(7, kStart, {}).entry);
    limits.release(limits.begin(7, kStart, {}).entry);
    EXPECT_EQ(limits.begin(7, kStart, {}).refusal, Refusal::rate);
}

// Else a caller over its limit would only need enough other names to be forgotten and begin afresh.
TEST(CallerLimits, TrapNobodyGetsAFreshLimitByPushingItselfOut) {
    CallerLimits limits({.calls = 3, .per = hours(1)}, 0, 10);
    for (int i = 0; i < 3; ++i) static_cast<void>(limits.begin(1, kStart, {}));
    EXPECT_EQ(limits.begin(1, kStart, {}).refusal, Refusal::rate);
    for (std::uint64_t other = 100; other < 1000; ++other) {
        static_cast<void>(limits.begin(other, kStart, {}));
    }
    EXPECT_EQ(limits.begin(1, kStart, {}).refusal, Refusal::rate);
    EXPECT_EQ(limits.size(), 10U);
}

TEST(CallerLimits, TrapAFloodOfMadeUpCallersIsHeldToAFewLimits) {
    CallerLimits limits({.calls = 3, .per = hours(1)}, 0, 10);
    int admitted = 0;
    for (std::uint64_t caller = 1; caller <= 10'000; ++caller) {
        admitted += limits.begin(caller, kStart, {}).refusal == Refusal::none ? 1 : 0;
    }
    EXPECT_LE(admitted, 10 + 3 * static_cast<int>(CallerLimits::kShared));
    for (std::uint64_t known = 1; known <= 10; ++known) {
        EXPECT_EQ(limits.begin(known, kStart, {}).refusal, Refusal::none)
            << "keeps what is its own";
    }
}

TEST(CallerLimits, WhoIsAtRestMakesRoomAndWhoIsInFlightStays) {
    CallerLimits limits({}, 1, 2);
    const auto held = limits.begin(1, kStart, {});
    limits.release(limits.begin(2, kStart, {}).entry);
    for (std::uint64_t caller = 3; caller < 100; ++caller) {
        const auto begun = limits.begin(caller, kStart, {});
        ASSERT_EQ(begun.refusal, Refusal::none);
        ASSERT_GE(begun.entry, CallerLimits::kShared) << "an entry of its own";
        limits.release(begun.entry);
    }
    EXPECT_EQ(limits.size(), 2U);
    EXPECT_EQ(limits.begin(1, kStart, {}).refusal, Refusal::requests) << "not forgotten";
    limits.release(held.entry);
    EXPECT_EQ(limits.begin(1, kStart, {}).refusal, Refusal::none);
}

// Against a model that remembers everybody: with room for all, both decide alike; what is held is
// given back.
TEST(CallerLimits, WithRoomForAllDecidesAsAnUnboundedModel) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    const RateLimitConfig rate{.calls = 10, .per = seconds(1), .burst = 4};
    CallerLimits limits(rate, 3, 50);
    struct Caller {
        explicit Caller(const RateLimitConfig& config) : bucket(config) {}

        RateLimit bucket;
        std::vector<std::uint32_t> entries;
    };
    std::map<std::uint64_t, Caller> model;
    Instant now = kStart;
    for (int step = 0; step < 50'000; ++step) {
        now += milliseconds(rng.below(5));
        const std::uint64_t caller = 1 + rng.below(50);
        Caller& known = model.try_emplace(caller, rate).first->second;
        if (!known.entries.empty() && rng.chance(0.4)) {
            limits.release(known.entries.back());
            known.entries.pop_back();
            continue;
        }
        const auto decided = limits.begin(caller, now, {});
        if (known.entries.size() >= 3) {
            ASSERT_EQ(decided.refusal, Refusal::requests);
        } else if (!known.bucket.acquire(now, {}).is_admitted) {
            ASSERT_EQ(decided.refusal, Refusal::rate);
        } else {
            ASSERT_EQ(decided.refusal, Refusal::none);
            known.entries.push_back(decided.entry);
        }
    }
}

// Few places, many callers: the bounds hold whoever is forgotten.
TEST(CallerLimits, WithTooLittleRoomNobodyHasMoreThanItsBulkhead) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    CallerLimits limits({.calls = 50, .per = seconds(1)}, 2, 8);
    std::map<std::uint64_t, std::vector<std::uint32_t>> held;
    std::size_t in_flight = 0;
    Instant now = kStart;
    for (int step = 0; step < 50'000; ++step) {
        now += milliseconds(rng.below(20));
        const std::uint64_t caller = 1 + rng.below(40);
        auto& mine = held[caller];
        if (!mine.empty() && rng.chance(0.5)) {
            limits.release(mine.back());
            mine.pop_back();
            --in_flight;
            continue;
        }
        const auto decided = limits.begin(caller, now, {});
        if (decided.refusal != Refusal::none) continue;
        mine.push_back(decided.entry);
        ++in_flight;
        ASSERT_LE(mine.size(), 4U) << "one entry of its own and one that is shared";
        ASSERT_LE(in_flight, (8U + CallerLimits::kShared) * 2U);
        ASSERT_LE(limits.size(), 8U);
    }
}

}  // namespace
}  // namespace datapunk::mesh::resilience
