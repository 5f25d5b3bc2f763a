// What an answer costs on the control loop: settling it and telling the watchers what changed.

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "discovery/endpoint_diff.h"
#include "discovery/endpoint_index.h"
#include "discovery/removal_hold.h"

namespace datapunk::mesh::discovery {
namespace {

std::vector<ServiceEndpoint> endpoints(std::int64_t count) {
    std::vector<ServiceEndpoint> out;
    for (std::int64_t i = 0; i < count; ++i) {
        out.push_back(
            {.id = fmt::format("api-10.0.{}.{}-{:06}", i / 250, i % 250, i),
             .service = "api",
             .host = "10.0.0.1",
             .port = 80,
             .tags = {"v1"},
             .metadata = {{"zone", fmt::format("z{}", i % 100)}},
             .node = "n1"}
        );
    }
    const auto by_id = [](const auto& a, const auto& b) { return a.id < b.id; };
    std::sort(out.begin(), out.end(), by_id);
    return out;
}

void OneOfManyChanged(benchmark::State& state) {
    const auto before = std::make_shared<EndpointSet>();
    before->endpoints = endpoints(state.range(0));
    auto fresh = before->endpoints;
    fresh[fresh.size() / 2].weight = 7;
    RemovalHold hold(0.5, std::chrono::seconds(3));
    auto after = std::make_shared<EndpointSet>();
    for (auto _ : state) {
        after->endpoints = hold.settle(before->endpoints, std::move(fresh), Instant());
        const bool same = is_same(before->endpoints, after->endpoints);
        const EndpointChange change = difference(before.get(), after);
        benchmark::DoNotOptimize(same);
        benchmark::DoNotOptimize(change.changed.size());
        fresh = std::move(after->endpoints);
    }
}

BENCHMARK(OneOfManyChanged)->Arg(10)->Arg(1'000)->Arg(10'000);

// A filter that was not asked before, in a set that is indexed already: 1 in 100 matches.
void SelectByZone(benchmark::State& state) {
    const auto set = std::make_shared<EndpointSet>();
    set->endpoints = endpoints(state.range(0));
    EndpointIndex index;
    std::uint64_t round = 0;
    for (auto _ : state) {
        DiscoveryFilter filter{.zone = fmt::format("z{}", round++ % 100)};
        benchmark::DoNotOptimize(index.select(set, filter)->endpoints.size());
    }
}

BENCHMARK(SelectByZone)->Arg(1'000)->Arg(10'000);

// The same by looking at each endpoint.
void ScanForZone(benchmark::State& state) {
    const auto all = endpoints(state.range(0));
    std::uint64_t round = 0;
    for (auto _ : state) {
        const DiscoveryFilter filter{.zone = fmt::format("z{}", round++ % 100)};
        std::vector<ServiceEndpoint> found;
        for (const ServiceEndpoint& endpoint : all) {
            if (filter.matches(endpoint)) found.push_back(endpoint);
        }
        benchmark::DoNotOptimize(found.size());
    }
}

BENCHMARK(ScanForZone)->Arg(1'000)->Arg(10'000);

void IndexAndSelect(benchmark::State& state) {
    const auto set = std::make_shared<EndpointSet>();
    set->endpoints = endpoints(state.range(0));
    for (auto _ : state) {
        EndpointIndex index;
        benchmark::DoNotOptimize(index.select(set, {.zone = "z1"})->endpoints.size());
    }
}

BENCHMARK(IndexAndSelect)->Arg(10'000);

}  // namespace
}  // namespace datapunk::mesh::discovery
