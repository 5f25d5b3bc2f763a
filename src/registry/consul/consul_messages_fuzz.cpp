// Whatever a registry answers: no crash, and what is believed is in range.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "registry/consul/messages.h"

using namespace datapunk::mesh;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view body(reinterpret_cast<const char*>(data), size);
    const auto endpoints = registry::consul::parse_health(body);
    if (endpoints) {
        const ServiceEndpoint* before = nullptr;
        for (const ServiceEndpoint& endpoint : *endpoints) {
            if (endpoint.port == 0 || endpoint.weight == 0 || endpoint.host.empty()) std::abort();
            if (before != nullptr && before->id >= endpoint.id) std::abort();
            before = &endpoint;
        }
    }
    (void)registry::consul::parse_services(body);
    (void)registry::consul::refusal({.status = 500, .body = std::string(body)});
    return 0;
}
