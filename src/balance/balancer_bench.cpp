// Nanoseconds per pick by table size. P2C and round robin must stay flat (but for cache misses).

#include <benchmark/benchmark.h>

#include "balance/grouped_balancer.h"
#include "balance/peak_ewma.h"
#include "balance/test_fleet.h"

namespace datapunk::mesh::balance {
namespace {

void pick(benchmark::State& bench, const BalanceConfig& config, bool weighted) {
    const auto size = static_cast<std::size_t>(bench.range(0));
    std::vector<std::uint32_t> weights(size, 1);
    core::Rng rng(1);
    if (weighted) {
        for (auto& weight : weights) weight = static_cast<std::uint32_t>(1 + rng.below(100));
    }
    TestFleet fleet(weights);
    for (std::size_t i = 0; i < size; ++i) {
        record_answer(
            fleet[i], {}, std::chrono::microseconds(900 + rng.below(200)), false, at_ms(0)
        );
    }
    const Balancer balancer(config, fleet.candidates());
    PickState state(2);
    const PickQuery query{.now = at_ms(100)};
    for (auto _ : bench) benchmark::DoNotOptimize(balancer.pick(query, state));
}

BENCHMARK_CAPTURE(pick, peak_ewma, PeakEwma{}, false)->Arg(10)->Arg(1000)->Arg(10000);
BENCHMARK_CAPTURE(pick, peak_ewma_weighted, PeakEwma{}, true)->Arg(10)->Arg(1000)->Arg(10000);
BENCHMARK_CAPTURE(pick, least_request, LeastRequest{}, false)->Arg(10)->Arg(1000)->Arg(10000);
BENCHMARK_CAPTURE(pick, round_robin, RoundRobin{}, false)->Arg(10)->Arg(1000)->Arg(10000);
BENCHMARK_CAPTURE(pick, weighted_round_robin, WeightedRoundRobin{}, true)
    ->Arg(10)
    ->Arg(1000)
    ->Arg(10000);
BENCHMARK_CAPTURE(pick, static_stride, StaticStride{}, true)->Arg(10)->Arg(1000)->Arg(10000);
BENCHMARK_CAPTURE(pick, random_weighted, Random{}, true)->Arg(10)->Arg(1000)->Arg(10000);

// Own zone, other zone, and those that nobody asks.
void pick_in_groups(benchmark::State& bench, const BalanceConfig& config) {
    const TestFleet fleet(300);
    std::vector<GroupedBalancer::Group> groups(3);
    for (std::size_t i = 0; i < 300; ++i) {
        groups[i / 100].candidates.push_back(fleet.candidates()[i]);
    }
    groups[0].share = 0.7;
    groups[1].share = 0.3;
    groups[2].share = 0;
    const GroupedBalancer balancer(config, std::move(groups));
    PickState state(2);
    const PickQuery query{.now = at_ms(100)};
    for (auto _ : bench) benchmark::DoNotOptimize(balancer.pick(query, state));
}

BENCHMARK_CAPTURE(pick_in_groups, peak_ewma, PeakEwma{});

void build(benchmark::State& bench, const BalanceConfig& config) {
    std::vector<std::uint32_t> weights(static_cast<std::size_t>(bench.range(0)));
    core::Rng rng(1);
    for (auto& weight : weights) weight = static_cast<std::uint32_t>(1 + rng.below(100));
    const TestFleet fleet(weights);
    for (auto _ : bench) benchmark::DoNotOptimize(Balancer(config, fleet.candidates()));
}

BENCHMARK_CAPTURE(build, peak_ewma, PeakEwma{})->Arg(10)->Arg(10000);
BENCHMARK_CAPTURE(build, weighted_round_robin, WeightedRoundRobin{})->Arg(10)->Arg(10000);

}  // namespace
}  // namespace datapunk::mesh::balance
