// Rates and bulkheads, by themselves and as the calls of a service see them.

#include "policy/call_limits.h"

#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using Verdict = CallLimits::Verdict;

constexpr Instant kStart = Instant{} + std::chrono::hours(5);

CallState call_of(const ServicePolicies& policies, std::string_view caller, Instant now) {
    CallState call = call_at(now);
    if (!caller.empty()) {
        call.caller = policies.call_limits()->caller_key(CallerKind::told, caller);
    }
    return call;
}

std::optional<NoEndpoint> refusal_of(ServicePolicies& policies, CallState& call, Instant now) {
    auto begun = policies.begin_attempt(call, now);
    if (const auto* none = std::get_if<NoEndpoint>(&begun)) return *none;
    policies.finish_attempt(std::move(std::get<HeldEndpoint>(begun)), Outcome::success, now);
    return std::nullopt;
}

TEST(CallLimits, AreMadeOfPlainValuesAndNeedNoService) {
    CallLimits none({}, {}, 1);
    EXPECT_FALSE(none.is_on());
    CallLimits limits({.calls = 3}, {.requests = 1}, 1);
    EXPECT_TRUE(limits.is_on());
    EXPECT_TRUE(limits.limits_callers());
    const std::uint64_t key = limits.caller_key(CallerKind::address, "10.0.0.1");
    CallerPlace place;
    CallerPlace other;
    EXPECT_EQ(limits.begin(key, kStart, {}, place).verdict, Verdict::admitted);
    EXPECT_EQ(limits.begin(key, kStart, {}, other).verdict, Verdict::caller_limit);
    EXPECT_FALSE(other.is_held());
    place = CallerPlace();
    EXPECT_EQ(limits.begin(key, kStart, {}, other).verdict, Verdict::admitted);
    EXPECT_EQ(limits.begin(0, kStart, {}, place).verdict, Verdict::admitted) << "nobody";
    EXPECT_FALSE(place.is_held());
    const auto refused = limits.begin(0, kStart, {}, place);
    EXPECT_EQ(refused.verdict, Verdict::rate_limit);
    EXPECT_EQ(std::chrono::ceil<milliseconds>(refused.wait), milliseconds(334));
}

// A header that says somebody's SPIFFE id must not use up, or get, what is that identity's.
TEST(CallLimits, TrapANameInAHeaderIsNotTheIdentityThatItSays) {
    CallLimits limits({}, {.requests = 1}, 1);
    const char* who = "spiffe://mesh/ns/a";
    CallerPlace identity;
    CallerPlace header;
    EXPECT_EQ(
        limits.begin(limits.caller_key(CallerKind::identity, who), kStart, {}, identity).verdict,
        Verdict::admitted
    );
    EXPECT_EQ(
        limits.begin(limits.caller_key(CallerKind::header, who), kStart, {}, header).verdict,
        Verdict::admitted
    );
    EXPECT_EQ(limits.callers(), 2U);
}

// What the rate of all refuses gives its caller's place back.
TEST(CallLimits, ARefusalByTheRateOfAllHoldsNoPlace) {
    CallLimits limits({.calls = 1, .per = std::chrono::hours(1)}, {.requests = 1}, 1);
    CallerPlace place;
    EXPECT_EQ(limits.begin(1, kStart, {}, place).verdict, Verdict::admitted);
    for (int i = 0; i < 5; ++i) {
        CallerPlace another;
        EXPECT_EQ(limits.begin(2, kStart, {}, another).verdict, Verdict::rate_limit);
    }
}

TEST(CallLimits, ManyThreadsAdmitNoMoreThanOneWould) {
    CallLimits limits({.calls = 700, .per = std::chrono::hours(1)}, {.requests = 3}, 1);
    std::atomic<int> admitted{0};
    std::array<std::atomic<int>, 8> in_flight{};
    {
        std::vector<std::jthread> threads;
        for (unsigned t = 0; t < 4; ++t) {
            threads.emplace_back([&, t] {
                core::Rng rng(t);
                for (int i = 0; i < 20'000; ++i) {
                    const std::uint64_t caller = rng.below(8);
                    CallerPlace place;
                    const std::uint64_t key = (caller + 1) * 0x9e3779b97f4a7c15U;
                    if (limits.begin(key, kStart, {}, place).verdict != Verdict::admitted) continue;
                    admitted.fetch_add(1);
                    EXPECT_LE(in_flight[caller].fetch_add(1), 2);
                    in_flight[caller].fetch_sub(1);
                }
            });
        }
    }
    EXPECT_EQ(admitted.load(), 700);
    EXPECT_EQ(limits.callers(), 8U);
}

TEST(ServiceLimits, ACallIsCountedOnceWhateverItsAttempts) {
    ServicePolicy policy{.limits = {.rate = {.calls = 2}}};
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(5), kStart);
    CallState call = call_at(kStart);
    for (int attempt = 0; attempt < 4; ++attempt) {
        EXPECT_FALSE(refusal_of(policies, call, kStart)) << attempt;
    }
    CallState second = call_at(kStart);
    EXPECT_FALSE(refusal_of(policies, second, kStart));
    CallState third = call_at(kStart);
    const auto why = refusal_of(policies, third, kStart);
    ASSERT_TRUE(why);
    EXPECT_EQ(why->reason, NoEndpoint::Reason::rate_limit);
    const Error error = policies.to_error(*why, kStart);
    EXPECT_EQ(error.code, Code::exhausted);
    EXPECT_EQ(error.retry_after, milliseconds(500));
    EXPECT_EQ(error.what, "api_service: more calls than its rate allows, next try in 500ms");
    EXPECT_EQ(
        policies.totals().refused[static_cast<std::size_t>(NoEndpoint::Reason::rate_limit)], 1U
    );
    EXPECT_THAT(policies.decisions().back().text, HasSubstr("more calls than its rate allows"));
    EXPECT_FALSE(refusal_of(policies, third, kStart + milliseconds(500)));
}

TEST(ServiceLimits, ACallerHasItsOwnRateAndBulkhead) {
    ServicePolicy policy{.limits = {.callers = {.rate = {.calls = 2}, .requests = 1}}};
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(5), kStart);
    {
        CallState a = call_of(policies, "a", kStart);
        EXPECT_FALSE(refusal_of(policies, a, kStart));
        CallState again = call_of(policies, "a", kStart);
        const auto why = refusal_of(policies, again, kStart);
        ASSERT_TRUE(why) << "the first call still lasts";
        EXPECT_EQ(why->reason, NoEndpoint::Reason::caller_limit);
        EXPECT_EQ(why->in_flight, 1U);
        CallState b = call_of(policies, "b", kStart);
        EXPECT_FALSE(refusal_of(policies, b, kStart));
        CallState nobody = call_of(policies, "", kStart);
        EXPECT_FALSE(refusal_of(policies, nobody, kStart));
    }
    CallState second = call_of(policies, "a", kStart);
    EXPECT_FALSE(refusal_of(policies, second, kStart));
    second.caller_place = CallerPlace();
    CallState third = call_of(policies, "a", kStart);
    const auto why = refusal_of(policies, third, kStart);
    ASSERT_TRUE(why);
    EXPECT_EQ(why->reason, NoEndpoint::Reason::caller_rate);
    EXPECT_EQ(policies.view(kStart).callers, 2U);
}

TEST(ServiceLimits, ALeakyBucketSaysWhenItsTurnIsAndTheTurnIsKept) {
    ServicePolicy policy{
        .limits = {.rate = {.calls = 10, .algorithm = RateAlgorithm::leaky_bucket, .burst = 2}}
    };
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(1), kStart);
    std::deque<CallState> calls;
    for (int i = 0; i < 5; ++i) {
        CallState& call = calls.emplace_back(call_at(kStart));
        call.can_wait = i != 3;
        const auto why = refusal_of(policies, call, kStart);
        if (i == 0) {
            EXPECT_FALSE(why);
        } else if (i < 3) {
            ASSERT_TRUE(why);
            EXPECT_EQ(why->turn_at, kStart + milliseconds(100 * i));
            EXPECT_FALSE(refusal_of(policies, call, why->turn_at));
        } else {
            ASSERT_TRUE(why) << "cannot wait, or too many do";
            EXPECT_EQ(why->turn_at, kNever);
            EXPECT_EQ(why->reason, NoEndpoint::Reason::rate_limit);
        }
    }
    EXPECT_EQ(
        policies.totals().refused[static_cast<std::size_t>(NoEndpoint::Reason::rate_limit)], 2U
    ) << "who waits has not been refused";
}

TEST(ServiceLimits, ARateIsOfferedToTheExchangeWhileItIsShared) {
    ServicePolicy policy{.limits = {.rate = {.calls = 10}}};
    ServicePolicies policies("api_service", policy, 1);
    EXPECT_TRUE(policies.shared_slices().empty());
    policy.limits.share_rate = true;
    EXPECT_TRUE(policies.set_policy(policy, kStart));
    const auto offered = policies.shared_slices();
    ASSERT_EQ(offered.size(), 1U);
    EXPECT_EQ(offered[0].first, "rate");
    EXPECT_EQ(
        std::get<std::shared_ptr<resilience::LeasedSlice>>(offered[0].second)->config().rate, 10
    );
    policy.limits.share_rate = false;
    EXPECT_TRUE(policies.set_policy(policy, kStart));
    EXPECT_TRUE(policies.shared_slices().empty());
}

// A caller that would have to wait past its deadline takes no turn from others.
TEST(ServiceLimits, NobodyWaitsForATurnThatComesTooLate) {
    ServicePolicy policy{
        .limits = {.rate = {.calls = 1, .algorithm = RateAlgorithm::leaky_bucket, .burst = 100}}
    };
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(1), kStart);
    CallState first = call_at(kStart);
    EXPECT_FALSE(refusal_of(policies, first, kStart));
    for (int i = 0; i < 10; ++i) {
        CallState hasty(resilience::Deadline::in(kStart, milliseconds(900)));
        hasty.can_wait = true;
        EXPECT_EQ(refusal_of(policies, hasty, kStart)->turn_at, kNever);
    }
    CallState patient = call_at(kStart);
    patient.can_wait = true;
    EXPECT_EQ(refusal_of(policies, patient, kStart)->turn_at, kStart + seconds(1));
}

// One caller asks a hundred times as often as the nine others, of a service with ten places.
// Everybody's calls last 80 ms.
int served_of_the_quiet(std::uint32_t bulkhead) {
    ServicePolicy policy{.limits = {.requests = 10, .callers = {.requests = bulkhead}}};
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(1), kStart);
    struct Out {
        Instant ends;
        CallState call;
        HeldEndpoint held;
    };
    std::deque<Out> out;
    int served = 0;
    Instant now = kStart;
    const auto ask_as = [&](const std::string& caller) {
        CallState call = call_of(policies, caller, now);
        auto begun = policies.begin_attempt(call, now);
        auto* held = std::get_if<HeldEndpoint>(&begun);
        if (held == nullptr) return;
        if (caller != "noisy") ++served;
        out.push_back({now + milliseconds(80), std::move(call), std::move(*held)});
    };
    for (int step = 0; step < 10'000; ++step, now += milliseconds(1)) {
        while (!out.empty() && out.front().ends <= now) {
            policies.finish_attempt(std::move(out.front().held), Outcome::success, now);
            out.pop_front();
        }
        ask_as("noisy");
        if (step % 10 == 0) ask_as("quiet" + std::to_string(step / 10 % 9));
    }
    for (Out& last : out) policies.finish_attempt(std::move(last.held), Outcome::success, now);
    return served;  // of 1,000
}

// Without bulkheads who asks most often gets the places. The quiet ones need eight of them.
TEST(ServiceLimits, ANoisyCallerCannotTakeAllPlaces) {
    EXPECT_LT(served_of_the_quiet(0), 200);
    EXPECT_EQ(served_of_the_quiet(2), 1000);
    EXPECT_EQ(served_of_the_quiet(1), 1000);
}

TEST(ServiceLimits, AnOverloadedServiceIsSparedAndTheViewSaysSo) {
    ServicePolicy policy{.limits = {.throttle = {.enabled = true, .window = seconds(10)}}};
    policy.breaker.enabled = false;
    policy.outlier.enabled = false;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(2), kStart);
    Instant now = kStart;
    int refused = 0;
    for (int i = 0; i < 5000; ++i) {
        now += milliseconds(10);
        CallState call = call_at(now);
        auto begun = policies.begin_attempt(call, now);
        if (auto* none = std::get_if<NoEndpoint>(&begun)) {
            ASSERT_EQ(none->reason, NoEndpoint::Reason::throttled);
            EXPECT_EQ(policies.to_error(*none, now).code, Code::exhausted);
            ++refused;
            continue;
        }
        // It answers every other call with 503, then one in ten.
        const bool is_overload = i < 2500 ? i % 2 == 0 : i % 10 != 0;
        policies.finish_attempt(
            std::move(std::get<HeldEndpoint>(begun)),
            is_overload ? Outcome::server_error : Outcome::success,
            now,
            std::nullopt,
            is_overload
        );
        if (i == 2499) {
            EXPECT_LT(refused, 100) << "half is accepted: nothing to speak of";
        }
    }
    EXPECT_GT(policies.view(now).throttled_share, 0.6);
    EXPECT_EQ(
        policies.totals().refused[static_cast<std::size_t>(NoEndpoint::Reason::throttled)],
        static_cast<std::uint64_t>(refused)
    );
    EXPECT_EQ(policies.totals().in_flight, 0U);
}

}  // namespace
}  // namespace datapunk::mesh::policy
