// What every call pays for resilience, without the balancer.

#include <benchmark/benchmark.h>

#include "resilience/circuit_breaker.h"
#include "resilience/concurrency_limit.h"
#include "resilience/outlier_ejection.h"
#include "resilience/retry_budget.h"

namespace datapunk::mesh::resilience {
namespace {

void BreakerCall(benchmark::State& state) {
    CircuitBreaker breaker({});
    Instant now{};
    for (auto _ : state) {
        now += std::chrono::microseconds(10);
        const auto permit = breaker.try_acquire(now);
        breaker.on_success(permit, now);
    }
}
BENCHMARK(BreakerCall);

void BreakerOpenRefuses(benchmark::State& state) {
    CircuitBreaker breaker({});
    breaker.force(BreakerForce::open, Instant{});
    for (auto _ : state) benchmark::DoNotOptimize(breaker.try_acquire(Instant{}).admitted);
}
BENCHMARK(BreakerOpenRefuses);

void BudgetDeposit(benchmark::State& state) {
    static RetryBudget budget({});
    Instant now{};
    for (auto _ : state) {
        now += std::chrono::microseconds(10);
        budget.deposit(now, static_cast<unsigned>(state.thread_index()));
    }
}
BENCHMARK(BudgetDeposit)->Threads(1)->Threads(2);

void BudgetWithdraw(benchmark::State& state) {
    RetryBudget budget({});
    Instant now{};
    for (auto _ : state) {
        now += std::chrono::microseconds(10);
        benchmark::DoNotOptimize(budget.try_withdraw(now));
    }
}
BENCHMARK(BudgetWithdraw);

void ConcurrencyAcquireRelease(benchmark::State& state) {
    ConcurrencyLimit limit(1024);
    for (auto _ : state) {
        benchmark::DoNotOptimize(limit.try_acquire());
        limit.release();
    }
}
BENCHMARK(ConcurrencyAcquireRelease);

void OutlierSweep(benchmark::State& state) {
    std::vector<OutlierStats> stats(static_cast<std::size_t>(state.range(0)));
    std::vector<OutlierStats*> all;
    for (OutlierStats& one : stats) all.push_back(&one);
    for (auto _ : state) {
        for (OutlierStats& one : stats) one.successes = 100;
        benchmark::DoNotOptimize(sweep(all, {}, Instant{}));
    }
}
BENCHMARK(OutlierSweep)->Arg(10)->Arg(10'000);

}  // namespace
}  // namespace datapunk::mesh::resilience
