#include "health/trend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "core/rng.h"

namespace datapunk::mesh::health {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260101;
}

TEST(Trend, TheSlopeIsPerSecondWhateverTheDistanceOfTheSamples) {
    for (const Duration apart :
         {Duration(milliseconds(100)), Duration(seconds(1)), Duration(seconds(60))}) {
        Trend trend;
        Instant now{hours(1000)};
        const double per_sample = 0.5 * std::chrono::duration<double>(apart).count();
        for (int i = 0; i < 10; ++i) trend.add(3 + per_sample * i, now += apart);
        const auto line = trend.line(now);
        ASSERT_TRUE(line);
        EXPECT_NEAR(line->slope_per_second, 0.5, 1e-6);
        EXPECT_NEAR(line->value, 3 + per_sample * 9, 1e-6);
        EXPECT_NEAR(line->fit, 1, 1e-9);
    }
}

TEST(Trend, SaysWhenAThresholdIsReachedAndNothingWhenItIsNot) {
    Trend trend;
    Instant now{};
    for (int i = 0; i < 10; ++i) trend.add(1.0 - 0.01 * i, now += seconds(1));
    const auto left = trend.time_to(0.5, now);
    ASSERT_TRUE(left);
    EXPECT_NEAR(std::chrono::duration<double>(*left).count(), 41, 1e-6);
    EXPECT_FALSE(trend.time_to(1.1, now)) << "it goes the other way";
    EXPECT_FALSE(trend.time_to(-1000, now)) << "not within a day";
    EXPECT_EQ(trend.time_to(0.5, now + seconds(41)).value_or(Duration(-1)).count() / 1000, 0);
}

TEST(Trend, NoiseHasNoTimeToAnything) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    int told = 0;
    for (int round = 0; round < 100; ++round) {
        Trend trend;
        Instant now{};
        for (int i = 0; i < 40; ++i) trend.add(rng.unit(), now += seconds(1));
        told += trend.time_to(0, now) || trend.time_to(1, now) ? 1 : 0;
    }
    EXPECT_EQ(told, 0);
}

TEST(Trend, NeedsSamplesAtDifferentTimesAndForgetsTheOldest) {
    Trend trend;
    const Instant start{};
    for (int i = 0; i < 10; ++i) trend.add(i, start);
    EXPECT_FALSE(trend.line(start));
    Trend bounded;
    Instant now{};
    for (int i = 0; i < 100; ++i) bounded.add(1000.0 - i, now += seconds(1));
    for (std::size_t i = 0; i < Trend::kSamplesMax; ++i) bounded.add(7, now += seconds(1));
    EXPECT_NEAR(bounded.line(now)->slope_per_second, 0, 1e-9);
    bounded.add(std::nan(""), now);
    EXPECT_NEAR(bounded.line(now)->value, 7, 1e-9);
}

TEST(Forecast, ContinuesAStraightLine) {
    core::Rng rng(7);
    Forecast forecast(seconds(30));
    Instant now{};
    for (int i = 0; i < 1000; ++i) {
        forecast.add(5 + 0.25 * std::chrono::duration<double>(now.time_since_epoch()).count(), now);
        now += milliseconds(500 + rng.below(1000));  // at any distance
    }
    EXPECT_NEAR(forecast.slope_per_second(), 0.25, 0.001);
    EXPECT_NEAR(forecast.after(seconds(10)), forecast.level() + 2.5, 0.05);
}

TEST(Forecast, IsBoundedFiniteAndNeverNegative) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    for (int round = 0; round < 200; ++round) {
        Forecast forecast(seconds(1 + rng.below(100)));
        Instant now{};
        for (int i = 0; i < 200; ++i) {
            now += milliseconds(rng.below(rng.chance(0.1) ? 1'000'000 : 2000));
            forecast.add(rng.chance(0.1) ? rng.unit() * 1e9 : rng.unit(), now);
            const double coming = forecast.after(seconds(600));
            ASSERT_TRUE(std::isfinite(coming));
            ASSERT_GE(coming, 0);
            ASSERT_LE(coming, Forecast::kGrowthMax * std::max(forecast.level(), 0.0));
            const double factor = weight_factor(forecast, seconds(600));
            ASSERT_GE(factor, 0.1);
            ASSERT_LE(factor, 1);
        }
    }
}

TEST(Forecast, AWeightShrinksWithWhatIsComingAndNotWithWhatGoesAway) {
    Forecast rising(seconds(30));
    Forecast falling(seconds(30));
    Instant now{};
    for (int i = 0; i < 100; ++i) {
        rising.add(100 + i, now);
        falling.add(300 - i, now);
        now += seconds(1);
    }
    const double factor = weight_factor(rising, seconds(100));
    EXPECT_NEAR(factor, 0.5 * 199 / 149.5, 0.03);
    EXPECT_EQ(weight_factor(falling, seconds(100)), 1);
}

}  // namespace
}  // namespace datapunk::mesh::health
