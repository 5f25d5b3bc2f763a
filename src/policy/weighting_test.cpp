// Slow start, zones, failover, panic, subsetting, measured weights and Adaptive, as calls see them.

#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Answers of every endpoint, by id, over some calls.
std::map<std::string, int> count_calls(ServicePolicies& policies, int calls, Instant now) {
    std::map<std::string, int> counts;
    for (int i = 0; i < calls; ++i) ++counts[ask(policies, now).value_or("nobody")];
    return counts;
}

const std::string kFirst = test_endpoint(0).id;

EndpointSet without(EndpointSet set, std::size_t position) {
    set.endpoints.erase(set.endpoints.begin() + static_cast<std::ptrdiff_t>(position));
    return set;
}

class SlowStartOf : public testing::TestWithParam<BalanceConfig> {};

TEST_P(SlowStartOf, ANewEndpointGetsItsShareLittleByLittle) {
    ServicePolicy policy{.balance = GetParam(), .slow_start = {.window = seconds(100)}};
    ServicePolicies policies("api_service", policy, 1);
    const EndpointSet all = test_set(5);
    policies.update(without(all, 0), at(seconds(0)));
    count_calls(policies, 500, at(seconds(1)));
    policies.update(all, at(seconds(10)));
    // A tenth of a fifth, about: 0.1 / 4.1.
    const int early = count_calls(policies, 4100, at(seconds(10)))[kFirst];
    EXPECT_NEAR(early, 100, 60);
    policies.tick(at(seconds(60)));
    const int half = count_calls(policies, 4500, at(seconds(60)))[kFirst];
    EXPECT_NEAR(half, 500, 130);
    policies.tick(at(seconds(110)));
    EXPECT_NEAR(count_calls(policies, 5000, at(seconds(110)))[kFirst], 1000, 200);
}

INSTANTIATE_TEST_SUITE_P(
    Algorithms,
    SlowStartOf,
    testing::Values(
        RoundRobin{},
        WeightedRoundRobin{},
        StaticStride{},
        Random{},
        LeastRequest{},
        RingHash{.points_min = 20'000},
        Maglev{}
    )
);

// It answers as fast as the others; its share grows with its weight.
TEST(SlowStartOfPeakEwma, WeighsTheLoad) {
    ServicePolicy policy{.slow_start = {.window = seconds(100)}};
    ServicePolicies policies("api_service", policy, 1);
    const EndpointSet all = test_set(5);
    policies.update(without(all, 0), at(seconds(0)));
    const auto calls_of_first = [&](Instant now) {
        int count = 0;
        for (int i = 0; i < 4000; ++i) {
            CallState call = call_at(now);
            auto begun = policies.begin_attempt(call, now);
            auto& held = std::get<HeldEndpoint>(begun);
            count += held.endpoint().id == kFirst ? 1 : 0;
            policies.finish_attempt(std::move(held), Outcome::success, now + milliseconds(2));
        }
        return count;
    };
    calls_of_first(at(seconds(1)));
    policies.update(all, at(seconds(10)));
    const int early = calls_of_first(at(seconds(10)));
    EXPECT_GT(early, 0);
    EXPECT_LT(early, 300);
    policies.tick(at(seconds(110)));
    EXPECT_GT(calls_of_first(at(seconds(110))), 400);
}

TEST(SlowStart, DoesNotConcernThoseThatAreThereAtFirst) {
    ServicePolicy policy{.balance = RoundRobin{}, .slow_start = {.window = seconds(100)}};
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(4), at(seconds(0)));
    EXPECT_EQ(count_calls(policies, 400, at(seconds(0)))[kFirst], 100);
}

TEST(SlowStart, BeginsAgainForWhoWasCritical) {
    ServicePolicy policy{.balance = RoundRobin{}, .slow_start = {.window = seconds(100)}};
    ServicePolicies policies("api_service", policy, 1);
    EndpointSet set = test_set(4);
    policies.update(set, at(seconds(0)));
    set.endpoints[0].health = Health::critical;
    policies.update(set, at(seconds(1)));
    set.endpoints[0].health = Health::passing;
    policies.update(set, at(seconds(2)));
    EXPECT_NEAR(count_calls(policies, 3100, at(seconds(2)))[kFirst], 100, 10);
}

TEST(SlowStart, DoesNotBeginAgainForOtherMetadata) {
    ServicePolicy policy{.balance = RoundRobin{}, .slow_start = {.window = seconds(100)}};
    ServicePolicies policies("api_service", policy, 1);
    EndpointSet set = test_set(4);
    policies.update(set, at(seconds(0)));
    set.endpoints[0].metadata["version"] = "2";
    policies.update(set, at(seconds(1)));
    EXPECT_EQ(count_calls(policies, 400, at(seconds(1)))[kFirst], 100);
    // At another address it is another one.
    set.endpoints[0].host = "10.9.9.9";
    policies.update(set, at(seconds(2)));
    EXPECT_NEAR(count_calls(policies, 3100, at(seconds(2)))[kFirst], 100, 10);
}

TEST(Panic, IsToldCountedAndOver) {
    ServicePolicies policies("api_service", {.panic = {.healthy_percent = 50}}, 1);
    EndpointSet set = test_set(4);
    policies.update(set, at(seconds(0)));
    for (std::size_t i = 0; i < 3; ++i) set.endpoints[i].health = Health::critical;
    policies.update(set, at(seconds(1)));
    EXPECT_TRUE(policies.view(at(seconds(1))).is_panic);
    EXPECT_GT(count_calls(policies, 100, at(seconds(1)))[kFirst], 0);
    auto events = policies.drain_events();
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].what, "panic");
    EXPECT_EQ(events[0].why, "3 of 4 are critical by their checks, which are disregarded");
    set.endpoints[0].health = Health::passing;
    policies.update(set, at(seconds(2)));
    EXPECT_FALSE(policies.view(at(seconds(2))).is_panic);
    events = policies.drain_events();
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].what, "panic over");
}

TEST(Panic, SwitchedOffNobodyIsCalled) {
    ServicePolicies policies("api_service", {.panic = {.enabled = false}}, 1);
    EndpointSet set = test_set(2);
    for (auto& endpoint : set.endpoints) endpoint.health = Health::critical;
    policies.update(set, at(seconds(0)));
    CallState call = call_at(at(seconds(0)));
    const auto begun = policies.begin_attempt(call, at(seconds(0)));
    const auto* why = std::get_if<NoEndpoint>(&begun);
    ASSERT_NE(why, nullptr);
    EXPECT_EQ(why->reason, NoEndpoint::Reason::none_available);
    EXPECT_EQ(to_error(*why, "api", at(seconds(0))).what, "api: 2 known, 2 critical");
}

EndpointSet zoned_set(std::size_t size) {
    EndpointSet set = test_set(size);
    for (std::size_t i = 0; i < size; ++i) {
        set.endpoints[i].metadata["zone"] = i % 2 == 0 ? "a" : "b";
    }
    return set;
}

bool is_in(const std::string& id, const EndpointSet& set, std::string_view zone) {
    return set.find(id)->zone() == zone;
}

TEST(Zones, CallsStayAtHomeAndSpillWhenThatIsEjected) {
    ServicePolicy policy{
        .balance = RoundRobin{}, .zones = {.prefer_own = true, .own = "a", .endpoints_min = 4}
    };
    policy.outlier.consecutive_failures = 3;
    policy.breaker.enabled = false;
    ServicePolicies policies("api_service", policy, 1);
    const EndpointSet set = zoned_set(8);
    policies.update(set, at(seconds(0)));
    for (const auto& [id, count] : count_calls(policies, 400, at(seconds(0)))) {
        EXPECT_TRUE(is_in(id, set, "a")) << id;
        EXPECT_EQ(count, 100);
    }
    EXPECT_EQ(policies.totals().other_zone, 0U);
    // Two of the four in zone a fail and are ejected: a third of what is left is here, callers are
    // half.
    for (int i = 0; i < 100; ++i) {
        CallState call = call_at(at(seconds(1)));
        auto begun = policies.begin_attempt(call, at(seconds(1)));
        auto& held = std::get<HeldEndpoint>(begun);
        const bool fails = held.endpoint().id <= set.endpoints[2].id;
        const Outcome outcome = fails ? Outcome::server_error : Outcome::success;
        policies.finish_attempt(std::move(held), outcome, at(seconds(1)));
    }
    policies.tick(at(seconds(2)));
    int at_home = 0;
    for (const auto& [id, count] : count_calls(policies, 6000, at(seconds(2)))) {
        if (is_in(id, set, "a")) at_home += count;
    }
    EXPECT_NEAR(at_home, 4000, 200);
    EXPECT_NEAR(static_cast<double>(policies.totals().other_zone), 2000, 200);
}

TEST(Failover, TheNextPriorityIsCalledAtOnceWhenTheFirstIsGone) {
    ServicePolicy policy{.balance = RoundRobin{}, .failover = {.metadata = "tier"}};
    ServicePolicies policies("api_service", policy, 1);
    EndpointSet set = test_set(4);
    set.endpoints[2].metadata["tier"] = "1";
    set.endpoints[3].metadata["tier"] = "1";
    policies.update(set, at(seconds(0)));
    EXPECT_EQ(count_calls(policies, 100, at(seconds(0))).size(), 2U);
    EXPECT_EQ(policies.view(at(seconds(0))).called, 2U);
    // Both of the first are tried by this call: the next level is, without a tick.
    CallState call = call_at(at(seconds(0)));
    for (int i = 0; i < 3; ++i) {
        auto begun = policies.begin_attempt(call, at(seconds(0)));
        auto& held = std::get<HeldEndpoint>(begun);
        EXPECT_EQ(held.endpoint().id >= set.endpoints[2].id, i == 2);
        policies.finish_attempt(std::move(held), Outcome::server_error, at(seconds(0)));
    }
    EXPECT_EQ(policies.totals().later_priority, 1U);
}

TEST(Subsetting, CallsFewOfManyAndTheOthersOnlyWhenThoseAreGone) {
    for (const auto kind : {SubsettingConfig::Kind::rendezvous, SubsettingConfig::Kind::aperture}) {
        ServicePolicy policy{
            .balance = RoundRobin{}, .subsetting = {.by = kind, .size = 5, .callers = 10}
        };
        policy.breaker.consecutive = 1;
        ServicePolicies policies("api_service", policy, 1);
        policies.update(test_set(50), at(seconds(0)));
        const auto counts = count_calls(policies, 500, at(seconds(0)));
        EXPECT_EQ(counts.size(), 5U);
        for (const auto& [id, count] : counts) EXPECT_EQ(count, 100) << id;
        EXPECT_EQ(policies.view(at(seconds(0))).called, 5U);
        for (int i = 0; i < 5; ++i) ask(policies, at(seconds(0)), Outcome::connect_failure);
        const auto others = count_calls(policies, 90, at(seconds(0)));
        EXPECT_EQ(others.count("nobody"), 0U);
        for (const auto& [id, count] : others) EXPECT_EQ(counts.count(id), 0U);
    }
}

// Round robin ignores weights, but the endpoint at an aperture's edge has half a place in it.
TEST(Subsetting, AnAperturesEdgeCountsByItsPart) {
    std::map<std::string, int> counts;
    for (std::uint32_t caller = 0; caller < 4; ++caller) {
        ServicePolicy policy{
            .balance = RoundRobin{},
            .subsetting =
                {.by = SubsettingConfig::Kind::aperture,
                 .size = 2,
                 .callers = 4,
                 .caller_index = caller}
        };
        ServicePolicies policies("api_service", policy, caller);
        policies.update(test_set(6), at(seconds(0)));
        for (const auto& [id, count] : count_calls(policies, 3000, at(seconds(0)))) {
            counts[id] += count;
        }
    }
    EXPECT_EQ(counts.size(), 6U);
    for (const auto& [id, count] : counts) EXPECT_NEAR(count, 2000, 20) << id;
}

TEST(ReportedLoad, CallsFollowWhatEndpointsSayOfThemselves) {
    ServicePolicy policy{.balance = ReportedLoad{.blackout = seconds(2)}};
    ServicePolicies policies("api_service", policy, 1);
    const EndpointSet set = test_set(4);
    policies.update(set, at(seconds(0)));
    const auto run = [&](Instant now, int calls) {
        std::map<std::string, int> counts;
        for (int i = 0; i < calls; ++i) {
            CallState call = call_at(now);
            auto begun = policies.begin_attempt(call, now);
            auto& held = std::get<HeldEndpoint>(begun);
            const std::string id = held.endpoint().id;
            ++counts[id];
            // The first is half as strong; the last says nothing.
            const double utilization = id == kFirst ? 0.8 : 0.4;
            if (id != set.endpoints[3].id) {
                policies.report_load(
                    held, {.utilization = utilization, .calls_per_second = 100}, now
                );
            }
            policies.finish_attempt(std::move(held), Outcome::success, now);
        }
        return counts;
    };
    for (const auto& [id, count] : run(at(seconds(0)), 400)) EXPECT_EQ(count, 100) << id;
    policies.tick(at(seconds(1)));
    EXPECT_EQ(run(at(seconds(1)), 400)[kFirst], 100);  // blackout
    policies.tick(at(seconds(3)));
    auto counts = run(at(seconds(3)), 4000);
    // 125, 250, 250 and the mean of these.
    EXPECT_NEAR(counts[kFirst], 600, 30);
    EXPECT_NEAR(counts[set.endpoints[1].id], 1200, 40);
    EXPECT_NEAR(counts[set.endpoints[3].id], 1000, 40);
    policies.tick(at(seconds(300)));
    EXPECT_EQ(run(at(seconds(300)), 400)[kFirst], 100);  // forgotten
}

TEST(WeightedResponseTime, HalfAsFastGetsHalf) {
    ServicePolicies policies("api_service", {.balance = WeightedResponseTime{}}, 1);
    policies.update(test_set(3), at(seconds(0)));
    const auto run = [&](int calls, Instant now) {
        int first = 0;
        for (int i = 0; i < calls; ++i) {
            CallState call = call_at(now);
            auto begun = policies.begin_attempt(call, now);
            auto& held = std::get<HeldEndpoint>(begun);
            const bool is_first = held.endpoint().id == kFirst;
            first += is_first ? 1 : 0;
            const auto latency = milliseconds(is_first ? 20 : 10);
            policies.finish_attempt(std::move(held), Outcome::success, now + latency);
        }
        return first;
    };
    EXPECT_EQ(run(300, at(seconds(0))), 100);
    policies.tick(at(seconds(1)));
    EXPECT_NEAR(run(5000, at(seconds(1))), 1000, 40);
}

TEST(AdaptiveOfAService, SaysWhatItChoseAndWhy) {
    ServicePolicy policy{.balance = Adaptive{}};
    policy.outlier.enabled = policy.breaker.enabled = false;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(4), at(seconds(0)));
    EXPECT_EQ(policies.view(at(seconds(0))).algorithm, "peak_ewma");
    int second = 0;
    const auto run = [&](int until, bool first_fails) {
        for (; second < until; ++second) {
            for (int i = 0; i < 100; ++i) {
                CallState call = call_at(at(seconds(second)));
                auto begun = policies.begin_attempt(call, at(seconds(second)));
                auto& held = std::get<HeldEndpoint>(begun);
                const bool fails = first_fails && held.endpoint().id == kFirst;
                policies.finish_attempt(
                    std::move(held),
                    fails ? Outcome::server_error : Outcome::success,
                    at(seconds(second)) + milliseconds(5)
                );
            }
            policies.tick(at(seconds(second)));
        }
    };
    run(45, false);
    EXPECT_EQ(policies.view(at(seconds(45))).algorithm, "weighted_round_robin");
    EXPECT_EQ(
        policies.view(at(seconds(45))).algorithm_why, "endpoints have been alike for 3 intervals"
    );
    run(65, true);
    EXPECT_EQ(policies.view(at(seconds(65))).algorithm, "peak_ewma");
    const auto events = policies.drain_events();
    ASSERT_EQ(events.size(), 2U);
    EXPECT_EQ(events[0].what, "balanced by weighted_round_robin");
    EXPECT_EQ(events[1].what, "balanced by peak_ewma");
}

TEST(ChangingWeights, LeaksNothingOfWhatIsInFlight) {
    ServicePolicy policy{
        .balance = WeightedResponseTime{},
        .slow_start = {.window = seconds(30)},
        .zones = {.prefer_own = true, .own = "a", .endpoints_min = 1}
    };
    ServicePolicies policies("api_service", policy, 1);
    const EndpointSet set = zoned_set(6);
    std::vector<HeldEndpoint> held;
    for (int second = 0; second < 60; ++second) {
        const Instant now = at(seconds(second));
        policies.update(second % 3 == 0 ? without(set, 1) : set, now);
        for (int i = 0; i < 5; ++i) {
            CallState call = call_at(now);
            auto begun = policies.begin_attempt(call, now);
            held.push_back(std::move(std::get<HeldEndpoint>(begun)));
        }
        if (held.size() > 20) {
            for (int i = 0; i < 10; ++i) {
                policies.finish_attempt(std::move(held.back()), Outcome::success, now);
                held.pop_back();
            }
        }
        policies.tick(now);
        std::uint64_t in_flight = 0;
        for (const auto& endpoint : policies.view(now).endpoints) in_flight += endpoint.in_flight;
        ASSERT_EQ(in_flight, held.size());
    }
    held.clear();
    EXPECT_EQ(policies.totals().in_flight, 0U);
}

TEST(ChangingWeights, ThreadsCallWhileTablesComeAndGo) {
    ServicePolicy policy{
        .balance = WeightedResponseTime{},
        .slow_start = {.window = seconds(30)},
        .zones = {.prefer_own = true, .own = "a", .endpoints_min = 1},
        .subsetting = {.by = SubsettingConfig::Kind::rendezvous, .size = 3}
    };
    ServicePolicies policies("api_service", policy, 1);
    const EndpointSet set = zoned_set(8);
    policies.update(set, at(seconds(0)));
    const auto work = [&] {
        for (int i = 0; i < 5'000; ++i) {
            EXPECT_TRUE(ask(policies, at(seconds(1)), Outcome::success, milliseconds(1)));
        }
    };
    std::thread one(work);
    std::thread two(work);
    for (int i = 1; i <= 200; ++i) {
        policies.update(i % 3 == 0 ? without(set, 0) : set, at(milliseconds(i)));
        policies.tick(at(milliseconds(i)));
    }
    one.join();
    two.join();
    EXPECT_EQ(policies.totals().in_flight, 0U);
    EXPECT_EQ(policies.totals().attempts, 10'000U);
    for (const auto& endpoint : policies.view(at(seconds(2))).endpoints) {
        EXPECT_EQ(endpoint.in_flight, 0U);
    }
}

}  // namespace
}  // namespace datapunk::mesh::policy
