// Whatever an etcd answers, and whoever wrote its values: no crash, and what is believed is in
// range.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "registry/etcd/keys.h"
#include "registry/etcd/messages.h"
#include "registry/instance_record.h"

using namespace datapunk::mesh;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view body(reinterpret_cast<const char*>(data), size);
    (void)registry::etcd::parse_range(body);
    (void)registry::etcd::parse_swap(body);
    (void)registry::etcd::parse_keepalive(body);
    (void)registry::etcd::parse_watch(body);
    (void)registry::etcd::parse_token(body);
    (void)registry::etcd::refusal(500, body);
    (void)registry::parse_claim(body);
    const auto granted = registry::etcd::parse_grant(body);
    if (granted && (granted->id.empty() || granted->ttl_s == 0)) std::abort();
    const auto key = registry::etcd::parse_instance_key("/dpmesh", body);
    if (key && registry::etcd::instance_key("/dpmesh", key->service, key->id) != body) std::abort();
    const auto record = registry::parse_record(body, "api", "one");
    if (record) {
        const ServiceEndpoint& endpoint = record->endpoint;
        if (endpoint.port == 0 || endpoint.weight == 0 || endpoint.host.empty()) std::abort();
        const auto again = registry::parse_record(registry::to_json(*record), "api", "one");
        if (!again || *again != *record) std::abort();
    }
    return 0;
}
