// What recording costs: the bound is 5 ns for a histogram on a loop's own shard.

#include <benchmark/benchmark.h>

#include "core/rng.h"
#include "metrics/exposition.h"
#include "metrics/names.h"

namespace datapunk::mesh::metrics {
namespace {

MetricRegistry& shared_registry() {
    static MetricRegistry registry;
    return registry;
}

void CounterAdd(benchmark::State& state) {
    MetricRegistry& registry = shared_registry();
    const Shard shard = state.range(0) == 1 ? registry.claim_shard() : Shard{};
    const Counter counter = registry.counter(names::kRequests, {"api_service", "2xx"}, shard);
    for (auto _ : state) counter.add();
}

BENCHMARK(CounterAdd)->ArgName("exclusive")->Arg(1)->Arg(0)->Threads(1)->Threads(2);

void HistogramRecord(benchmark::State& state) {
    MetricRegistry& registry = shared_registry();
    const Shard shard = state.range(0) == 1 ? registry.claim_shard() : Shard{};
    const Histogram histogram = registry.histogram(names::kRequestDuration, {"api"}, shard);
    core::Rng rng(7);
    Duration values[1024];
    for (Duration& value : values)
        value = Duration(static_cast<std::int64_t>(rng.below(50'000'000)));
    std::size_t i = 0;
    for (auto _ : state) histogram.record(values[i++ & 1023U]);
}

BENCHMARK(HistogramRecord)->ArgName("exclusive")->Arg(1)->Arg(0)->Threads(1)->Threads(2);

void LookUp(benchmark::State& state) {
    MetricRegistry registry;
    for (auto _ : state)
        benchmark::DoNotOptimize(registry.counter(names::kRequests, {"api_service", "2xx"}));
}

BENCHMARK(LookUp);

void SnapshotAndExpose(benchmark::State& state) {
    MetricRegistry registry;
    std::vector<Histogram> held;
    for (int i = 0; i < state.range(0); ++i) {
        held.push_back(registry.histogram(names::kRequestDuration, {std::to_string(i)}));
        held.back().record(std::chrono::milliseconds(i));
    }
    for (auto _ : state)
        benchmark::DoNotOptimize(expose(registry.snapshot(), ExpositionFormat::prometheus));
}

BENCHMARK(SnapshotAndExpose)->ArgName("series")->Arg(10)->Arg(1000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace datapunk::mesh::metrics
