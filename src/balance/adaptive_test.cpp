#include "balance/adaptive.h"

#include <gtest/gtest.h>

#include <vector>

#include "balance/test_fleet.h"

namespace datapunk::mesh::balance {
namespace {

using std::chrono::milliseconds;
using Choice = AdaptiveChooser::Choice;

std::vector<EndpointQuality> alike(std::size_t size) {
    return std::vector<EndpointQuality>(
        size, {.latency = milliseconds(10), .calls = 1000, .in_flight = 3}
    );
}

void be_quiet(AdaptiveChooser& chooser, int intervals) {
    for (int i = 0; i < intervals; ++i) chooser.judge(alike(5));
}

TEST(Adaptive, BecomesPlainAfterThreeQuietIntervalsAndNotBefore) {
    AdaptiveChooser chooser;
    EXPECT_EQ(chooser.choice(), Choice::peak_ewma);
    be_quiet(chooser, 2);
    EXPECT_EQ(chooser.choice(), Choice::peak_ewma);
    EXPECT_TRUE(chooser.judge(alike(5)));
    EXPECT_EQ(chooser.choice(), Choice::round_robin);
    EXPECT_EQ(chooser.why(), "endpoints have been alike for 3 intervals");
    EXPECT_TRUE(std::holds_alternative<WeightedRoundRobin>(chooser.config()));
    EXPECT_FALSE(chooser.judge(alike(5)));
}

TEST(Adaptive, BecomesCarefulAtOnceAndSaysWhy) {
    AdaptiveChooser chooser;
    be_quiet(chooser, 3);
    auto one_slow = alike(5);
    one_slow[1].latency = milliseconds(81);
    EXPECT_TRUE(chooser.judge(one_slow));
    EXPECT_EQ(chooser.choice(), Choice::peak_ewma);
    EXPECT_EQ(chooser.why(), "latencies differ 8.1-fold");

    be_quiet(chooser, 3);
    auto failing = alike(5);
    failing[4].failures = 120;
    EXPECT_TRUE(chooser.judge(failing));
    EXPECT_EQ(chooser.choice(), Choice::peak_ewma);
    EXPECT_EQ(chooser.why(), "failure rates differ by 12.0 %");

    be_quiet(chooser, 3);
    auto piled = alike(5);
    piled[2].in_flight = 30;
    EXPECT_TRUE(chooser.judge(piled));
    EXPECT_EQ(chooser.choice(), Choice::least_request);
}

// Between the two thresholds nothing changes, in whichever state it is.
TEST(Adaptive, DoesNotFlapBetweenItsThresholds) {
    auto between = alike(5);
    between[0].latency = milliseconds(25);
    AdaptiveChooser careful;
    AdaptiveChooser plain;
    be_quiet(plain, 3);
    for (int i = 0; i < 20; ++i) {
        EXPECT_FALSE(careful.judge(between));
        EXPECT_FALSE(plain.judge(between));
    }
    EXPECT_EQ(careful.choice(), Choice::peak_ewma);
    EXPECT_EQ(plain.choice(), Choice::round_robin);
}

// The original changed its mind with every noisy reading.
TEST(Adaptive, IsNeverPlainerWithinThreeIntervalsOfAReason) {
    const std::uint64_t seed = test_seed(43);
    SCOPED_TRACE(seed);
    core::Rng rng(seed);
    AdaptiveChooser chooser;
    int since_reason = 0;
    for (int i = 0; i < 5000; ++i) {
        auto endpoints = alike(1 + rng.below(6));
        for (auto& endpoint : endpoints) {
            if (rng.chance(0.05)) endpoint.latency *= 1 + static_cast<int>(rng.below(6));
            if (rng.chance(0.05)) endpoint.failures = rng.below(100);
            if (rng.chance(0.05)) endpoint.in_flight *= 4 * rng.unit();
        }
        const Choice before = chooser.choice();
        chooser.judge(endpoints);
        ++since_reason;
        if (chooser.choice() < before) {
            ASSERT_GE(since_reason, kQuietIntervals) << i;
        }
        if (chooser.choice() > before) since_reason = 0;
    }
}

TEST(Adaptive, KeepsWhatThereIsWhileAnEndpointCannotBeJudged) {
    AdaptiveChooser chooser;
    auto unknown = alike(5);
    unknown[0] = {.latency = milliseconds(10), .calls = kJudgedCallsMin - 1};
    for (int i = 0; i < 10; ++i) EXPECT_FALSE(chooser.judge(unknown));
    EXPECT_EQ(chooser.choice(), Choice::peak_ewma);
}

TEST(Adaptive, WatchedItBecomesCarefulAndNeverPlain) {
    AdaptiveChooser chooser;
    for (int i = 0; i < 10; ++i) EXPECT_FALSE(chooser.watch(alike(5)));
    EXPECT_EQ(chooser.choice(), Choice::peak_ewma);
    be_quiet(chooser, 3);
    EXPECT_EQ(chooser.choice(), Choice::round_robin);
    auto one_slow = alike(5);
    one_slow[1].latency = milliseconds(30);
    EXPECT_TRUE(chooser.watch(one_slow));
    EXPECT_EQ(chooser.choice(), Choice::peak_ewma);
}

TEST(Adaptive, OneEndpointOrNoneIsNoReasonForAnything) {
    AdaptiveChooser chooser;
    for (int i = 0; i < 5; ++i) {
        EXPECT_FALSE(chooser.judge({}));
        EXPECT_FALSE(chooser.judge(alike(1)));
    }
}

}  // namespace
}  // namespace datapunk::mesh::balance
