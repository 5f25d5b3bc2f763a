// The whole cycle allocates nothing: counted by this program's own operator new.

#include <gtest/gtest.h>

#include <atomic>

#include "core/test_allocations.h"
#include "policy/service_policies.h"
#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

std::uint64_t allocations_of_calls(const BalanceConfig& balance, Outcome outcome, int calls) {
    ServicePolicy policy{.balance = balance};
    policy.breaker.consecutive = 0;
    policy.breaker.failure_rate = 1;
    policy.outlier.enabled = false;
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(100), Instant{});
    CallState warm_up = call_at(Instant{});
    std::get<HeldEndpoint>(policies.begin_attempt(warm_up, Instant{}));
    const std::uint64_t before = core::test_allocations::total;
    for (int i = 0; i < calls; ++i) {
        const Instant now = at(std::chrono::milliseconds(i));
        CallState call = call_at(now);
        auto begun = policies.begin_attempt(call, now);
        // Failing now and then, so that no breaker trips.
        const Outcome ended = i % 3 == 0 ? outcome : Outcome::success;
        policies.finish_attempt(std::move(std::get<HeldEndpoint>(begun)), ended, now);
        const resilience::AttemptEnd end{.outcome = ended, .idempotent = true};
        const auto again = policies.after_attempt(call, end, now);
        EXPECT_NE(again.reason, resilience::RetryReason::cancelled);
    }
    return core::test_allocations::total - before;
}

// Nor do rates and bulkheads, of all and of a caller that is known.
TEST(Allocation, ACallUnderRatesAndBulkheadsAllocatesNothing) {
    if (!core::test_allocations::kIsCounting) GTEST_SKIP() << "the sanitizer allocates";
    for (const auto algorithm :
         {RateAlgorithm::token_bucket, RateAlgorithm::leaky_bucket, RateAlgorithm::sliding_window
         }) {
        const RateLimitConfig rate{.calls = 10'000, .algorithm = algorithm};
        ServicePolicy policy{.limits = {.rate = rate, .callers = {.rate = rate, .requests = 5}}};
        policy.limits.throttle.enabled = true;
        ServicePolicies policies("api_service", policy, 1);
        policies.update(test_set(10), Instant{});
        const std::uint64_t caller = policies.call_limits()->caller_key(CallerKind::told, "a");
        std::uint64_t before = 0;
        for (int i = 0; i < 1000; ++i) {
            const Instant now = at(std::chrono::milliseconds(i));
            CallState call = call_at(now);
            call.caller = caller;
            auto begun = policies.begin_attempt(call, now);
            policies.finish_attempt(
                std::move(std::get<HeldEndpoint>(begun)), Outcome::success, now
            );
            if (i == 0) before = core::test_allocations::total;
        }
        EXPECT_EQ(core::test_allocations::total - before, 0U);
    }
}

TEST(Allocation, ACallAllocatesNothing) {
    if (!core::test_allocations::kIsCounting) GTEST_SKIP() << "the sanitizer allocates";
    const std::unique_ptr<int> counter_works(new int(1));
    EXPECT_GT(core::test_allocations::total.load(), 0U);
    for (const BalanceConfig& balance :
         {BalanceConfig{PeakEwma{}},
          BalanceConfig{LeastRequest{}},
          BalanceConfig{RoundRobin{}},
          BalanceConfig{WeightedRoundRobin{}},
          BalanceConfig{Random{}}}) {
        EXPECT_EQ(allocations_of_calls(balance, Outcome::success, 2000), 0U) << balance.index();
        EXPECT_EQ(allocations_of_calls(balance, Outcome::timeout, 2000), 0U) << balance.index();
    }
}

}  // namespace
}  // namespace datapunk::mesh::policy
