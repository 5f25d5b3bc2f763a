#include <benchmark/benchmark.h>

#include "catalog/catalog.h"
#include "catalog/test_support.h"

namespace datapunk::mesh::catalog {
namespace {

RegisterService instance(std::int64_t i, std::int64_t per_service) {
    RegisterService command = with_check(web("web-" + std::to_string(i)), ttl_check(""));
    command.service.name = "service" + std::to_string(i / per_service);
    command.service.address = "10.0.0.1";
    command.service.tags = {"v1", "primary"};
    command.service.meta = {{"zone", "a"}, {"version", "1.2.3"}};
    return command;
}

Catalog filled(std::int64_t services) {
    Catalog catalog;
    (void)catalog.apply(local_node()).ok();
    for (std::int64_t i = 0; i < services; ++i) (void)catalog.apply(instance(i, 40)).ok();
    return catalog;
}

// A new service with one check, in a catalog that holds so many already; taken out untimed.
void BM_Register(benchmark::State& state) {
    Catalog catalog = filled(state.range(0));
    std::int64_t next = state.range(0);
    for (auto _ : state) {
        benchmark::DoNotOptimize(catalog.apply(instance(next, 40)));
        state.PauseTiming();
        (void)catalog.apply(DeregisterService{"web-" + std::to_string(next++)}).ok();
        state.ResumeTiming();
    }
}
BENCHMARK(BM_Register)->Arg(100)->Arg(10'000)->Arg(90'000);

void BM_RegisterIdentical(benchmark::State& state) {
    Catalog catalog = filled(10'000);
    const Command command = instance(5'000, 40);
    for (auto _ : state) benchmark::DoNotOptimize(catalog.apply(command));
}
BENCHMARK(BM_RegisterIdentical);

void BM_CheckFlip(benchmark::State& state) {
    Catalog catalog = filled(10'000);
    bool passing = false;
    for (auto _ : state) {
        passing = !passing;
        benchmark::DoNotOptimize(
            catalog.apply(status("service:web-5000", passing ? Health::passing : Health::critical))
        );
    }
}
BENCHMARK(BM_CheckFlip);

void BM_HealthQueryOf40(benchmark::State& state) {
    const Catalog catalog = filled(10'000);
    for (auto _ : state) benchmark::DoNotOptimize(catalog.health_service("service125"));
}
BENCHMARK(BM_HealthQueryOf40);

void BM_WakeOneOf5000(benchmark::State& state) {
    Catalog catalog = filled(10'000);
    WaiterTable waiters;
    for (WaitToken token = 0; token < 5'000; ++token) {
        const WatchKey key{WatchTopic::health_service, "service" + std::to_string(token % 250)};
        (void)waiters.subscribe(catalog, key, 1'000'000'000, token).ok();
    }
    const std::vector<WatchKey> touched = {{WatchTopic::health_service, "service300"}};
    for (auto _ : state) benchmark::DoNotOptimize(waiters.wake(catalog, touched));
}
BENCHMARK(BM_WakeOneOf5000);

void BM_EncodeCommand(benchmark::State& state) {
    const Command command = instance(1, 40);
    for (auto _ : state) benchmark::DoNotOptimize(encode(command));
}
BENCHMARK(BM_EncodeCommand);

void BM_Snapshot10000(benchmark::State& state) {
    const Catalog catalog = filled(10'000);
    for (auto _ : state) benchmark::DoNotOptimize(catalog.encode_state());
}
BENCHMARK(BM_Snapshot10000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace datapunk::mesh::catalog
