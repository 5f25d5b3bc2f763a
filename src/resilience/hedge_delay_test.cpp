#include "resilience/hedge_delay.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <thread>
#include <vector>

#include "core/rng.h"

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Instant kStart{seconds(1000)};

double ms(Duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
}

Duration exponential(core::Rng& rng, double mean_ms) {
    const double uniform = (static_cast<double>(rng.below(1'000'000)) + 0.5) / 1e6;
    return Duration(static_cast<std::int64_t>(-mean_ms * 1e6 * std::log(uniform)));
}

TEST(HedgeDelay, IsThePercentileToAnEighthAndUnknownBeforeThereAreSamples) {
    HedgeDelay delay({.max = 0.05, .percentile = 95});
    EXPECT_EQ(delay.delay(), std::nullopt);
    for (int i = 1; i <= 99; ++i) delay.completed(milliseconds(i));
    delay.tick(kStart);
    EXPECT_EQ(delay.delay(), std::nullopt) << "fewer than five would be beyond";
    delay.completed(milliseconds(100));
    delay.tick(kStart);
    ASSERT_NE(delay.delay(), std::nullopt);
    EXPECT_GE(*delay.delay(), milliseconds(95));
    EXPECT_LE(ms(*delay.delay()), 95 * 1.126);
}

TEST(HedgeDelay, AFixedDelayNeedsNoMeasure) {
    const HedgeDelay delay({.max = 0.05, .delay = milliseconds(7)});
    EXPECT_EQ(delay.delay(), milliseconds(7));
}

TEST(HedgeDelay, OldSamplesAreForgottenAfterAMinute) {
    HedgeDelay delay({.max = 0.05, .percentile = 50});
    for (int i = 0; i < 100; ++i) delay.completed(milliseconds(500));
    delay.tick(kStart);
    EXPECT_GE(*delay.delay(), milliseconds(500));
    for (int s = 1; s <= 60; ++s) {
        delay.completed(milliseconds(5));
        delay.tick(kStart + seconds(s));
    }
    EXPECT_LE(*delay.delay(), milliseconds(6));
    delay.tick(kStart + seconds(3600));
    EXPECT_EQ(delay.delay(), std::nullopt) << "nobody knows any more";
}

TEST(HedgeDelay, IsNeverSoShortThatAHedgeCostsMoreThanItWins) {
    HedgeDelay delay({.max = 0.05, .percentile = 95});
    for (int i = 0; i < 1000; ++i) delay.completed(microseconds(20));
    delay.tick(kStart);
    EXPECT_EQ(delay.delay(), HedgeDelay::kDelayMin);
}

TEST(HedgeDelay, WhereNobodyHasSeenTheEndTheLongestTimeIsTheAnswer) {
    HedgeDelay delay({.max = 0.05, .percentile = 95});
    for (int i = 0; i < 900; ++i) delay.completed(milliseconds(10));
    for (int i = 0; i < 100; ++i) delay.censored(milliseconds(300));
    delay.tick(kStart);
    EXPECT_GE(*delay.delay(), milliseconds(300));
    HedgeDelay hanging({.max = 0.05, .percentile = 95});
    for (int i = 0; i < 200; ++i) hanging.censored(seconds(1));
    hanging.tick(kStart);
    EXPECT_GE(*hanging.delay(), seconds(1)) << "all hang: hedging at once would double the load";
}

// The trap: what a hedge beats is cut short. Taken for answers, those samples make the percentile
// shrink, which makes for more hedges, until everything is hedged.
TEST(HedgeDelay, LearnsFromAttemptsThatTheirHedgesBeatWithoutShrinking) {
    core::Rng rng(20261121);
    HedgeDelay delay({.max = 0.05, .percentile = 95});
    std::vector<Duration> naive_window;  // what a naive one would learn from, for comparison
    Duration naive = milliseconds(1000);
    const double truth = -10 * std::log(0.05);  // ms: of the mean 10
    int hedges = 0;
    for (int s = 0; s < 180; ++s) {
        for (int i = 0; i < 200; ++i) {
            const Duration first = exponential(rng, 10);
            const Duration second = exponential(rng, 10);
            const auto wait = delay.delay();
            if (!wait || first <= *wait || first <= *wait + second) {
                hedges += s >= 60 && wait && first > *wait ? 1 : 0;
                delay.completed(first, static_cast<unsigned>(i));
            } else {
                hedges += s >= 60 ? 1 : 0;
                delay.censored(*wait + second, static_cast<unsigned>(i));
            }
            naive_window.push_back(first <= naive ? first : std::min(first, naive + second));
        }
        delay.tick(kStart + seconds(s));
        if (s % 60 == 59) {
            std::sort(naive_window.begin(), naive_window.end());
            naive = naive_window[naive_window.size() * 95 / 100];
            naive_window.clear();
        }
    }
    ASSERT_NE(delay.delay(), std::nullopt);
    EXPECT_NEAR(ms(*delay.delay()), truth, truth * 0.15) << "an eighth is the bucket's";
    EXPECT_LE(hedges, 120 * 200 * 6 / 100);
    EXPECT_LT(naive, *delay.delay()) << "as the naive one does";
}

TEST(HedgeDelay, ThreadsLoseNoSample) {
    HedgeDelay delay({.max = 0.05, .percentile = 50});
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 3; ++t) {
        threads.emplace_back([&delay, t] {
            for (int i = 0; i < 2000; ++i) delay.completed(milliseconds(t == 0 ? 100 : 10), t);
        });
    }
    for (auto& thread : threads) thread.join();
    delay.tick(kStart);
    EXPECT_LE(*delay.delay(), milliseconds(12));
}

}  // namespace
}  // namespace datapunk::mesh::resilience
