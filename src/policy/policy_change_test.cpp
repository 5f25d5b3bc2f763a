#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "core/epoch.h"
#include "core/rng.h"
#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

using namespace std::chrono_literals;
using resilience::BreakerState;
using testing::ElementsAre;

EndpointView seen(const ServicePolicies& policies, std::string_view id, Instant now) {
    for (EndpointView& endpoint : policies.view(now).endpoints) {
        if (endpoint.id == id) return endpoint;
    }
    ADD_FAILURE() << id << " is not there";
    return {};
}

std::vector<std::string> told(ServicePolicies& policies) {
    std::vector<std::string> out;
    for (const PolicyEvent& event : policies.drain_events()) {
        out.push_back(event.what + ": " + event.why);
    }
    return out;
}

HeldEndpoint hold(ServicePolicies& policies, Instant now) {
    CallState call = call_at(now);
    auto begun = policies.begin_attempt(call, now);
    return std::get<HeldEndpoint>(std::move(begun));
}

bool is_refused(ServicePolicies& policies, Instant now) {
    CallState call = call_at(now);
    return std::holds_alternative<NoEndpoint>(policies.begin_attempt(call, now));
}

TEST(PolicyChange, TheSamePolicyIsNoNews) {
    ServicePolicies policies("api_service", {}, 1);
    EXPECT_FALSE(policies.set_policy({}, at(1s)));
    EXPECT_THAT(told(policies), ElementsAre());
}

TEST(PolicyChange, SaysWhichGroupsAreOthers) {
    ServicePolicies policies("api_service", {}, 1);
    EXPECT_TRUE(policies.set_policy({.balance = RoundRobin{}, .deadline = 3s}, at(1s)));
    EXPECT_THAT(told(policies), ElementsAre("policy changed: balance, deadline"));
    EXPECT_EQ(policies.policy()->deadline, 3s);
}

TEST(PolicyChange, CallsInFlightAndLatenciesStayWhateverBalances) {
    ServicePolicies policies("api_service", {.balance = PeakEwma{}}, 1);
    policies.update(test_set(2), at(0s));
    for (int i = 0; i < 20; ++i) ask(policies, at(1s), Outcome::success, 40ms);
    std::optional<HeldEndpoint> held(hold(policies, at(2s)));
    const std::string id = held->endpoint().id;
    const EndpointView before = seen(policies, id, at(2s));
    ASSERT_EQ(before.in_flight, 1U);
    ASSERT_GT(before.latency, 30ms);

    for (const BalanceConfig& other :
         {BalanceConfig(LeastRequest{}), BalanceConfig(RingHash{}), BalanceConfig(PeakEwma{})}) {
        policies.set_policy({.balance = other}, at(2s));
        const EndpointView after = seen(policies, id, at(2s));
        EXPECT_EQ(after.in_flight, 1U);
        EXPECT_EQ(after.latency, before.latency);
        EXPECT_EQ(after.successes, before.successes);
    }
    policies.finish_attempt(*std::exchange(held, std::nullopt), Outcome::success, at(2s));
    EXPECT_EQ(seen(policies, id, at(2s)).in_flight, 0U);
}

TEST(PolicyChange, AWindowGoesOnAndAnOpenBreakerStaysOpen) {
    ServicePolicy policy{.outlier = {.enabled = false}};
    policy.breaker.consecutive = 5;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(1), at(0s));
    for (int i = 0; i < 4; ++i) ask(policies, at(1s), Outcome::server_error);
    policy.breaker.window_calls = 50;  // the four in a row are still four
    policy.balance = RoundRobin{};
    policies.set_policy(policy, at(1s));
    EXPECT_EQ(seen(policies, "e00000", at(1s)).breaker.state, BreakerState::closed);
    ask(policies, at(1s), Outcome::server_error);
    const EndpointView open = seen(policies, "e00000", at(1s));
    ASSERT_EQ(open.breaker.state, BreakerState::open);

    policy.breaker.consecutive = 9;
    policies.set_policy(policy, at(2s));
    const EndpointView still = seen(policies, "e00000", at(2s));
    EXPECT_EQ(still.breaker.state, BreakerState::open);
    EXPECT_EQ(still.breaker.next_probe_at, open.breaker.next_probe_at);
    EXPECT_TRUE(is_refused(policies, at(2s)));

    policy.breaker.open_for = policy.breaker.open_max = 5s;  // nothing is open for longer
    policies.set_policy(policy, at(2s));
    EXPECT_EQ(seen(policies, "e00000", at(2s)).breaker.next_probe_at, at(7s));
    told(policies);

    policy.breaker.enabled = false;
    policies.set_policy(policy, at(3s));
    EXPECT_THAT(
        told(policies), ElementsAre("breaker closed: configured", "policy changed: breaker")
    );
    EXPECT_FALSE(is_refused(policies, at(3s)));
}

TEST(PolicyChange, ShorterWindowsKeepTheNewestAndLongerOnesAll) {
    ServicePolicy policy{.outlier = {.enabled = false}};
    policy.breaker.window_calls = 40;
    policy.breaker.consecutive = 0;
    policy.breaker.failure_rate = 0;
    policy.breaker.failure_count = 10;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(1), at(0s));
    for (int i = 0; i < 5; ++i) ask(policies, at(1s), Outcome::server_error);
    for (int i = 0; i < 5; ++i) ask(policies, at(1s));
    for (int i = 0; i < 4; ++i) ask(policies, at(1s), Outcome::server_error);
    policy.breaker.window_calls = 12;  // the first two failures are forgotten: 7 are left
    policies.set_policy(policy, at(1s));
    policy.breaker.window_calls = 40;
    policies.set_policy(policy, at(1s));
    for (int i = 0; i < 2; ++i) ask(policies, at(1s), Outcome::server_error);
    EXPECT_EQ(seen(policies, "e00000", at(1s)).breaker.state, BreakerState::closed);
    ask(policies, at(1s), Outcome::server_error);
    EXPECT_EQ(seen(policies, "e00000", at(1s)).breaker.state, BreakerState::open);
}

TEST(PolicyChange, AnOperatorsWordStays) {
    ServicePolicy policy;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(2), at(0s));
    ASSERT_TRUE(policies.force_breaker(BreakerForce::open, "e00000", at(1s)));
    policy.breaker.enabled = false;
    policies.set_policy(policy, at(1s));
    policy.breaker = {.force = BreakerForce::closed};
    policies.set_policy(policy, at(1s));
    EXPECT_EQ(seen(policies, "e00000", at(1s)).breaker.forced, BreakerForce::open);
    EXPECT_EQ(seen(policies, "e00001", at(1s)).breaker.forced, BreakerForce::closed);
    policy.breaker = {};
    policies.set_policy(policy, at(1s));
    EXPECT_EQ(seen(policies, "e00000", at(1s)).breaker.forced, BreakerForce::open);
    EXPECT_EQ(seen(policies, "e00001", at(1s)).breaker.forced, BreakerForce::none);
}

TEST(PolicyChange, EjectionsStayUntilEjectionIsSwitchedOff) {
    ServicePolicy policy{.balance = RoundRobin{}, .breaker = {.enabled = false}};
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(5), at(0s));
    std::string victim;
    for (int i = 0; i < 500 && victim.empty(); ++i) {
        CallState call = call_at(at(1s));
        auto begun = policies.begin_attempt(call, at(1s));
        auto& attempt = std::get<HeldEndpoint>(begun);
        const bool fails = attempt.endpoint().id == "e00002";
        policies.finish_attempt(
            std::move(attempt), fails ? Outcome::server_error : Outcome::success, at(1s)
        );
        if (seen(policies, "e00002", at(1s)).ejected_until) victim = "e00002";
    }
    ASSERT_EQ(victim, "e00002");
    policy.outlier.consecutive_failures = 50;
    policy.retry.attempts = 1;
    policies.set_policy(policy, at(2s));
    EXPECT_TRUE(seen(policies, victim, at(2s)).ejected_until);
    told(policies);
    policy.outlier.enabled = false;
    policies.set_policy(policy, at(3s));
    EXPECT_FALSE(seen(policies, victim, at(3s)).ejected_until);
    EXPECT_THAT(
        told(policies), ElementsAre("returned: ejection is over", "policy changed: outlier")
    );
}

TEST(PolicyChange, TheBudgetsBalanceStays) {
    ServicePolicy policy;
    policy.retry.budget = {.ratio = 0.2, .min_per_second = 0, .window = 10s};
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(1), at(0s));
    for (int i = 0; i < 160; ++i) ask(policies, at(1s));
    ASSERT_NEAR(policies.view(at(1s)).retry_tokens, 32, 0.01);
    policy.balance = RoundRobin{};
    policies.set_policy(policy, at(1s));
    EXPECT_NEAR(policies.view(at(1s)).retry_tokens, 32, 0.01);
    policy.retry.budget.window = 60s;
    policies.set_policy(policy, at(1s));
    EXPECT_NEAR(policies.view(at(1s)).retry_tokens, 32, 0.01);
    EXPECT_NEAR(policies.view(at(50s)).retry_tokens, 32, 0.01) << "of the last minute now";
    policy.retry.budget.ratio = 0.1;
    policies.set_policy(policy, at(50s));
    EXPECT_NEAR(policies.view(at(50s)).retry_tokens, 16, 0.01);
    EXPECT_NEAR(policies.view(at(70s)).retry_tokens, 0, 0.01);
}

TEST(PolicyChange, WhoWaitsForAPlaceIsGivenOneWhenTheLimitRises) {
    ServicePolicy policy;
    policy.limits = {.requests = 1, .pending = 8};
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(1), at(0s));
    std::optional<HeldEndpoint> held(hold(policies, at(1s)));
    CallState call = call_at(at(1s));
    call.can_wait = true;
    auto begun = policies.begin_attempt(call, at(1s));
    ASSERT_TRUE(std::get<NoEndpoint>(begun).may_wait);
    int woken = 0;
    PlaceWait wait(policies.admission(), [&woken] { ++woken; });
    ASSERT_FALSE(wait.join(call, at(1s)));
    policy.limits.pending = 0;  // no queue for those that come, but it waits on
    policies.set_policy(policy, at(1s));
    EXPECT_EQ(woken, 0);
    EXPECT_EQ(policies.view(at(1s)).waiting, 1U);
    policy.limits.requests = 2;
    policies.set_policy(policy, at(1s));
    EXPECT_EQ(woken, 1);
    EXPECT_FALSE(wait.end(call, at(1s)));
    begun = policies.begin_attempt(call, at(1s));
    ASSERT_TRUE(std::holds_alternative<HeldEndpoint>(begun));
    policies.finish_attempt(std::get<HeldEndpoint>(std::move(begun)), Outcome::success, at(1s));
    policies.finish_attempt(*std::exchange(held, std::nullopt), Outcome::success, at(1s));
    EXPECT_EQ(policies.totals().in_flight, 0U);
}

TEST(PolicyChange, WhoIsOutsideOfTheSubsetComesInWithTheNextOne) {
    EndpointSet set = test_set(3);
    set.endpoints[1].tags = {"canary"};
    ServicePolicy policy;
    policy.subset.tags = {"canary"};
    ServicePolicies policies("api_service", policy, 1);
    policies.update(std::make_shared<const EndpointSet>(set), at(0s));
    const auto ids = [&policies] {
        std::vector<std::string> out;
        for (const EndpointView& endpoint : policies.view(at(1s)).endpoints) {
            out.push_back(endpoint.id);
        }
        return out;
    };
    ask(policies, at(1s));
    EXPECT_THAT(ids(), ElementsAre("e00001"));
    policies.set_policy({}, at(1s));
    EXPECT_THAT(ids(), ElementsAre("e00000", "e00001", "e00002"));
    EXPECT_EQ(seen(policies, "e00001", at(1s)).successes, 1U) << "it was there all along";
    policies.set_policy(policy, at(1s));
    EXPECT_THAT(ids(), ElementsAre("e00001"));
    policies.set_policy({}, at(1s));
    EXPECT_THAT(ids(), ElementsAre("e00000", "e00001", "e00002"));
}

TEST(PolicyChange, AnAdaptiveLimitKeepsWhatItHasLearned) {
    ServicePolicy policy;
    policy.limits = {.requests = 100, .adaptive = AdaptiveLimit::gradient};
    ServicePolicies policies("api_service", policy, 1);
    EXPECT_EQ(policies.view(at(0s)).limit, 20U);
    policy.limits.requests = 12;
    policies.set_policy(policy, at(1s));
    EXPECT_EQ(policies.view(at(1s)).limit, 12U);
    policy.limits.requests = 200;
    policies.set_policy(policy, at(1s));
    EXPECT_EQ(policies.view(at(1s)).limit, 12U) << "it goes on from where it was";
    policy.limits.adaptive = AdaptiveLimit::none;
    policies.set_policy(policy, at(1s));
    EXPECT_EQ(policies.view(at(1s)).limit, 200U);
}

// What a change there and back may not forget: two services live through the same, one of them with
// changes of every group of fields in between, and must stay alike.
class ThereAndBack {
  public:
    explicit ThereAndBack(std::uint64_t seed) : luck_(seed), policy_(first_policy(seed)) {
        for (ServicePolicies* one : {&plain_, &changed_}) one->set_policy(policy_, now_);
        relist();
    }

    void step() {
        now_ += std::chrono::milliseconds(luck_.below(300));
        switch (luck_.below(8)) {
            case 0:
                change_there_and_back();
                break;
            case 1:
                for (ServicePolicies* one : {&plain_, &changed_}) one->tick(now_);
                break;
            case 2:
                begin();
                break;
            case 3:
                end_one();
                break;
            default:
                call();
        }
        compare();
    }

  private:
    static ServicePolicy first_policy(std::uint64_t seed) {
        ServicePolicy policy;
        if (seed % 3 == 0) policy.balance = LeastRequest{};
        if (seed % 3 == 1) policy.balance = PeakEwma{};
        if (seed % 3 == 2) policy.balance = Random{};
        policy.breaker.window_time = seed % 2 == 0 ? Duration::zero() : Duration(10s);
        policy.service_breaker.enabled = seed % 5 < 2;
        policy.limits.requests = 6;
        return policy;
    }

    ServicePolicy other_policy() {
        ServicePolicy other = policy_;
        if (luck_.below(2) == 0) other.balance = RoundRobin{};
        if (luck_.below(2) == 0) other.retry = {.attempts = 7, .attempt_timeout = 3s};
        if (luck_.below(2) == 0) other.retry.budget.ratio = 0.9;
        if (luck_.below(2) == 0) other.limits.requests = 99;
        if (luck_.below(2) == 0) other.limits.pending = 3;
        if (luck_.below(2) == 0) other.breaker.consecutive = 40;
        if (luck_.below(2) == 0) other.breaker.failure_rate = 0.9;
        if (luck_.below(2) == 0) other.service_breaker.min_calls = 77;
        if (luck_.below(2) == 0) other.outlier.consecutive_failures = 80;
        if (luck_.below(2) == 0) other.deadline = 99s;
        if (luck_.below(2) == 0) other.panic.healthy_percent = 90;
        if (luck_.below(2) == 0) other.slow_start.window = 20s;
        if (luck_.below(2) == 0) other.subset.tags = {"v1"};  // all of them
        return other;
    }

    void change_there_and_back() {
        changed_.set_policy(other_policy(), now_);
        changed_.set_policy(policy_, now_);
        relist();  // the table is built anew, and so are cursors
    }

    void relist() {
        EndpointSet set = test_set(4);
        for (ServiceEndpoint& endpoint : set.endpoints) endpoint.tags = {"v1"};
        for (ServicePolicies* one : {&plain_, &changed_}) one->update(set, now_);
    }

    void begin() {
        CallState a = call_at(now_);
        CallState b = call_at(now_);
        auto one = plain_.begin_attempt(a, now_);
        auto two = changed_.begin_attempt(b, now_);
        ASSERT_EQ(one.index(), two.index());
        if (one.index() == 1) return;
        held_.emplace_back(
            std::get<HeldEndpoint>(std::move(one)), std::get<HeldEndpoint>(std::move(two))
        );
        ASSERT_EQ(held_.back().first.endpoint().id, held_.back().second.endpoint().id);
    }

    void end_one() {
        if (held_.empty()) return;
        auto [one, two] = std::move(held_.back());
        held_.pop_back();
        const bool fails =
            one.endpoint().id == "e00001" ? luck_.below(2) == 0 : luck_.below(9) == 0;
        const Outcome outcome = fails ? Outcome::server_error : Outcome::success;
        plain_.finish_attempt(std::move(one), outcome, now_);
        changed_.finish_attempt(std::move(two), outcome, now_);
        CallState a = call_at(now_);
        CallState b = call_at(now_);
        a.attempts = b.attempts = 1;
        const resilience::AttemptEnd end{.outcome = outcome, .idempotent = true};
        const auto first = plain_.after_attempt(a, end, now_);
        const auto second = changed_.after_attempt(b, end, now_);
        ASSERT_EQ(first.reason, second.reason);
        ASSERT_EQ(first.wait, second.wait);
    }

    void call() {
        begin();
        now_ += std::chrono::milliseconds(luck_.below(30));
        end_one();
    }

    void compare() {
        const ServiceView one = plain_.view(now_);
        const ServiceView two = changed_.view(now_);
        ASSERT_DOUBLE_EQ(one.retry_tokens, two.retry_tokens);
        ASSERT_EQ(one.breaker.state, two.breaker.state);
        ASSERT_EQ(one.limit, two.limit);
        ASSERT_EQ(one.endpoints.size(), two.endpoints.size());
        for (std::size_t i = 0; i < one.endpoints.size(); ++i) {
            const EndpointView& a = one.endpoints[i];
            const EndpointView& b = two.endpoints[i];
            ASSERT_EQ(a.id, b.id);
            ASSERT_EQ(a.in_flight, b.in_flight);
            ASSERT_EQ(a.latency, b.latency);
            ASSERT_EQ(a.successes, b.successes);
            ASSERT_EQ(a.failures, b.failures);
            ASSERT_EQ(a.breaker.state, b.breaker.state);
            ASSERT_EQ(a.breaker.next_probe_at, b.breaker.next_probe_at);
            ASSERT_EQ(a.ejected_until, b.ejected_until);
        }
    }

    core::Rng luck_;
    Instant now_ = at(1s);
    ServicePolicy policy_;
    ServicePolicies plain_{"api_service", {}, 7};
    ServicePolicies changed_{"api_service", {}, 7};
    std::vector<std::pair<HeldEndpoint, HeldEndpoint>> held_;
};

TEST(PolicyChange, ThereAndBackForgetsNothing) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        ThereAndBack world(seed);
        for (int i = 0; i < 600 && !HasFatalFailure(); ++i) world.step();
        if (HasFatalFailure()) return;
    }
}

// For ThreadSanitizer as well: calls of four threads while the policy changes all the time.
TEST(PolicyChange, CallsOfManyThreadsAreSafeMeanwhile) {
    ServicePolicy policy;
    policy.limits = {.requests = 50, .pending = 10};
    ServicePolicies policies("api_service", policy, 3);
    const auto set = std::make_shared<const EndpointSet>(test_set(6));
    policies.update(set, at(0s));
    std::atomic<bool> is_over{false};
    std::atomic<std::int64_t> clock{1'000'000'000};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            core::Rng luck(t);
            while (!is_over.load(std::memory_order_relaxed)) {
                const Instant now{Duration(clock.fetch_add(100'000))};
                CallState call = call_at(now);
                call.can_wait = true;
                call.caller = policies.call_limits()->caller_key(CallerKind::told, "me");
                for (;;) {
                    auto begun = policies.begin_attempt(call, now);
                    if (auto* none = std::get_if<NoEndpoint>(&begun)) {
                        if (none->turn_at != kNever) continue;  // as if it had waited
                        if (!none->may_wait) break;
                        PlaceWait wait(policies.admission(), [] {});
                        if (wait.join(call, now) || wait.end(call, now)) break;
                        continue;
                    }
                    auto& attempt = std::get<HeldEndpoint>(begun);
                    const Outcome outcome =
                        luck.below(20) == 0 ? Outcome::server_error : Outcome::success;
                    policies.finish_attempt(std::move(attempt), outcome, now + 1ms);
                    if (!policies.after_attempt(call, {.outcome = outcome}, now + 1ms)) break;
                }
            }
        });
    }
    core::Rng luck(99);
    for (int i = 0; i < 1500; ++i) {
        const Instant now{Duration(clock.fetch_add(1'000'000))};
        ServicePolicy next;
        switch (luck.below(4)) {
            case 0:
                next.balance = LeastRequest{};
                break;
            case 1:
                next.balance = RingHash{};
                break;
            case 2:
                next.balance = ReportedLoad{};
                break;
            default:
                break;
        }
        next.breaker.min_calls = 5;
        next.breaker.enabled = luck.below(4) != 0;
        next.breaker.window_calls = 10 + static_cast<std::uint32_t>(luck.below(100));
        next.service_breaker.enabled = luck.below(2) == 0;
        next.outlier.enabled = luck.below(2) == 0;
        next.retry.budget.window = std::chrono::seconds(1 + luck.below(9));
        next.limits = {
            .requests = 1 + static_cast<std::uint32_t>(luck.below(50)),
            .pending = static_cast<std::uint32_t>(luck.below(10)),
            .adaptive = luck.below(2) == 0 ? AdaptiveLimit::vegas : AdaptiveLimit::none,
            .adaptive_min = 1
        };
        if (luck.below(3) == 0)
            next.limits.rate = {.calls = 100 + static_cast<std::uint32_t>(i), .per = 1s};
        if (luck.below(3) == 0)
            next.limits.callers.requests = 1 + static_cast<std::uint32_t>(i % 3);
        next.limits.throttle.enabled = luck.below(3) == 0;
        ASSERT_TRUE(check(next)) << check(next).error().what;
        policies.set_policy(next, now);
        if (i % 10 == 0) policies.tick(now);
        if (i % 16 == 0) policies.update(set, now);
        if (i % 50 == 0) policies.drain_events();
    }
    is_over = true;
    for (std::thread& thread : threads) thread.join();
    const ServiceTotals totals = policies.totals();
    EXPECT_EQ(totals.in_flight, 0U);
    std::uint64_t ended = 0;
    for (const std::uint64_t count : totals.outcomes) ended += count;
    EXPECT_EQ(totals.attempts, ended);
    for (const EndpointView& endpoint : policies.view(at(1h)).endpoints) {
        EXPECT_EQ(endpoint.in_flight, 0U);
    }
}

// Two sets of limits that have one table of callers may be retired together; a call that is in the
// table still has its place there.
TEST(PolicyChange, ACallersPlaceOutlivesTheLimitsThatGaveIt) {
    ServicePolicy policy;
    policy.limits.callers.requests = 2;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(2), at(0s));
    {
        CallState call = call_at(at(0s));
        call.caller = 7;
        auto begun = policies.begin_attempt(call, at(0s));
        auto* held = std::get_if<HeldEndpoint>(&begun);
        ASSERT_NE(held, nullptr);
        {
            const core::EpochGuard reading;
            policy.limits.rate = {.calls = 100, .per = 1s};
            policies.set_policy(policy, at(1s));
            policy.limits.callers = {};
            policies.set_policy(policy, at(2s));
        }
        policies.tick(at(3s));
        policies.finish_attempt(std::move(*held), resilience::Outcome::success, at(4s));
    }
    policies.tick(at(5s));
    EXPECT_EQ(policies.totals().in_flight, 0U);
    EXPECT_EQ(policies.view(at(5s)).callers, 0U);
}

}  // namespace
}  // namespace datapunk::mesh::policy
