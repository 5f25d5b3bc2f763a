// Breakers as calls meet them: the service's, forced ones, ramps, and what counts as a failure.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <thread>

#include "core/rng.h"
#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

using resilience::BreakerState;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Instant kStart{};

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260101;
}

NoEndpoint refusal(ServicePolicies& policies, Instant now) {
    CallState call = call_at(now);
    auto begun = policies.begin_attempt(call, now);
    const auto* none = std::get_if<NoEndpoint>(&begun);
    EXPECT_NE(none, nullptr) << "an endpoint was found";
    return none == nullptr ? NoEndpoint{} : *none;
}

// The service's breaker alone.
ServicePolicy of_the_service(CircuitBreakerConfig breaker) {
    breaker.enabled = true;
    return {
        .breaker = {.enabled = false}, .service_breaker = breaker, .outlier = {.enabled = false}
    };
}

TEST(ServiceBreaker, OpensWhenTheServiceFailsWhateverItsEndpoints) {
    ServicePolicies policies("api_service", of_the_service({.consecutive = 6}), 1);
    policies.update(test_set(10), kStart);
    for (int i = 0; i < 6; ++i) {
        EXPECT_TRUE(ask(policies, kStart, Outcome::server_error)) << i;
    }
    const NoEndpoint why = refusal(policies, kStart);
    EXPECT_EQ(why.reason, NoEndpoint::Reason::breaker_open);
    EXPECT_EQ(why.known, 10U);
    EXPECT_EQ(
        to_error(why, "api_service", kStart).what,
        "api_service: its circuit breaker is open, next try in 30s"
    );
    EXPECT_EQ(
        policies.totals().refused[static_cast<std::size_t>(NoEndpoint::Reason::breaker_open)], 1U
    );
    EXPECT_EQ(policies.view(kStart).breaker.state, BreakerState::open);
    const auto events = policies.drain_events();
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].what, "service breaker open");
    EXPECT_EQ(events[0].endpoint, "");
    const Instant later = kStart + seconds(30);
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(ask(policies, later));
    EXPECT_EQ(policies.view(later).breaker.state, BreakerState::closed);
}

TEST(ServiceBreaker, IsOffUnlessAskedFor) {
    ServicePolicies policies("api_service", {.breaker = {.enabled = false}}, 1);
    policies.update(test_set(3), kStart);
    for (int i = 0; i < 1000; ++i) ask(policies, kStart, Outcome::server_error);
    EXPECT_EQ(policies.view(kStart).breaker.state, BreakerState::closed);
}

TEST(ServiceBreaker, AProbeThatFindsNoEndpointGivesItsPlaceBack) {
    ServicePolicies policies(
        "api_service", of_the_service({.consecutive = 1, .half_open_probes = 1}), 1
    );
    policies.update(test_set(1), kStart);
    ask(policies, kStart, Outcome::server_error);
    const Instant later = kStart + seconds(30);
    ASSERT_TRUE(policies.force_breaker(BreakerForce::open, "e00000", later));
    EXPECT_EQ(refusal(policies, later).reason, NoEndpoint::Reason::none_available);
    ASSERT_TRUE(policies.force_breaker(BreakerForce::none, "e00000", later));
    EXPECT_TRUE(ask(policies, later)) << "the one place is free again";
}

// As Cell.NotingSuccessesChangesNoDecision: against a plain breaker that is told everything.
TEST(ServiceBreaker, NotingSuccessesChangesNoDecision) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    for (int round = 0; round < 200; ++round) {
        SCOPED_TRACE(round);
        CircuitBreakerConfig config{.slow_call = milliseconds(40)};
        config.window_calls = 1 + static_cast<std::uint32_t>(rng.below(60));
        config.min_calls = 1 + static_cast<std::uint32_t>(rng.below(config.window_calls));
        if (rng.chance(0.5)) config.ramp = seconds(10);
        resilience::CircuitBreaker plain(config);
        ServiceBreaker noting(config);
        NotedSuccesses noted;
        Instant now{};
        const double failing = rng.unit() * rng.unit();
        for (int call = 0; call < 400; ++call) {
            now += milliseconds(rng.below(rng.chance(0.01) ? 60'000 : 100));
            resilience::BreakerTransition one;
            resilience::BreakerTransition other;
            const auto permit = plain.try_acquire(now, &one);
            const std::uint32_t era = noting.admit(now, other);
            ASSERT_EQ(permit.admitted, era != 0) << call;
            ASSERT_EQ(one, other) << call;
            if (!permit) continue;
            const Duration latency = milliseconds(rng.below(44));
            const bool slow = latency >= config.slow_call;
            const bool fails = rng.chance(failing);
            fails ? plain.on_failure(permit, now, &one, slow)
                  : plain.on_success(permit, now, &one, slow);
            const auto verdict =
                fails ? resilience::Verdict::failure : resilience::Verdict::success;
            noting.record(era, verdict, latency, now, noted, other);
            ASSERT_EQ(one, other) << call;
        }
    }
}

TEST(ForcedBreaker, StopsCallsToAnEndpointAndIsSeen) {
    ServicePolicies policies("api_service", {.balance = RoundRobin{}}, 1);
    policies.update(test_set(2), kStart);
    ASSERT_TRUE(policies.force_breaker(BreakerForce::open, "e00001", kStart));
    for (int i = 0; i < 20; ++i) EXPECT_EQ(ask(policies, kStart + seconds(600)), "e00000");
    const ServiceView view = policies.view(kStart);
    EXPECT_EQ(view.endpoints[1].breaker.forced, BreakerForce::open);
    EXPECT_EQ(view.endpoints[1].breaker.state, BreakerState::open);
    ASSERT_TRUE(policies.force_breaker(BreakerForce::none, "e00001", kStart));
    std::map<std::string, int> seen;
    for (int i = 0; i < 20; ++i) ++seen[*ask(policies, kStart)];
    EXPECT_EQ(seen["e00001"], 10);
    const auto unknown = policies.force_breaker(BreakerForce::open, "nobody", kStart);
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, Code::not_found);
}

TEST(ForcedBreaker, HoldsAnEndpointThatGoesAndComesBackChanged) {
    ServicePolicies policies("api_service", {}, 1);
    EndpointSet set = test_set(2);
    policies.update(set, kStart);
    ASSERT_TRUE(policies.force_breaker(BreakerForce::open, "e00001", kStart));
    policies.update(test_set(1), kStart);
    set.endpoints[1].weight = 7;
    policies.update(set, kStart);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(ask(policies, kStart), "e00000");
    ASSERT_TRUE(policies.force_breaker(BreakerForce::none, "e00001", kStart));
    policies.update(test_set(1), kStart);
    policies.update(set, kStart);
    std::map<std::string, int> seen;
    for (int i = 0; i < 50; ++i) ++seen[*ask(policies, kStart)];
    EXPECT_GT(seen["e00001"], 0);
}

TEST(ForcedBreaker, OfTheServiceRefusesEverythingUntilReleased) {
    ServicePolicies policies("api_service", {}, 1);
    policies.update(test_set(2), kStart);
    ASSERT_TRUE(policies.force_breaker(BreakerForce::open, {}, kStart));
    const NoEndpoint why = refusal(policies, kStart + std::chrono::hours(100));
    EXPECT_EQ(
        to_error(why, "api_service", kStart).what,
        "api_service: its circuit breaker is held open by an operator"
    );
    ASSERT_TRUE(policies.force_breaker(BreakerForce::none, {}, kStart));
    EXPECT_TRUE(ask(policies, kStart));
}

TEST(ForcedBreaker, ClosedLetsCallsThroughToWhatFails) {
    ServicePolicy policy{.outlier = {.enabled = false}};
    policy.breaker.force = BreakerForce::closed;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(1), kStart);
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(ask(policies, kStart, Outcome::server_error));
}

// A ramp takes its share of the calls; the others are not lost but served by those that are well.
TEST(Ramp, ARecoveringEndpointGetsItsShareAndTheOthersTheRest) {
    ServicePolicy policy{.balance = Random{}, .outlier = {.enabled = false}};
    policy.breaker.ramp = seconds(100);
    policy.breaker.ramp_from = 0.1;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(2), kStart);
    Instant now = kStart;
    while (policies.view(now).endpoints[0].breaker.state != BreakerState::open) {
        CallState call = call_at(now);
        auto begun = policies.begin_attempt(call, now);
        auto& held = std::get<HeldEndpoint>(begun);
        const bool fails = held.endpoint().id == "e00000";
        policies.finish_attempt(
            std::move(held), fails ? Outcome::server_error : Outcome::success, now
        );
    }
    now += seconds(30);
    while (policies.view(now).endpoints[0].breaker.admitted_share == 0) ask(policies, now);
    std::map<std::string, int> seen;
    for (int i = 0; i < 2000; ++i) {
        const auto id = ask(policies, now);
        ASSERT_TRUE(id) << "no call is refused while another endpoint is well";
        ++seen[*id];
    }
    // Picked for half of the calls, it takes a tenth of those.
    EXPECT_NEAR(seen["e00000"], 100, 10);
}

// Asked one after the other, endpoints that all ramp would together admit more than their share.
TEST(Ramp, AWholeServiceThatRampsAdmitsItsShareOfTheCalls) {
    ServicePolicy policy{.balance = RoundRobin{}, .outlier = {.enabled = false}};
    policy.breaker.consecutive = 1;
    policy.breaker.half_open_probes = 1;
    policy.breaker.ramp = seconds(100);
    policy.breaker.ramp_from = 0.1;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(10), kStart);
    for (int i = 0; i < 10; ++i) ask(policies, kStart, Outcome::server_error);
    const Instant now = kStart + seconds(30);
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(ask(policies, now));
    int admitted = 0;
    for (int i = 0; i < 2000; ++i) admitted += ask(policies, now) ? 1 : 0;
    EXPECT_NEAR(admitted, 200, 15);
}

TEST(Failures, AVerdictThatIsKnownBetterOutranksTheOutcome) {
    ServicePolicies policies("api_service", {.outlier = {.enabled = false}}, 1);
    policies.update(test_set(1), kStart);
    const auto end = [&](Outcome outcome, std::optional<bool> is_failure) {
        CallState call = call_at(kStart);
        auto begun = policies.begin_attempt(call, kStart);
        policies.finish_attempt(
            std::move(std::get<HeldEndpoint>(begun)), outcome, kStart, is_failure
        );
    };
    for (int i = 0; i < 50; ++i) end(Outcome::server_error, false);
    EXPECT_EQ(policies.view(kStart).endpoints[0].breaker.state, BreakerState::closed);
    for (int i = 0; i < 50; ++i) end(Outcome::cancelled, true);
    EXPECT_EQ(policies.view(kStart).endpoints[0].failures, 0U) << "nobody saw it fail";
    for (int i = 0; i < 5; ++i) end(Outcome::success, true);
    EXPECT_EQ(policies.view(kStart).endpoints[0].breaker.state, BreakerState::open);
    // The metric goes on telling what happened.
    EXPECT_EQ(policies.totals().outcomes[static_cast<std::size_t>(Outcome::server_error)], 50U);
}

// Threads that call, fail, force and look at once: nothing is lost and nothing stays behind.
TEST(Breakers, HoldUnderConcurrentCallsForcesAndViews) {
    ServicePolicy policy{.balance = LeastRequest{}};
    policy.breaker = {
        .window_time = seconds(1),
        .min_calls = 5,
        .slow_call = milliseconds(2),
        .open_for = milliseconds(1),
        .open_max = milliseconds(5),
        .half_open_probes = 2,
        .ramp = milliseconds(5)
    };
    policy.service_breaker = policy.breaker;
    policy.limits.requests = 1'000'000;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(4), kStart);
    std::atomic<std::int64_t> clock{0};
    std::atomic<int> working{3};
    std::vector<std::thread> threads;
    for (std::uint64_t id = 0; id < 3; ++id) {
        threads.emplace_back([&, id] {
            core::Rng rng(id);
            for (int i = 0; i < 20'000; ++i) {
                const Instant now{Duration(clock.fetch_add(1000))};
                CallState call = call_at(now);
                auto begun = policies.begin_attempt(call, now);
                auto* held = std::get_if<HeldEndpoint>(&begun);
                if (held == nullptr) continue;
                if (rng.chance(0.01)) continue;  // abandoned
                policies.finish_attempt(
                    std::move(*held),
                    rng.chance(0.2) ? Outcome::server_error : Outcome::success,
                    now + milliseconds(rng.below(3))
                );
            }
            --working;
        });
    }
    core::Rng rng(99);
    while (working > 0) {
        const Instant now{Duration(clock.load())};
        const auto how = static_cast<BreakerForce>(rng.below(3));
        const std::string id = rng.chance(0.3) ? "" : "e0000" + std::to_string(rng.below(4));
        EXPECT_TRUE(policies.force_breaker(how, id, now));
        policies.tick(now);
        EXPECT_EQ(policies.view(now).endpoints.size(), 4U);
        if (rng.chance(0.1)) policies.update(test_set(4), now);
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(policies.totals().in_flight, 0U);
    const Instant end = kStart + std::chrono::hours(1);
    ASSERT_TRUE(policies.force_breaker(BreakerForce::none, {}, end));
    for (int i = 0; i < 4; ++i) {
        ASSERT_TRUE(policies.force_breaker(BreakerForce::none, "e0000" + std::to_string(i), end));
    }
    policies.tick(end);
    for (const EndpointView& endpoint : policies.view(end).endpoints) {
        EXPECT_EQ(endpoint.in_flight, 0U);
    }
    // It recovers: probes, ramp, closed. Who was ejected for failures in a row at last is back by
    // then.
    Instant now = end;
    for (int i = 0; i < 2000; ++i) ask(policies, now += milliseconds(200));
    EXPECT_EQ(policies.view(now).breaker.state, BreakerState::closed);
    for (const EndpointView& endpoint : policies.view(now).endpoints) {
        EXPECT_EQ(endpoint.breaker.state, BreakerState::closed) << endpoint.id;
    }
}

}  // namespace
}  // namespace datapunk::mesh::policy
