// Hedges under the policies: what they win, what they cost, and when there are none. In virtual
// time: calls arrive one after the other, answers when they are due.

#include "policy/hedging.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "core/rng.h"
#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20261121;
}

// Balancing that does not avoid the slow one, so that only hedging can.
ServicePolicy hedging(double max, double percentile = 90) {
    ServicePolicy policy{.balance = RoundRobin{}, .hedge = {.max = max, .percentile = percentile}};
    policy.outlier.enabled = false;
    policy.breaker.enabled = false;
    return policy;
}

// Calls that arrive at a steady rate, hedged and tried again as the policies say.
class Load {
  public:
    // How long an endpoint takes; kNever = it hangs until the attempt's time is over.
    using Latency = std::function<Duration(const std::string& endpoint, core::Rng& rng)>;

    Load(const ServicePolicy& policy, std::size_t endpoints, Latency latency)
        : service_("api_service", policy, 1), latency_(std::move(latency)) {
        service_.update(test_set(endpoints), now_);
    }

    void run(int calls, Duration apart, Duration deadline = seconds(1)) {
        for (int i = 0; i < calls; ++i) {
            at(now_ + apart * i, [this, deadline] { arrive(deadline); });
        }
        while (!events_.empty()) {
            // A copy: what it does may add events.
            const Event next = events_.top();
            events_.pop();
            while (next_tick_ <= next.when) {
                service_.tick(next_tick_);
                next_tick_ += seconds(1);
            }
            now_ = next.when;
            next.what();
        }
    }

    Duration percentile(double share) {
        std::sort(took_.begin(), took_.end());
        return took_[static_cast<std::size_t>(share * static_cast<double>(took_.size() - 1))];
    }

    ServicePolicies& service() { return service_; }

    std::uint64_t hedges() const {
        const auto& ended = service_.totals().hedges;
        return ended[0] + ended[1] + ended[2];
    }

    void forget() { took_.clear(); }

    std::size_t answered() const { return took_.size(); }

    Instant now() const { return now_; }

  private:
    struct Event {
        Instant when;
        std::uint64_t order;
        std::function<void()> what;

        bool operator<(const Event& other) const {
            return std::pair(when, order) > std::pair(other.when, other.order);
        }
    };

    struct Call {
        CallState state;
        Instant arrived;
        std::map<int, HeldEndpoint> out;  // attempts, by slot
        bool is_over = false;
        int attempt = 0;  // which pair of them
    };

    void at(Instant when, std::function<void()> what) {
        events_.push({when, order_++, std::move(what)});
    }

    void arrive(Duration deadline) {
        auto call = std::make_shared<Call>(
            Call{.state = CallState(resilience::Deadline::in(now_, deadline)), .arrived = now_}
        );
        begin(call);
    }

    void begin(const std::shared_ptr<Call>& call) {
        auto begun = service_.begin_attempt(call->state, now_);
        auto* held = std::get_if<HeldEndpoint>(&begun);
        if (held == nullptr) return;
        ++call->attempt;
        const auto delay =
            service_.hedge_after(call->state, true, call->state.deadline.remaining(now_));
        send(call, 0, std::move(*held));
        if (!delay) return;
        at(now_ + *delay, [this, call, attempt = call->attempt] {
            const auto first = call->out.find(0);
            if (call->attempt != attempt || first == call->out.end() || call->is_over) return;
            auto hedged = service_.begin_hedge(call->state, first->second, now_);
            auto* second = std::get_if<HeldEndpoint>(&hedged);
            if (second == nullptr) return;
            EXPECT_NE(second->endpoint().id, first->second.endpoint().id);
            send(call, 1, std::move(*second));
        });
    }

    void send(const std::shared_ptr<Call>& call, int slot, HeldEndpoint held) {
        const Duration takes = latency_(held.endpoint().id, rng_);
        const Instant latest = call->state.deadline.at();
        const bool hangs = takes == Duration::max() || now_ + takes > latest;
        call->out.emplace(slot, std::move(held));
        at(hangs ? latest : now_ + takes, [this, call, slot, hangs, attempt = call->attempt] {
            if (call->attempt == attempt) end(call, slot, hangs);
        });
    }

    void end(const std::shared_ptr<Call>& call, int slot, bool hangs) {
        auto found = call->out.find(slot);
        if (found == call->out.end()) return;
        service_.finish_attempt(
            std::move(found->second), hangs ? Outcome::timeout : Outcome::success, now_
        );
        call->out.erase(found);
        if (hangs) {
            if (slot == 1) service_.count_hedge(HedgeEnd::failed);
            if (!call->out.empty()) return;
            const auto again = service_.after_attempt(
                call->state, {.outcome = Outcome::timeout, .idempotent = true}, now_
            );
            if (again) at(now_ + again.wait, [this, call] { begin(call); });
            return;
        }
        call->is_over = true;
        took_.push_back(now_ - call->arrived);
        if (slot == 1) service_.count_hedge(HedgeEnd::won);
        for (auto& [other_slot, other] : call->out) {
            if (other_slot == 1) service_.count_hedge(HedgeEnd::lost);
            service_.finish_attempt(std::move(other), Outcome::cancelled, now_);
        }
        call->out.clear();
    }

    ServicePolicies service_;
    Latency latency_;
    core::Rng rng_{test_seed()};
    Instant now_{seconds(100)};
    Instant next_tick_{seconds(100)};
    std::uint64_t order_ = 0;
    std::priority_queue<Event> events_;
    std::vector<Duration> took_;
};

Duration exponential(core::Rng& rng, double mean_ms) {
    const double uniform = (static_cast<double>(rng.below(1'000'000)) + 0.5) / 1e6;
    return Duration(static_cast<std::int64_t>(-mean_ms * 1e6 * std::log(uniform)));
}

// One of ten takes 100 ms more.
Duration one_slow(const std::string& endpoint, core::Rng& rng) {
    return exponential(rng, 5) + (endpoint == "e00003" ? milliseconds(100) : Duration::zero());
}

TEST(Hedging, WithOneSlowOfTenTheTailFallsAndTheLoadGrowsByNoMoreThanItsShare) {
    std::map<double, Duration> p99;
    for (const double max : {0.0, 0.15}) {
        ServicePolicy policy = hedging(max, 88);
        policy.retry.budget.ratio = 0.4;  // of which hedges leave half
        Load load(policy, 10, one_slow);
        load.run(10'000, milliseconds(2));  // learns
        load.forget();
        const std::uint64_t hedges = load.hedges();
        load.run(20'000, milliseconds(2));
        EXPECT_EQ(load.answered(), 20'000U);
        p99[max] = load.percentile(0.99);
        const double share = static_cast<double>(load.hedges() - hedges) / 20'000;
        EXPECT_LE(share, max * 1.02) << "seed " << test_seed();
        if (max > 0) {
            EXPECT_GE(share, 0.10) << "all that go to the slow one, at least";
        }
        EXPECT_EQ(load.service().totals().in_flight, 0U);
    }
    EXPECT_GE(p99[0.0], milliseconds(100));
    EXPECT_LE(p99[0.15], milliseconds(60)) << "seed " << test_seed();
}

TEST(Hedging, ASmallShareIsAllThatIsSpentHoweverSlowItIs) {
    Load load(hedging(0.02, 90), 10, one_slow);
    load.run(20'000, milliseconds(2));
    EXPECT_LE(load.hedges(), 20'000 * 2 / 100 + 1);
    EXPECT_GE(load.hedges(), 20'000 * 2 / 100 * 8 / 10);
    EXPECT_GT(load.service().totals().hedges[static_cast<std::size_t>(HedgeEnd::refused)], 0U);
}

TEST(Hedging, ATotalOutageSeesNoMoreThanTheBudget) {
    bool is_out = false;
    ServicePolicy policy = hedging(0.2, 90);
    policy.retry.attempts = 3;
    Load load(policy, 10, [&is_out](const std::string&, core::Rng& rng) {
        return is_out ? Duration::max() : exponential(rng, 5);
    });
    load.run(10'000, milliseconds(2));
    is_out = true;
    const ServiceTotals before = load.service().totals();
    load.run(20'000, milliseconds(2));
    const ServiceTotals after = load.service().totals();
    const std::uint64_t attempts = after.attempts - before.attempts;
    // 20 % of the calls, and 3 a second over 40 s and the window.
    EXPECT_LE(attempts, 20'000 * 12 / 10 + 3 * 50 + 20);
    EXPECT_GE(attempts, 20'000U);
}

// Everything slow is when everything would be hedged.
TEST(Hedging, WhenEverythingBecomesSlowTheDelayFollowsAndHedgesStayFew) {
    bool is_slow = false;
    Load load(hedging(0.05, 95), 10, [&is_slow](const std::string&, core::Rng& rng) {
        return exponential(rng, is_slow ? 50 : 5);
    });
    load.run(20'000, milliseconds(2));
    const auto quick = load.service().view(load.now()).hedge_delay;
    ASSERT_TRUE(quick);
    EXPECT_NEAR(std::chrono::duration<double>(*quick).count(), 0.015, 0.003);
    is_slow = true;
    const std::uint64_t hedges = load.hedges();
    load.run(60'000, milliseconds(2));
    EXPECT_LE(load.hedges() - hedges, 60'000 * 5 / 100 + 5);
    const auto slow = load.service().view(load.now()).hedge_delay;
    ASSERT_TRUE(slow);
    EXPECT_NEAR(std::chrono::duration<double>(*slow).count(), 0.150, 0.03);
}

// --- when there is none

class HedgeRefused : public testing::Test {
  protected:
    void make(ServicePolicy policy, std::size_t endpoints = 3) {
        policy.hedge.delay = milliseconds(10);
        service.emplace("api_service", policy, 1);
        service->update(test_set(endpoints), now);
        for (int i = 0; i < 100; ++i) ask(*service, now);  // the share has tokens
    }

    HedgeReason hedge() {
        CallState call = call_at(now);
        auto begun = service->begin_attempt(call, now);
        auto& first = std::get<HeldEndpoint>(begun);
        EXPECT_TRUE(service->hedge_after(call, true, seconds(1)));
        auto hedged = service->begin_hedge(call, first, now + milliseconds(10));
        if (std::holds_alternative<HeldEndpoint>(hedged)) {
            EXPECT_FALSE(service->hedge_after(call, true, seconds(1))) << "one a call";
            EXPECT_TRUE(std::get<HeldEndpoint>(hedged).is_hedge());
            EXPECT_THAT(
                service->explain(std::get<HeldEndpoint>(hedged), now), HasSubstr("1 tried before")
            );
            return HedgeReason::sent;
        }
        EXPECT_EQ(service->totals().refused[0], 0U) << "no refused call";
        return std::get<HedgeReason>(hedged);
    }

    Instant now{seconds(100)};
    std::optional<ServicePolicies> service;
};

TEST_F(HedgeRefused, AHealthyServiceHedgesAndSaysSo) {
    make(hedging(0.1));
    EXPECT_EQ(hedge(), HedgeReason::sent);
    EXPECT_THAT(service->decisions().back().text, HasSubstr("hedge of attempt 1 after 10ms: sent"));
    EXPECT_EQ(service->totals().in_flight, 0U) << "dropped";
}

TEST_F(HedgeRefused, OnlyOfCallsThatMayBeRepeatedInTimeAndIfItIsOn) {
    make(hedging(0.1));
    const CallState call = call_at(now);
    EXPECT_EQ(service->hedge_after(call, true, seconds(1)), milliseconds(10));
    EXPECT_EQ(service->hedge_after(call, false, seconds(1)), std::nullopt);
    EXPECT_EQ(service->hedge_after(call, true, milliseconds(10)), std::nullopt);
    make(hedging(0));
    EXPECT_EQ(service->hedge_after(call, true, seconds(1)), std::nullopt);
}

TEST_F(HedgeRefused, NeverTheSameEndpointTwice) {
    make(hedging(0.1), 1);
    EXPECT_EQ(hedge(), HedgeReason::no_other);
    const double tokens = service->view(now).retry_tokens;
    for (int i = 0; i < 50; ++i) EXPECT_EQ(hedge(), HedgeReason::no_other);
    EXPECT_GE(service->view(now).retry_tokens, tokens) << "what was not sent costs nothing";
}

TEST_F(HedgeRefused, TheShareIsBounded) {
    make(hedging(0.05));
    int sent = 0;
    for (int i = 0; i < 20; ++i) sent += hedge() == HedgeReason::sent ? 1 : 0;
    EXPECT_LE(sent, 6);
    EXPECT_GE(sent, 5);
    EXPECT_EQ(hedge(), HedgeReason::share_used);
}

TEST_F(HedgeRefused, RetriesComeFirst) {
    ServicePolicy policy = hedging(0.5);
    policy.retry.budget = {.ratio = 0.1, .min_per_second = 0};
    make(policy);
    int sent = 0;
    for (int i = 0; i < 20; ++i) sent += hedge() == HedgeReason::sent ? 1 : 0;
    EXPECT_LE(sent, 7) << "half of ten";
    EXPECT_EQ(hedge(), HedgeReason::budget_low);
    CallState call = call_at(now);
    {
        auto begun = service->begin_attempt(call, now);
    }
    EXPECT_TRUE(
        service->after_attempt(call, {.outcome = Outcome::server_error, .idempotent = true}, now)
    );
}

TEST_F(HedgeRefused, PanicAFullLimitAndAServicesBreakerAreOverload) {
    ServicePolicy policy = hedging(0.1);
    policy.limits.requests = 1;
    make(policy);
    EXPECT_EQ(hedge(), HedgeReason::overloaded) << "its own first attempt has the only place";

    policy = hedging(0.1);
    policy.panic.healthy_percent = 50;
    make(policy);
    EndpointSet set = test_set(3);
    for (auto& endpoint : set.endpoints) endpoint.health = Health::critical;
    service->update(set, now);
    EXPECT_EQ(hedge(), HedgeReason::overloaded) << "panic";

    policy = hedging(0.1);
    policy.service_breaker.enabled = true;
    policy.service_breaker.consecutive = 3;
    policy.service_breaker.open_for = seconds(1);
    make(policy);
    EXPECT_EQ(hedge(), HedgeReason::sent);
    for (int i = 0; i < 3; ++i) ask(*service, now, Outcome::server_error);
    now += seconds(2);  // half-open
    EXPECT_EQ(hedge(), HedgeReason::overloaded);
}

TEST(Hedging, TheLoserIsNotBlamedButKnownToHaveTakenAtLeastSoLong) {
    ServicePolicy policy = hedging(0.5);
    policy.hedge.delay = milliseconds(10);
    policy.breaker = {.consecutive = 1};
    policy.outlier = {.consecutive_failures = 1};
    ServicePolicies service("api_service", policy, 1);
    Instant now{seconds(100)};
    service.update(test_set(2), now);
    for (int i = 0; i < 20; ++i) ask(service, now, Outcome::success, milliseconds(1));
    CallState call = call_at(now);
    auto begun = service.begin_attempt(call, now);
    auto& first = std::get<HeldEndpoint>(begun);
    const std::string loser = first.endpoint().id;
    auto hedged = service.begin_hedge(call, first, now + milliseconds(10));
    ASSERT_TRUE(std::holds_alternative<HeldEndpoint>(hedged));
    now += milliseconds(200);
    service.finish_attempt(std::move(std::get<HeldEndpoint>(hedged)), Outcome::success, now);
    service.finish_attempt(std::move(first), Outcome::cancelled, now);
    for (const auto& seen : service.view(now).endpoints) {
        EXPECT_EQ(seen.failures, 0U);
        EXPECT_EQ(seen.breaker.state, resilience::BreakerState::closed);
        EXPECT_FALSE(seen.ejected_until);
        if (seen.id == loser) {
            EXPECT_GT(seen.latency, milliseconds(20));
        }
    }
    EXPECT_EQ(service.totals().outcomes[static_cast<std::size_t>(Outcome::cancelled)], 1U);
}

TEST(Hedging, IsSwitchedWhileCallsRunAndForgetsNothing) {
    ServicePolicy policy = hedging(0.1);
    ServicePolicies service("api_service", policy, 1);
    const Instant now{seconds(100)};
    service.update(test_set(3), now);
    for (int i = 0; i < 300; ++i) ask(service, now, Outcome::success, milliseconds(10));
    service.tick(now);
    const auto delay = service.view(now).hedge_delay;
    ASSERT_TRUE(delay);
    policy.hedge.max = 0;
    EXPECT_TRUE(service.set_policy(policy, now));
    EXPECT_FALSE(service.view(now).hedge_delay);
    EXPECT_FALSE(service.hedge_after(call_at(now), true, seconds(1)));
    policy.hedge.max = 0.2;
    EXPECT_TRUE(service.set_policy(policy, now));
    EXPECT_EQ(service.view(now).hedge_delay, delay);
    policy.hedge.delay = milliseconds(7);
    EXPECT_TRUE(service.set_policy(policy, now));
    EXPECT_EQ(service.hedge_after(call_at(now), true, seconds(1)), milliseconds(7));
}

}  // namespace
}  // namespace datapunk::mesh::policy
