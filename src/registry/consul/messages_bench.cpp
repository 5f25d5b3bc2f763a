// Reading a health answer, per instance of the size that Consul sends (about 1 kB).

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "registry/consul/messages.h"

namespace datapunk::mesh::registry::consul {
namespace {

std::string health_body(std::int64_t instances) {
    std::string body = "[";
    for (std::int64_t i = 0; i < instances; ++i) {
        body += fmt::format(
            R"({}{{"Node":{{"ID":"3ad04841-5af7-3d3a-a1b9-971a56da8f32","Node":"ref1","Address":"127.0.0.1","Datacenter":"dc1","TaggedAddresses":{{"lan":"127.0.0.1","lan_ipv4":"127.0.0.1","wan":"127.0.0.1","wan_ipv4":"127.0.0.1"}},"Meta":{{"consul-network-segment":""}},"CreateIndex":13,"ModifyIndex":17}},"Service":{{"ID":"a{}","Service":"api","Tags":["v1"],"Address":"10.0.0.1","Meta":{{"zone":"a"}},"Port":81,"Weights":{{"Passing":1,"Warning":1}},"EnableTagOverride":false,"Proxy":{{"Mode":"","MeshGateway":{{}},"Expose":{{}}}},"Connect":{{}},"CreateIndex":45,"ModifyIndex":45}},"Checks":[{{"Node":"ref1","CheckID":"serfHealth","Name":"Serf Health Status","Status":"passing","Notes":"","Output":"Agent alive and reachable","ServiceID":"","ServiceName":"","ServiceTags":[],"Type":"","Definition":{{}},"CreateIndex":13,"ModifyIndex":13}},{{"Node":"ref1","CheckID":"service:a1","Name":"Service 'api' check","Status":"passing","Notes":"","Output":"","ServiceID":"a1","ServiceName":"api","ServiceTags":["v1"],"Type":"ttl","Definition":{{}},"CreateIndex":45,"ModifyIndex":45}}]}})",
            i == 0 ? "" : ",",
            i
        );
    }
    return body + "]";
}

void ParseHealth(benchmark::State& state) {
    const std::string body = health_body(state.range(0));
    for (auto _ : state) {
        const auto endpoints = parse_health(body);
        benchmark::DoNotOptimize(endpoints->size());
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
    state.SetItemsProcessed(state.iterations() * state.range(0));
}

BENCHMARK(ParseHealth)->Arg(10)->Arg(100)->Arg(10'000);

}  // namespace
}  // namespace datapunk::mesh::registry::consul
