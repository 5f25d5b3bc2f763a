// The retry decision of ServicePolicies::after_attempt, and what it does to a service that is down.

#include <gmock/gmock.h>

#include <set>

#include "policy/service_policies.h"
#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Reason = resilience::RetryReason;

constexpr Instant kStart{};

ServicePolicy plain() {
    ServicePolicy policy;
    policy.breaker.enabled = false;
    policy.outlier.enabled = false;
    return policy;
}

TEST(Retry, UsesTheCallsOwnAttemptsAndDeadline) {
    ServicePolicy policy = plain();
    policy.retry.retry_after_max = seconds(20);
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(3), kStart);
    CallState call = call_at(kStart);
    resilience::AttemptEnd end{.outcome = Outcome::server_error, .idempotent = true};
    const auto fail_one = [&] {
        auto begun = policies.begin_attempt(call, kStart);
        policies.finish_attempt(std::move(std::get<HeldEndpoint>(begun)), end.outcome, kStart);
        return policies.after_attempt(call, end, kStart);
    };
    EXPECT_EQ(fail_one().reason, Reason::retry);
    end.retry_after = seconds(15);
    EXPECT_EQ(fail_one().reason, Reason::deadline);
    end.retry_after = std::nullopt;
    EXPECT_EQ(fail_one().reason, Reason::attempts_used);
    EXPECT_EQ(policies.totals().retries, 1U);
    EXPECT_EQ(policies.totals().calls, 1U);
    EXPECT_EQ(policies.totals().attempts, 3U);
}

TEST(Retry, NeverTheSameEndpointWhileAnotherIsLeft) {
    ServicePolicies policies("api_service", plain(), 4);
    policies.update(test_set(3), kStart);
    for (int round = 0; round < 200; ++round) {
        CallState call = call_at(kStart);
        std::set<std::string> asked;
        for (int i = 0; i < 3; ++i) {
            auto begun = policies.begin_attempt(call, kStart);
            auto& attempt = std::get<HeldEndpoint>(begun);
            asked.insert(attempt.endpoint().id);
            policies.finish_attempt(std::move(attempt), Outcome::server_error, kStart);
        }
        ASSERT_EQ(asked.size(), 3U);
        // All have been tried: better one of them than none.
        ASSERT_TRUE(std::holds_alternative<HeldEndpoint>(policies.begin_attempt(call, kStart)));
    }
}

TEST(Retry, DecorrelatedJitterGrowsFromTheWaitBefore) {
    ServicePolicy policy = plain();
    policy.retry.attempts = 10;
    policy.retry.backoff = {
        .base = milliseconds(1), .max = seconds(10), .kind = BackoffKind::decorrelated_jitter
    };
    policy.retry.budget.min_per_second = 1000;
    ServicePolicies policies("api_service", policy, 4);
    policies.update(test_set(3), kStart);
    Duration longest{};
    for (int round = 0; round < 100; ++round) {
        CallState call = call_at(kStart);
        Duration before{};
        for (int i = 0; i < 9; ++i) {
            auto begun = policies.begin_attempt(call, kStart);
            policies.finish_attempt(
                std::move(std::get<HeldEndpoint>(begun)), Outcome::server_error, kStart
            );
            const auto again = policies.after_attempt(
                call, {.outcome = Outcome::server_error, .idempotent = true}, kStart
            );
            ASSERT_EQ(again.reason, Reason::retry);
            ASSERT_GE(again.wait, milliseconds(1));
            ASSERT_LE(again.wait, std::max<Duration>(before * 3, milliseconds(1)));
            before = again.wait;
        }
        longest = std::max(longest, before);
    }
    // Nine steps of a factor of two in the mean: it did grow from the wait before.
    EXPECT_GT(longest, milliseconds(50));
}

TEST(Retry, ATotalOutageIsAmplifiedByNoMoreThanTheBudget) {
    ServicePolicy policy = plain();
    policy.retry.attempts = 10;
    ServicePolicies policies("api_service", policy, 4);
    policies.update(test_set(5), kStart);
    const resilience::AttemptEnd end{.outcome = Outcome::server_error, .idempotent = true};
    constexpr int kCalls = 20'000;  // 1000/s for 20 s
    for (int i = 0; i < kCalls; ++i) {
        const Instant now = at(milliseconds(i));
        CallState call = call_at(now);
        resilience::RetryDecision again{.reason = Reason::retry};
        while (again) {
            auto begun = policies.begin_attempt(call, now);
            policies.finish_attempt(
                std::move(std::get<HeldEndpoint>(begun)), Outcome::server_error, now
            );
            again = policies.after_attempt(call, end, now);
        }
    }
    const ServiceTotals totals = policies.totals();
    EXPECT_EQ(totals.calls, static_cast<std::uint64_t>(kCalls));
    // 20 % of the calls, 3/s for 20 s, and one window's reserve.
    EXPECT_LE(totals.retries, kCalls * 0.2 + 3 * 20 + 3 * 10);
    EXPECT_GE(totals.retries, kCalls * 0.2 * 0.9);
    EXPECT_EQ(totals.attempts, totals.calls + totals.retries);
    EXPECT_GE(totals.retries_refused, kCalls * 0.99);
}

}  // namespace
}  // namespace datapunk::mesh::policy
