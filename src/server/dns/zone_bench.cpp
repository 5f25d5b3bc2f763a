// What one DNS answer costs, from bytes to bytes.

#include <benchmark/benchmark.h>

#include "server/dns/zone.h"

namespace datapunk::mesh::server::dns {
namespace {

void answer(benchmark::State& state) {
    const auto instances = static_cast<int>(state.range(0));
    const auto type = static_cast<wire::dns::DnsType>(state.range(1));
    catalog::Catalog catalog;
    catalog::SetLocalNode local;
    local.node.name = "n1";
    local.node.address = "127.0.0.1";
    static_cast<void>(catalog.apply(local));
    for (int i = 0; i < instances; ++i) {
        catalog::RegisterService command;
        command.service.id = "web" + std::to_string(i);
        command.service.name = "web";
        command.service.address = "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250);
        command.service.port = 80;
        static_cast<void>(catalog.apply(command));
    }
    Zone zone(catalog, DnsDoorConfig{}, core::Rng(1));
    wire::dns::DnsMessage query{.id = 1};
    query.questions.push_back(
        {.name = *wire::dns::DnsName::parse("web.service.consul"), .type = type}
    );
    query.edns = wire::dns::Edns{};
    const std::string bytes = *wire::dns::encode(query);
    std::size_t size = 0;
    for (auto _ : state) size = zone.answer(bytes, Asked{}).size();
    state.counters["bytes"] = static_cast<double>(size);
}

void arguments(benchmark::internal::Benchmark* benchmark) {
    for (const int instances : {1, 3, 40, 1'000, 10'000}) {
        for (const auto type : {wire::dns::DnsType::a, wire::dns::DnsType::srv}) {
            benchmark->Args({instances, static_cast<int>(type)});
        }
    }
}

BENCHMARK(answer)->Apply(arguments);

}  // namespace
}  // namespace datapunk::mesh::server::dns
