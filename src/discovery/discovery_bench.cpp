// What an answer costs on the control loop: settling it and telling the watchers what changed.

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "discovery/endpoint_diff.h"
#include "discovery/endpoint_index.h"
#include "discovery/removal_hold.h"
#include "discovery/service_discovery.h"
#include "io/epoll_loop.h"

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

// The same when no id has come or gone: one walk.
void OneOfManyChangedInPlace(benchmark::State& state) {
    const auto before = endpoints(state.range(0));
    auto fresh = before;
    fresh[fresh.size() / 2].weight = 7;
    for (auto _ : state) {
        const auto places = changed_places(before, fresh);
        benchmark::DoNotOptimize(places->size());
    }
}

BENCHMARK(OneOfManyChangedInPlace)->Arg(10)->Arg(1'000)->Arg(10'000);

// What nobody can spare: the set that is not current any more is given back to the heap.
void FreeASet(benchmark::State& state) {
    const auto all = endpoints(state.range(0));
    for (auto _ : state) {
        state.PauseTiming();
        auto old = std::make_unique<std::vector<ServiceEndpoint>>(all);
        state.ResumeTiming();
        old.reset();
    }
}

BENCHMARK(FreeASet)->Arg(10'000);

// A registry in a variable: `change` moves the index and one endpoint's weight.
class Variable final : public registry::ReadOnlyBackend {
  public:
    Variable(io::Loop& loop, std::int64_t count) : changed_(loop), endpoints_(endpoints(count)) {}

    std::string_view kind() const noexcept override { return "variable"; }

    io::Task<Result<registry::Answer>> wait(
        std::string, std::uint64_t after, Duration, Instant deadline
    ) override {
        while (after == index_) co_await changed_.wait(deadline);
        co_return registry::Answer{.endpoints = std::move(next_), .index = index_};
    }

    io::Task<Result<std::vector<registry::ServiceSummary>>> services(Instant) override {
        co_return std::vector<registry::ServiceSummary>();
    }

    // What parsing an answer would have made, made outside of what is measured.
    void prepare() {
        endpoints_[endpoints_.size() / 2].weight = static_cast<std::uint32_t>(index_ % 1000) + 1;
        next_ = endpoints_;
    }

    void change() {
        ++index_;
        changed_.set();
        changed_.clear();
    }

  private:
    io::Event changed_;
    std::vector<ServiceEndpoint> endpoints_;
    std::vector<ServiceEndpoint> next_;
    std::uint64_t index_ = 1;
};

// From the registry's answer to the watcher's callback: the loop turned, the old set freed.
void OneChangeThroughDiscovery(benchmark::State& state) {
    const auto loop = *io::EpollLoop::create();
    Variable registry(*loop, state.range(0));
    ServiceDiscoveryConfig config;
    config.queries_per_second = 1000;
    ServiceDiscovery discovery(*loop, registry, config, core::Logger());
    std::size_t called = 0;
    registry.prepare();
    registry.change();
    const Watch watch = *discovery.watch("api", [&](const EndpointChange& change) {
        called += change.changed.size() + change.added.size();
    });
    while (called == 0) loop->turn(loop->now());
    for (auto _ : state) {
        state.PauseTiming();
        // The pace of questions is not what is measured.
        for (const Instant end = loop->now() + std::chrono::milliseconds(3); loop->now() < end;) {
            loop->turn(loop->now());
        }
        registry.prepare();
        called = 0;
        state.ResumeTiming();
        registry.change();
        while (called == 0) loop->turn(loop->now());
    }
}

BENCHMARK(OneChangeThroughDiscovery)->Arg(10)->Arg(1'000)->Arg(10'000);

// A look-up of what is known, among a thousand services.
void CachedLookup(benchmark::State& state) {
    const auto loop = *io::EpollLoop::create();
    Variable registry(*loop, 10);
    ServiceDiscovery discovery(*loop, registry, {}, core::Logger());
    std::vector<Watch> watches;
    std::vector<std::string> names;
    for (int i = 0; i < 1'000; ++i) names.push_back(fmt::format("service-{:04}", i));
    registry.prepare();
    registry.change();
    for (const std::string& name : names) {
        watches.push_back(*discovery.watch(name, [](const EndpointChange&) {}));
    }
    const auto is_known = [&](const std::string& name) { return discovery.known(name) != nullptr; };
    while (!std::all_of(names.begin(), names.end(), is_known)) loop->turn(loop->now());
    std::size_t at = 0;
    for (auto _ : state) {
        const EndpointSetPtr set = discovery.known(names[at]);
        benchmark::DoNotOptimize(set.get());
        at = at + 1 == names.size() ? 0 : at + 1;
    }
}

BENCHMARK(CachedLookup);

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
