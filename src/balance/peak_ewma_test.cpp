#include "balance/peak_ewma.h"

#include <gtest/gtest.h>

#include <cmath>
#include <queue>

#include "balance/test_fleet.h"

namespace datapunk::mesh::balance {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr PeakEwma kConfig;

double ms(Duration d) {
    return std::chrono::duration<double, std::milli>(d).count();
}

TEST(PeakEwmaAverage, IsTheFirstAnswerThenMovesWithTime) {
    EndpointLoad load;
    EXPECT_EQ(expected_latency(load, kConfig, at_ms(0)), kConfig.initial);
    record_answer(load, kConfig, milliseconds(100), false, at_ms(0));
    EXPECT_NEAR(ms(expected_latency(load, kConfig, at_ms(0))), 100, 1e-6);
    // Two answers of 10 ms at the same instant change nothing; after one time constant 1 - 1/e.
    record_answer(load, kConfig, milliseconds(10), false, at_ms(0));
    EXPECT_NEAR(ms(expected_latency(load, kConfig, at_ms(0))), 100, 1e-6);
    record_answer(load, kConfig, milliseconds(10), false, at_ms(10'000));
    EXPECT_NEAR(ms(expected_latency(load, kConfig, at_ms(10'000))), 10 + 90 / 2.718281828, 0.01);
}

TEST(PeakEwmaAverage, DecaysWhileNobodyAsksWithoutBeingWritten) {
    EndpointLoad load;
    record_answer(load, kConfig, milliseconds(100), false, at_ms(0));
    EXPECT_NEAR(ms(expected_latency(load, kConfig, at_ms(10'000))), 36.788, 0.01);
    EXPECT_NEAR(ms(expected_latency(load, kConfig, at_ms(100))), 99.005, 0.01);
    EXPECT_NEAR(load.latency_ns.load(), 100e6, 1);
    // An instant from a thread whose clock reading is older does not grow it.
    EXPECT_NEAR(ms(expected_latency(load, kConfig, at_ms(-50))), 100, 1e-6);
}

TEST(PeakEwmaAverage, APeakCountsAtOnceButIsBounded) {
    EndpointLoad load;
    record_answer(load, kConfig, milliseconds(1), false, at_ms(0));
    record_answer(load, kConfig, milliseconds(20), false, at_ms(1));
    EXPECT_NEAR(ms(expected_latency(load, kConfig, at_ms(1))), 20, 0.01);
    EndpointLoad paused;
    record_answer(paused, kConfig, milliseconds(1), false, at_ms(0));
    record_answer(paused, kConfig, seconds(10), false, at_ms(0));
    EXPECT_NEAR(ms(expected_latency(paused, kConfig, at_ms(0))), 32, 0.01);
    // Forgotten after 3.5 time constants.
    EXPECT_LT(expected_latency(paused, kConfig, at_ms(35'000)), milliseconds(1));
}

TEST(PeakEwmaAverage, NeverExceedsTheLongestWaitWorthTelling) {
    EndpointLoad load;
    record_answer(load, kConfig, std::chrono::hours(1), true, at_ms(0));
    EXPECT_EQ(load.latency_ns.load(), 30e9);
    record_answer(load, kConfig, std::chrono::hours(1), true, at_ms(60'000));
    EXPECT_LE(load.latency_ns.load(), 30e9);
}

TEST(PeakEwmaAverage, ChargesFailuresByTheirRate) {
    EndpointLoad rare;
    EndpointLoad always;
    for (int t = 0; t < 10'000; t += 10) {
        record_answer(rare, kConfig, milliseconds(1), t == 5000, at_ms(t));
        record_answer(always, kConfig, microseconds(100), true, at_ms(t));
    }
    EXPECT_LT(expected_latency(rare, kConfig, at_ms(10'000)), milliseconds(2));
    EXPECT_GT(expected_latency(always, kConfig, at_ms(10'000)), milliseconds(900));
}

TEST(PeakEwmaPicker, PrefersTheFasterAndNoticesTheHanging) {
    TestFleet fleet(2);
    record_answer(fleet[0], kConfig, milliseconds(1), false, at_ms(0));
    record_answer(fleet[1], kConfig, milliseconds(4), false, at_ms(0));
    const PeakEwmaPicker picker(kConfig, fleet.candidates());
    EXPECT_EQ(count_picks(picker, 2, 100, 1, {.now = at_ms(1)})[0], 100);
    fleet[0].in_flight = 4;  // 5 x 1 ms > 4 ms, with no answer to tell
    EXPECT_EQ(count_picks(picker, 2, 100, 1, {.now = at_ms(1)})[1], 100);
}

// Its latencies have the queue in them already: 8 ms with five calls in flight are 16 ms with ten,
// not 80, and the slow idle one must wait until they are more than its 50.
TEST(PeakEwmaPicker, ABusyEndpointsQueueIsNotCountedTwice) {
    TestFleet fleet(2);
    fleet[0].in_flight = 5;
    record_answer(fleet[0], kConfig, milliseconds(8), false, at_ms(0));
    record_answer(fleet[1], kConfig, milliseconds(50), false, at_ms(0));
    const PeakEwmaPicker picker(kConfig, fleet.candidates());
    fleet[0].in_flight = 9;
    EXPECT_EQ(count_picks(picker, 2, 100, 1, {.now = at_ms(0)})[0], 100);
    fleet[0].in_flight = 30;
    EXPECT_EQ(count_picks(picker, 2, 100, 1, {.now = at_ms(0)})[0], 100);
    fleet[0].in_flight = 31;
    EXPECT_EQ(count_picks(picker, 2, 100, 1, {.now = at_ms(0)})[1], 100);
}

TEST(PeakEwmaAverage, APeakIsOfTheCallsThatThereWereWithIt) {
    EndpointLoad load;
    load.in_flight = 10;
    record_answer(load, kConfig, milliseconds(10), false, at_ms(0));
    EXPECT_EQ(load.usual_calls.load(), 10);
    load.in_flight = 1;
    record_answer(load, kConfig, milliseconds(5), false, at_ms(10'000));
    EXPECT_NEAR(load.usual_calls.load(), 1 + 9 / 2.718281828, 0.01);
    record_answer(load, kConfig, milliseconds(100), false, at_ms(10'000));
    EXPECT_EQ(load.usual_calls.load(), 1);
}

TEST(PeakEwmaPicker, ProbesTheUnknownOneAtATime) {
    TestFleet fleet(2);
    record_answer(fleet[0], kConfig, microseconds(10), false, at_ms(0));
    const PeakEwmaPicker picker(kConfig, fleet.candidates());
    const PickQuery query{.now = at_ms(1)};
    EXPECT_EQ(count_picks(picker, 2, 50, 1, query)[1], 50);
    fleet[1].in_flight = 1;
    fleet[0].in_flight = 200;
    EXPECT_EQ(count_picks(picker, 2, 50, 1, query)[0], 50);
    record_answer(fleet[1], kConfig, microseconds(20), false, at_ms(1));
    EXPECT_EQ(count_picks(picker, 2, 50, 1, query)[1], 50);
}

TEST(PeakEwmaPicker, LetsTheHeavierCarryMore) {
    TestFleet fleet({1, 3});
    for (std::size_t i = 0; i < 2; ++i) {
        record_answer(fleet[i], kConfig, milliseconds(1), false, at_ms(0));
    }
    const PeakEwmaPicker picker(kConfig, fleet.candidates());
    PickState state(3);
    for (int i = 0; i < 400; ++i) ++fleet[*picker.pick({.now = at_ms(0)}, state)].in_flight;
    EXPECT_NEAR(fleet[0].in_flight, 100, 2);
    EXPECT_NEAR(fleet[1].in_flight, 300, 2);
}

// One service in virtual time: calls arrive at random, every endpoint works at one call at a time.
struct Simulation {
    struct Server {
        Duration service_time = milliseconds(1);
        bool fails = false;
        Instant busy_until{};
        int calls = 0;
    };
    struct Departure {
        Instant at;
        std::uint32_t server;
        Duration latency;
        bool operator>(const Departure& other) const { return at > other.at; }
    };

    // The share of calls that server 0 got.
    double run(std::vector<Server> servers, int calls, double per_second, std::uint64_t seed) {
        TestFleet fleet(servers.size());
        const PeakEwmaPicker picker(kConfig, fleet.candidates());
        PickState state(seed);
        core::Rng rng(seed + 1);
        std::priority_queue<Departure, std::vector<Departure>, std::greater<>> departures;
        Instant now{};
        for (int i = 0; i < calls; ++i) {
            const double gap_s = -std::log(1 - rng.unit()) / per_second;
            now += Duration(static_cast<std::int64_t>(gap_s * 1e9));
            while (!departures.empty() && departures.top().at <= now) {
                const Departure d = departures.top();
                departures.pop();
                --fleet[d.server].in_flight;
                record_answer(fleet[d.server], kConfig, d.latency, servers[d.server].fails, d.at);
            }
            const std::uint32_t picked = *picker.pick({.now = now}, state);
            ++fleet[picked].in_flight;
            Server& server = servers[picked];
            ++server.calls;
            server.busy_until = std::max(server.busy_until, now) + server.service_time;
            departures.push({server.busy_until, picked, server.busy_until - now});
        }
        return static_cast<double>(servers[0].calls) / calls;
    }
};

TEST(PeakEwmaSimulation, OneSlowOfTenGetsLessThanThreePercent) {
    const std::uint64_t seed = test_seed(20);
    SCOPED_TRACE(seed);
    std::vector<Simulation::Server> servers(10);
    servers[0].service_time = milliseconds(20);
    EXPECT_LT(Simulation().run(servers, 100'000, 3000, seed), 0.03);
}

TEST(PeakEwmaSimulation, AFastFailingEndpointGetsHardlyAnything) {
    const std::uint64_t seed = test_seed(21);
    SCOPED_TRACE(seed);
    std::vector<Simulation::Server> servers(10);
    servers[0] = {.service_time = microseconds(50), .fails = true};
    EXPECT_LT(Simulation().run(servers, 100'000, 3000, seed), 0.01);
    EXPECT_LT(Simulation().run(servers, 20'000, 30, seed), 0.02);
}

TEST(PeakEwmaSimulation, AHangingEndpointIsNoticedBeforeItAnswers) {
    const std::uint64_t seed = test_seed(22);
    SCOPED_TRACE(seed);
    std::vector<Simulation::Server> servers(10);
    servers[0].service_time = std::chrono::hours(1);
    EXPECT_LT(Simulation().run(servers, 100'000, 3000, seed), 0.001);
}

TEST(PeakEwmaSimulation, EqualsShareEqually) {
    const std::uint64_t seed = test_seed(23);
    SCOPED_TRACE(seed);
    EXPECT_NEAR(
        Simulation().run(std::vector<Simulation::Server>(10), 100'000, 6000, seed), 0.1, 0.02
    );
}

}  // namespace
}  // namespace datapunk::mesh::balance
