// What the library costs a caller: a lease taken and reported, against one clock reading.

#include <benchmark/benchmark.h>
#include <datapunk/mesh/mesh.h>

#include <chrono>

namespace datapunk::mesh {
namespace {

ServiceMesh mesh_of(std::size_t endpoints) {
    Fixed fixed;
    for (std::size_t i = 0; i < endpoints; ++i) {
        fixed.services["api_service"].push_back(
            {.host = "10.0.0.1", .port = static_cast<std::uint16_t>(i + 1)}
        );
    }
    return ServiceMesh::create({.registry = std::move(fixed), .log_level = LogLevel::off}).value();
}

void clock_gettime(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(std::chrono::steady_clock::now());
}

BENCHMARK(clock_gettime);

ServiceMesh& shared_mesh() {
    static ServiceMesh mesh = mesh_of(100);
    return mesh;
}

void lease_and_report(benchmark::State& state) {
    const Service api = shared_mesh().service("api_service").value();
    for (auto _ : state) api.get_service_instance()->report(Outcome::success);
}

BENCHMARK(lease_and_report)->Threads(1)->Threads(2);

void lease_by_name(benchmark::State& state) {
    ServiceMesh& mesh = shared_mesh();
    for (auto _ : state) mesh.get_service_instance("api_service")->report(Outcome::success);
}

BENCHMARK(lease_by_name);

void call(benchmark::State& state) {
    const Service api = shared_mesh().service("api_service").value();
    for (auto _ : state) {
        auto answer =
            api.call<int>([](const ServiceEndpoint&, Attempt&) -> Result<int> { return 1; });
        benchmark::DoNotOptimize(answer);
    }
}

BENCHMARK(call)->Threads(1)->Threads(2);

}  // namespace
}  // namespace datapunk::mesh
