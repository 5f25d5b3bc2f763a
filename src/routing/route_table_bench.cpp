// What a proxied request pays for its route.

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "routing/route_table.h"

namespace datapunk::mesh::routing {
namespace {

RouteTable table_of(std::int64_t routes) {
    std::vector<Route> list;
    for (std::int64_t i = 0; i < routes; ++i) {
        list.push_back({
            .name = "r" + std::to_string(i),
            .hosts = {"h" + std::to_string(i % 10) + ".example.com"},
            .path_prefix = "/api/v1/" + std::to_string(i),
            .service = "s",
        });
    }
    return RouteTable::create(std::move(list)).value();
}

void FindRoute(benchmark::State& state) {
    const RouteTable table = table_of(state.range(0));
    const RouteRequest request{
        .host = "h3.example.com:8080",
        .path = "/api/v1/3/users/42?fields=name",
        .method = "GET",
    };
    for (auto _ : state) benchmark::DoNotOptimize(table.find(request).route);
}
BENCHMARK(FindRoute)->Arg(10)->Arg(10'000);

// A path made to cost lookups: 8 KiB of slashes.
void FindInHostilePath(benchmark::State& state) {
    const RouteTable table = table_of(10'000);
    const std::string path(8192, '/');
    const RouteRequest request{.host = "h3.example.com", .path = path, .method = "GET"};
    for (auto _ : state) benchmark::DoNotOptimize(table.find(request).why);
}
BENCHMARK(FindInHostilePath);

void BuildTable(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(table_of(state.range(0)));
}
BENCHMARK(BuildTable)->Arg(10'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace datapunk::mesh::routing
