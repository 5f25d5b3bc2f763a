#include "balance/measured_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "balance/test_fleet.h"

namespace datapunk::mesh::balance {
namespace {

using std::chrono::milliseconds;

constexpr ReportedLoad kConfig{
    .blackout = std::chrono::seconds(10), .expiration = std::chrono::minutes(3)
};

TEST(LoadHistory, IsBelievedBetweenBlackoutAndExpiration) {
    LoadHistory history;
    EXPECT_EQ(history.capacity(kConfig, at_ms(0)), 0);
    history.add({.utilization = 0.5, .calls_per_second = 100}, at_ms(0));
    EXPECT_EQ(history.capacity(kConfig, at_ms(9'999)), 0);
    EXPECT_EQ(history.capacity(kConfig, at_ms(10'000)), 200);
    EXPECT_EQ(history.capacity(kConfig, at_ms(179'999)), 200);
    EXPECT_EQ(history.capacity(kConfig, at_ms(180'000)), 0);
    // What it reports after that begins a blackout of its own.
    history.add({.utilization = 0.5, .calls_per_second = 100}, at_ms(180'000));
    EXPECT_EQ(history.capacity(kConfig, at_ms(189'999)), 0);
    EXPECT_EQ(history.capacity(kConfig, at_ms(190'000)), 200);
}

TEST(LoadHistory, FailuresCountAsUtilisation) {
    LoadHistory history;
    history.add({.utilization = 0.25, .calls_per_second = 100, .errors_per_second = 25}, at_ms(0));
    EXPECT_EQ(history.capacity(kConfig, at_ms(10'000)), 200);
}

TEST(LoadHistory, ReportsThatSayNothingChangeNothing) {
    LoadHistory history;
    history.add({.utilization = 0.5, .calls_per_second = 100}, at_ms(0));
    history.add({.utilization = 0, .calls_per_second = 100}, at_ms(20'000));
    history.add({.utilization = 0.5, .calls_per_second = 0}, at_ms(20'000));
    history.add({.utilization = std::nan(""), .calls_per_second = 1}, at_ms(20'000));
    EXPECT_EQ(history.capacity(kConfig, at_ms(20'000)), 200);
}

TEST(Shares, TheUnknownAreAverage) {
    const auto shares = shares_of(std::vector<double>{100, 0, 300, 0});
    EXPECT_EQ(shares, (std::vector<double>{0.5, 1, 1.5, 1}));
    EXPECT_EQ(shares_of(std::vector<double>{100, 0}), (std::vector<double>{1, 1}));
}

TEST(Shares, AreFiniteAndBoundedWhateverIsMeasured) {
    const std::uint64_t seed = test_seed(42);
    SCOPED_TRACE(seed);
    core::Rng rng(seed);
    const double odd[] = {
        0, -1, 1e-300, 1e300, std::nan(""), 1, 1000, std::numeric_limits<double>::denorm_min()
    };
    for (int round = 0; round < 1000; ++round) {
        std::vector<double> capacities(rng.below(20));
        for (auto& capacity : capacities) capacity = odd[rng.below(std::size(odd))];
        for (const double share : shares_of(capacities)) {
            ASSERT_GE(share, 1 / kShareSpreadMax);
            ASSERT_LE(share, kShareSpreadMax);
        }
    }
}

// A naive 1 / (latency + 1) gives an endpoint without a sample a thousand times the others' share.
TEST(ResponseTime, AnUnknownEndpointCountsAsAnAverageOne) {
    const std::vector<TimedEndpoint> endpoints{
        {.latency = milliseconds(20)}, {.latency = milliseconds(20)}, {}
    };
    EXPECT_EQ(shares_by_response_time(endpoints), (std::vector<double>{1, 1, 1}));
}

TEST(ResponseTime, TwiceAsSlowGetsHalf) {
    const auto shares = shares_by_response_time(
        std::vector<TimedEndpoint>{{.latency = milliseconds(10)}, {.latency = milliseconds(20)}}
    );
    EXPECT_DOUBLE_EQ(shares[0] / shares[1], 2);
}

// brpc's trap: no answer comes from one that hangs, so that its average says nothing.
TEST(ResponseTime, AHangingEndpointIsNoticedBeforeItAnswers) {
    std::vector<TimedEndpoint> endpoints(
        10, {.latency = milliseconds(10), .in_flight = 2, .weight = 1}
    );
    endpoints[3].in_flight = 500;
    const auto shares = shares_by_response_time(endpoints);
    EXPECT_LT(shares[3], shares[0] / 4);
    // What a heavy one has in flight is usual for it.
    endpoints[3] = {.latency = milliseconds(10), .in_flight = 20, .weight = 10};
    EXPECT_EQ(shares_by_response_time(endpoints)[3], 1);
}

}  // namespace
}  // namespace datapunk::mesh::balance
