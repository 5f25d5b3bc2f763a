// What noting a decision costs on every call, against clock_gettime in the same run: the goal is
// 150 ns. And what making the text costs, which only those pay who ask.

#include <benchmark/benchmark.h>

#include <ctime>

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

BENCHMARK(clock_gettime);

void note_a_decision(benchmark::State& bench) {
    DecisionRing ring;
    Decision decision{.known = 10, .compared = 2};
    for (auto _ : bench) {
        decision.when_ns += 1000;
        benchmark::DoNotOptimize(ring.push(decision));
    }
}

BENCHMARK(note_a_decision);

// A failed attempt, the decision not to retry it, both noted.
void refuse_a_retry(benchmark::State& bench) {
    ServicePolicy policy;
    policy.breaker.enabled = false;
    policy.outlier.enabled = false;
    policy.retry.budget = {.ratio = 0, .min_per_second = 0};
    ServicePolicies policies("api_service", policy, 1);
    policies.update(test_set(10), Instant{});
    std::int64_t ns = 0;
    for (auto _ : bench) {
        const Instant now{Duration(ns += 1000)};
        CallState call = call_at(now);
        auto begun = policies.begin_attempt(call, now);
        policies.finish_attempt(
            std::move(std::get<HeldEndpoint>(begun)), Outcome::server_error, now
        );
        const resilience::AttemptEnd end{.outcome = Outcome::server_error, .idempotent = true};
        benchmark::DoNotOptimize(policies.after_attempt(call, end, now));
    }
}

BENCHMARK(refuse_a_retry);

void explain_in_words(benchmark::State& bench) {
    ServicePolicies policies("api_service", {}, 1);
    policies.update(test_set(10), Instant{});
    CallState call = call_at(Instant{});
    auto begun = policies.begin_attempt(call, Instant{});
    auto& attempt = std::get<HeldEndpoint>(begun);
    for (auto _ : bench) benchmark::DoNotOptimize(policies.explain(attempt, Instant{}));
    policies.finish_attempt(std::move(attempt), Outcome::success, Instant{});
}

BENCHMARK(explain_in_words);

}  // namespace
}  // namespace datapunk::mesh::policy
