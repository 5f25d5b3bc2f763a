// One whole cycle, begin_attempt + finish_attempt, against clock_gettime in the same run; by 1 and
// 2 threads. The goal is at most 2.5 x the clock.

#include <benchmark/benchmark.h>

#include <ctime>
#include <memory>

#include "policy/service_policies.h"
#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

void clock_gettime(benchmark::State& bench) {
    timespec time{};
    for (auto _ : bench) {
        clock_gettime(CLOCK_MONOTONIC, &time);
        benchmark::DoNotOptimize(time);
    }
}

BENCHMARK(clock_gettime)->Threads(1)->Threads(2);

ServicePolicies& shared_policies(std::size_t size, const BalanceConfig& balance) {
    static std::unique_ptr<ServicePolicies> policies;
    ServicePolicy policy{.balance = balance};
    policies = std::make_unique<ServicePolicies>("api_service", policy, 1);
    policies->update(test_set(size), Instant{});
    return *policies;
}

void cycle(benchmark::State& bench, const BalanceConfig& balance) {
    static ServicePolicies* policies;
    if (bench.thread_index() == 0) {
        policies = &shared_policies(static_cast<std::size_t>(bench.range(0)), balance);
    }
    std::int64_t ns = 0;
    for (auto _ : bench) {
        const Instant now{Duration(ns += 1000)};  // a call a microsecond
        CallState call = call_at(now);
        auto begun = policies->begin_attempt(call, now);
        policies->finish_attempt(
            std::move(std::get<HeldEndpoint>(begun)),
            Outcome::success,
            now + std::chrono::microseconds(500)
        );
    }
}

BENCHMARK_CAPTURE(cycle, peak_ewma, PeakEwma{})
    ->RangeMultiplier(10)
    ->Range(10, 10'000)
    ->Threads(1)
    ->Threads(2);
BENCHMARK_CAPTURE(cycle, least_request, LeastRequest{})
    ->Arg(10)
    ->Arg(10'000)
    ->Threads(1)
    ->Threads(2);
BENCHMARK_CAPTURE(cycle, round_robin, RoundRobin{})->Arg(10)->Arg(10'000)->Threads(1)->Threads(2);

// One of 10,000 endpoints changes. The goal is 1 ms.
void update_one(benchmark::State& bench) {
    ServicePolicies policies("api_service", {}, 1);
    EndpointSet set = test_set(static_cast<std::size_t>(bench.range(0)));
    for (auto _ : bench) {
        auto& health = set.endpoints[set.endpoints.size() / 2].health;
        health = health == Health::passing ? Health::critical : Health::passing;
        policies.update(set, Instant{});
    }
}

BENCHMARK(update_one)->Arg(10)->Arg(10000);

// Weights renewed, as every second while they change with time.
void renew_weights(benchmark::State& bench) {
    ServicePolicies policies("api_service", {.balance = WeightedResponseTime{}}, 1);
    policies.update(test_set(static_cast<std::size_t>(bench.range(0))), Instant{});
    Instant now{};
    for (auto _ : bench) policies.tick(now += std::chrono::seconds(1));
}

BENCHMARK(renew_weights)->Arg(10)->Arg(10000);

}  // namespace
}  // namespace datapunk::mesh::policy
