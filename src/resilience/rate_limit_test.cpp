#include "resilience/rate_limit.h"

#include <gtest/gtest.h>

#include <memory>
#include <variant>

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Instant kStart = Instant{} + hours(5);

int admitted_of(RateLimit& limit, int calls, Instant now, Duration patience = {}) {
    int admitted = 0;
    for (int i = 0; i < calls; ++i) admitted += limit.acquire(now, patience).is_admitted ? 1 : 0;
    return admitted;
}

TEST(RateLimit, WithoutALimitEverythingBegins) {
    RateLimit limit{RateLimitConfig{}};
    EXPECT_FALSE(limit.is_on());
    EXPECT_EQ(admitted_of(limit, 1000, kStart), 1000);
    EXPECT_TRUE(limit.is_at_rest(kStart));
}

TEST(RateLimit, EachAlgorithmMakesOfAHundredInAMinuteWhatItPromises) {
    const auto of = [](RateAlgorithm algorithm, std::uint32_t burst = 0) {
        return RateLimitConfig{
            .calls = 100, .per = minutes(1), .algorithm = algorithm, .burst = burst
        };
    };
    RateLimit tokens(of(RateAlgorithm::token_bucket, 10));
    EXPECT_EQ(admitted_of(tokens, 500, kStart), 10);
    EXPECT_EQ(tokens.acquire(kStart, {}), (RateDecision{false, milliseconds(600)}));
    EXPECT_EQ(admitted_of(tokens, 500, kStart + seconds(6)), 10);

    RateLimit all(of(RateAlgorithm::token_bucket));
    EXPECT_EQ(admitted_of(all, 500, kStart), 100) << "a burst as large as the rate";

    RateLimit even(of(RateAlgorithm::leaky_bucket, 10));
    EXPECT_EQ(admitted_of(even, 500, kStart), 1) << "without patience";
    EXPECT_EQ(even.acquire(kStart, minutes(1)), (RateDecision{true, milliseconds(600)}));
    EXPECT_EQ(admitted_of(even, 500, kStart, minutes(1)), 9);
    EXPECT_EQ(even.acquire(kStart, minutes(1)), (RateDecision{false, milliseconds(600)}));

    RateLimit window(of(RateAlgorithm::sliding_window, 10));
    EXPECT_EQ(admitted_of(window, 500, kStart), 100);
    EXPECT_EQ(admitted_of(window, 500, kStart + seconds(60)), 0);
    EXPECT_EQ(admitted_of(window, 500, kStart + seconds(64)), 100);

    for (RateLimit* limit : {&tokens, &all, &even, &window}) {
        EXPECT_FALSE(limit->is_at_rest(kStart + seconds(6)));
        EXPECT_TRUE(limit->is_at_rest(kStart + hours(1)));
    }
}

TEST(RateLimit, ASharedOneSpendsItsSliceAndItsBurstIsWhatTwoExchangesBring) {
    const auto slice_of = [](const RateLimit& limit) {
        return std::get<std::shared_ptr<LeasedSlice>>(limit.leased().value());
    };
    RateLimit plain({.calls = 100});
    EXPECT_FALSE(plain.leased());
    RateLimit limit({.calls = 100, .burst = 5}, true);
    const auto slice = slice_of(limit);
    EXPECT_EQ(slice->config(), (SliceConfig{.rate = 100, .burst = 20}));
    static_cast<void>(slice->ask(kStart));
    EXPECT_EQ(admitted_of(limit, 50, kStart), 10) << "what one exchange brings";
    EXPECT_EQ(limit.acquire(kStart, {}), (RateDecision{false, milliseconds(100)}));
    slice->granted(7, 3, kStart);
    EXPECT_EQ(admitted_of(limit, 50, kStart), 7);
    RateLimit slow({.calls = 1, .per = minutes(1)}, true);
    static_cast<void>(slice_of(slow)->ask(kStart));
    EXPECT_EQ(admitted_of(slow, 50, kStart), 1);
    EXPECT_EQ(slow.acquire(kStart, {}), (RateDecision{false, minutes(1)}));
}

TEST(RateLimit, OneInThePlaceOfAnotherBeginsWithWhatThatHasLeft) {
    const RateAlgorithm all[] = {
        RateAlgorithm::token_bucket, RateAlgorithm::leaky_bucket, RateAlgorithm::sliding_window
    };
    for (const RateAlgorithm from : all) {
        for (const RateAlgorithm to : all) {
            RateLimit before({.calls = 100, .per = minutes(1), .algorithm = from});
            EXPECT_EQ(admitted_of(before, 50, kStart, hours(1)), 50);
            const RateLimitConfig other{.calls = 200, .per = minutes(2), .algorithm = to};
            RateLimit half(other, false, &before, kStart);
            EXPECT_NEAR(admitted_of(half, 500, kStart, hours(1)), 100, 2) << "half of 200";
            RateLimit none(other, false, &half, kStart);
            EXPECT_LE(admitted_of(none, 500, kStart, hours(1)), 2);
        }
    }
    // Of a window of the same length call by call.
    RateLimit window({.calls = 10, .algorithm = RateAlgorithm::sliding_window});
    EXPECT_EQ(admitted_of(window, 10, kStart), 10);
    RateLimit wider(
        {.calls = 15, .algorithm = RateAlgorithm::sliding_window}, false, &window, kStart
    );
    EXPECT_EQ(admitted_of(wider, 10, kStart + milliseconds(500)), 5);
    EXPECT_EQ(admitted_of(wider, 20, kStart + milliseconds(1063)), 10);
}

// Without Redis in the configuration, or in the second before the first exchange.
TEST(RateLimit, TrapASharedOneThatNobodyExchangesStillLetsCallsThrough) {
    RateLimit limit({.calls = 100, .burst = 5}, true);
    int admitted = 0;
    for (int i = 0; i < 1000; ++i) {
        admitted += admitted_of(limit, 2, kStart + milliseconds(10 * i));
    }
    EXPECT_NEAR(admitted, 1000, 5);
}

TEST(RateLimit, TheSlowestAndTheFastestAreKept) {
    for (const auto algorithm :
         {RateAlgorithm::token_bucket, RateAlgorithm::leaky_bucket, RateAlgorithm::sliding_window
         }) {
        RateLimit daily({.calls = 1, .per = hours(24), .algorithm = algorithm});
        EXPECT_EQ(admitted_of(daily, 10, kStart), 1);
        EXPECT_EQ(admitted_of(daily, 10, kStart + hours(23)), 0);
        EXPECT_EQ(admitted_of(daily, 10, kStart + hours(26)), 1);

        RateLimit fast({.calls = 1'000'000, .per = milliseconds(10), .algorithm = algorithm});
        const int burst = admitted_of(fast, 1'100'000, kStart, milliseconds(10));
        EXPECT_NEAR(burst, 1'000'000, 1);
    }
}

}  // namespace
}  // namespace datapunk::mesh::resilience
