#include "policy/service_policies.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::Field;
using ::testing::HasSubstr;

constexpr Instant kStart{};

ServicePolicy policy_without(bool breaker, bool outlier) {
    ServicePolicy policy;
    policy.breaker.enabled = breaker;
    policy.outlier.enabled = outlier;
    return policy;
}

NoEndpoint refusal(ServicePolicies& policies, Instant now) {
    CallState call = call_at(now);
    auto begun = policies.begin_attempt(call, now);
    return std::get<NoEndpoint>(begun);
}

TEST(ServicePolicies, CallsEveryEndpointAndCountsWhatItDid) {
    ServicePolicies policies("api_service", {.balance = RoundRobin{}}, 1);
    policies.update(test_set(3), kStart);
    std::map<std::string, int> asked;
    for (int i = 0; i < 30; ++i) ++asked[*ask(policies, kStart, Outcome::success, milliseconds(1))];
    EXPECT_THAT(
        asked,
        ::testing::UnorderedElementsAre(
            ::testing::Pair("e00000", 10),
            ::testing::Pair("e00001", 10),
            ::testing::Pair("e00002", 10)
        )
    );
    const ServiceTotals totals = policies.totals();
    EXPECT_EQ(totals.calls, 30U);
    EXPECT_EQ(totals.attempts, 30U);
    EXPECT_EQ(totals.in_flight, 0U);
    EXPECT_EQ(totals.outcomes[static_cast<std::size_t>(Outcome::success)], 30U);
    const ServiceView view = policies.view(at(milliseconds(1)));
    ASSERT_EQ(view.endpoints.size(), 3U);
    EXPECT_EQ(view.endpoints[1].successes, 10U);
    EXPECT_EQ(view.endpoints[1].address, "10.0.0.1:2");
    EXPECT_EQ(view.endpoints[1].latency, milliseconds(1));
}

TEST(ServicePolicies, SaysThatAnUnknownServiceHasNoEndpoint) {
    ServicePolicies policies("api_service", {}, 1);
    EXPECT_EQ(refusal(policies, kStart).reason, NoEndpoint::Reason::unknown_service);
    policies.update(test_set(0), kStart);
    const NoEndpoint why = refusal(policies, kStart);
    EXPECT_EQ(why.reason, NoEndpoint::Reason::unknown_service);
    EXPECT_EQ(to_error(why, "api_service", kStart).code, Code::not_found);
}

TEST(ServicePolicies, LeavesOutCriticalEndpointsUnlessAllAre) {
    ServicePolicies policies("api_service", {}, 1);
    EndpointSet set = test_set(3);
    set.endpoints[0].health = Health::critical;
    set.endpoints[1].health = Health::warning;
    policies.update(set, kStart);
    std::set<std::string> asked;
    for (int i = 0; i < 100; ++i) asked.insert(*ask(policies, kStart));
    EXPECT_THAT(asked, ::testing::ElementsAre("e00001", "e00002"));

    for (auto& endpoint : set.endpoints) endpoint.health = Health::critical;
    policies.update(set, kStart);
    asked.clear();
    for (int i = 0; i < 100; ++i) asked.insert(*ask(policies, kStart));
    EXPECT_EQ(asked.size(), 3U);
}

TEST(ServicePolicies, BreakerOpensThenProbesThenCloses) {
    ServicePolicies policies("api_service", policy_without(true, false), 1);
    policies.update(test_set(1), kStart);
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(ask(policies, kStart, Outcome::server_error));
    const NoEndpoint why = refusal(policies, kStart);
    EXPECT_THAT(
        why,
        AllOf(
            Field(&NoEndpoint::known, 1U),
            Field(&NoEndpoint::open, 1U),
            Field(&NoEndpoint::ejected, 0U),
            Field(&NoEndpoint::next_at, at(seconds(30)))
        )
    );
    EXPECT_EQ(
        to_error(why, "api_service", kStart).what, "api_service: 1 known, 1 open, next try in 30s"
    );
    EXPECT_EQ(policies.view(kStart).endpoints[0].breaker.state, resilience::BreakerState::open);

    EXPECT_FALSE(ask(policies, at(milliseconds(29'999))));
    // Half-open: five successes close it.
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(ask(policies, at(seconds(30))));
    EXPECT_EQ(
        policies.view(at(seconds(30))).endpoints[0].breaker.state, resilience::BreakerState::closed
    );
    std::vector<std::string> what;
    for (const PolicyEvent& event : policies.drain_events()) what.push_back(event.what);
    EXPECT_THAT(
        what, ::testing::ElementsAre("breaker open", "breaker half-open", "breaker closed")
    );
    EXPECT_TRUE(policies.drain_events().empty());
}

TEST(ServicePolicies, HalfOpenAdmitsOnlySoManyProbesAtATime) {
    ServicePolicies policies("api_service", policy_without(true, false), 1);
    policies.update(test_set(1), kStart);
    for (int i = 0; i < 5; ++i) ask(policies, kStart, Outcome::server_error);
    const Instant later = at(seconds(31));
    CallState call = call_at(later);
    std::vector<HeldEndpoint> probes;
    for (int i = 0; i < 20; ++i) {
        auto begun = policies.begin_attempt(call, later);
        if (auto* attempt = std::get_if<HeldEndpoint>(&begun))
            probes.push_back(std::move(*attempt));
    }
    EXPECT_EQ(probes.size(), 5U);
    // A cancelled or dropped probe gives its place back.
    policies.finish_attempt(std::move(probes.back()), Outcome::cancelled, later);
    probes.pop_back();
    EXPECT_TRUE(std::holds_alternative<HeldEndpoint>(policies.begin_attempt(call, later)));
}

TEST(ServicePolicies, AConfirmedAttemptIsASuccessAtOnceAndInFlightToItsEnd) {
    ServicePolicies policies("api_service", policy_without(true, false), 1);
    policies.update(test_set(1), kStart);
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(ask(policies, kStart, Outcome::server_error));
    std::vector<HeldEndpoint> held;
    for (int i = 0; i < 20; ++i) {  // more than there are probes
        CallState call = call_at(at(seconds(30)));
        auto begun = policies.begin_attempt(call, at(seconds(30)));
        ASSERT_TRUE(std::holds_alternative<HeldEndpoint>(begun)) << i;
        held.push_back(std::get<HeldEndpoint>(std::move(begun)));
        policies.confirm_attempt(held.back(), at(seconds(30)) + milliseconds(1));
    }
    EXPECT_EQ(
        policies.view(at(seconds(31))).endpoints[0].breaker.state, resilience::BreakerState::closed
    );
    ServiceTotals totals = policies.totals();
    EXPECT_EQ(totals.in_flight, 20U);
    EXPECT_EQ(totals.outcomes[static_cast<std::size_t>(Outcome::success)], 20U);
    policies.finish_attempt(std::move(held.back()), Outcome::reset, at(seconds(40)));
    held.clear();  // dropped
    totals = policies.totals();
    EXPECT_EQ(totals.in_flight, 0U);
    EXPECT_EQ(totals.outcomes[static_cast<std::size_t>(Outcome::success)], 20U);
    EXPECT_EQ(totals.outcomes[static_cast<std::size_t>(Outcome::reset)], 0U);
    EXPECT_EQ(totals.outcomes[static_cast<std::size_t>(Outcome::cancelled)], 0U);
}

TEST(ServicePolicies, EjectsAfterFailuresInARowButNeverTheLast) {
    ServicePolicies policies("api_service", policy_without(false, true), 1);
    policies.update(test_set(2), kStart);
    for (int i = 0; i < 200; ++i) {
        CallState call = call_at(kStart);
        auto begun = policies.begin_attempt(call, kStart);
        ASSERT_TRUE(std::holds_alternative<HeldEndpoint>(begun)) << i;
        auto& attempt = std::get<HeldEndpoint>(begun);
        policies.finish_attempt(std::move(attempt), Outcome::server_error, kStart);
    }
    const auto view = policies.view(kStart);
    EXPECT_NE(
        view.endpoints[0].ejected_until.has_value(), view.endpoints[1].ejected_until.has_value()
    );
    const auto events = policies.drain_events();
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].what, "ejected");
    EXPECT_EQ(events[0].why, "5 failures in a row");
    EXPECT_EQ(events[0].service, "api_service");
}

TEST(ServicePolicies, AnEjectedEndpointGetsNothingAndReturns) {
    ServicePolicy policy = policy_without(false, true);
    policy.balance = RoundRobin{};
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(4), kStart);
    const auto bad = [](const std::string& id) { return id == "e00002"; };
    int bad_calls = 0;
    const auto run = [&](Instant now, int calls) {
        for (int i = 0; i < calls; ++i) {
            CallState call = call_at(now);
            auto begun = policies.begin_attempt(call, now);
            auto& attempt = std::get<HeldEndpoint>(begun);
            const bool fails = bad(attempt.endpoint().id);
            bad_calls += fails ? 1 : 0;
            policies.finish_attempt(
                std::move(attempt), fails ? Outcome::server_error : Outcome::success, now
            );
        }
    };
    run(kStart, 400);
    EXPECT_EQ(bad_calls, 5);
    policies.tick(at(seconds(29)));
    EXPECT_EQ(policies.drain_events().size(), 1U);
    run(at(seconds(30)), 16);
    EXPECT_EQ(bad_calls, 9);
    policies.tick(at(seconds(30)));
    const auto events = policies.drain_events();
    ASSERT_FALSE(events.empty());
    EXPECT_EQ(events.front().what, "returned");
}

TEST(ServicePolicies, SweepEjectsWhoFailsMuchMoreThanTheOthers) {
    ServicePolicy policy = policy_without(false, true);
    policy.balance = RoundRobin{};
    policy.outlier.consecutive_failures = 0;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(5), kStart);
    policies.tick(kStart);
    for (int i = 0; i < 250; ++i) {
        CallState call = call_at(kStart);
        auto begun = policies.begin_attempt(call, kStart);
        auto& attempt = std::get<HeldEndpoint>(begun);
        const bool fails = attempt.endpoint().id == "e00003" && i % 2 == 0;
        policies.finish_attempt(
            std::move(attempt), fails ? Outcome::server_error : Outcome::success, kStart
        );
    }
    policies.tick(at(milliseconds(9'999)));
    EXPECT_TRUE(policies.drain_events().empty());
    policies.tick(at(seconds(10)));
    const auto events = policies.drain_events();
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].endpoint, "e00003");
    EXPECT_THAT(events[0].why, HasSubstr("50.0 % of 50 calls succeeded"));
    EXPECT_EQ(policies.view(at(seconds(10))).endpoints[3].ejected_for, events[0].why);
}

TEST(ServicePolicies, AnErrorSaysHowManyAreLeftOutAndWhy) {
    const NoEndpoint why{
        .known = 12, .critical = 1, .ejected = 8, .open = 3, .next_at = at(milliseconds(4'200))
    };
    const Error error = to_error(why, "api_service", at(seconds(1)));
    EXPECT_EQ(
        error.what, "api_service: 12 known, 1 critical, 8 ejected, 3 open, next try in 3s200ms"
    );
    EXPECT_EQ(error.code, Code::unavailable);
    EXPECT_TRUE(error.retryable);
}

TEST(ServicePolicies, LimitsAttemptsInFlightExactlyOnOneThread) {
    ServicePolicy policy;
    policy.limits.requests = 100;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(2), kStart);
    std::vector<HeldEndpoint> held;
    const auto begin = [&] {
        CallState call = call_at(kStart);
        auto begun = policies.begin_attempt(call, kStart);
        if (auto* attempt = std::get_if<HeldEndpoint>(&begun)) held.push_back(std::move(*attempt));
        return std::holds_alternative<HeldEndpoint>(begun);
    };
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(begin()) << i;
    EXPECT_FALSE(begin());
    const NoEndpoint why = refusal(policies, kStart);
    EXPECT_EQ(why.reason, NoEndpoint::Reason::limited);
    EXPECT_EQ(to_error(why, "api", kStart).what, "api: 100 requests in flight, the limit is 100");
    held.pop_back();  // abandoned
    EXPECT_TRUE(begin());
    EXPECT_FALSE(begin());
    EXPECT_EQ(policies.totals().in_flight, 100U);
    EXPECT_EQ(policies.totals().refused[static_cast<std::size_t>(NoEndpoint::Reason::limited)], 3U);
}

TEST(ServicePolicies, BeginsNothingAfterTheDeadline) {
    ServicePolicies policies("api_service", {}, 1);
    policies.update(test_set(1), kStart);
    CallState call(resilience::Deadline(at(seconds(1))));
    EXPECT_TRUE(
        std::holds_alternative<HeldEndpoint>(policies.begin_attempt(call, at(milliseconds(999))))
    );
    const auto begun = policies.begin_attempt(call, at(seconds(1)));
    EXPECT_EQ(std::get<NoEndpoint>(begun).reason, NoEndpoint::Reason::deadline);
}

TEST(ServicePolicies, CancelledAndAbandonedCountNeitherWay) {
    ServicePolicies policies("api_service", {}, 1);
    policies.update(test_set(1), kStart);
    for (int i = 0; i < 50; ++i) ask(policies, kStart, Outcome::cancelled);
    {
        CallState call = call_at(kStart);
        const auto dropped = policies.begin_attempt(call, kStart);
    }
    const auto view = policies.view(kStart);
    EXPECT_EQ(view.endpoints[0].successes + view.endpoints[0].failures, 0U);
    EXPECT_EQ(view.endpoints[0].in_flight, 0U);
    EXPECT_EQ(policies.totals().outcomes[static_cast<std::size_t>(Outcome::cancelled)], 51U);
    EXPECT_EQ(policies.totals().abandoned, 1U);
}

}  // namespace
}  // namespace datapunk::mesh::policy
