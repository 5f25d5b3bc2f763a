// Whatever a registry answers: no crash, and what is believed is in range.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "registry/consul/health_memory.h"
#include "registry/consul/messages.h"

using namespace datapunk::mesh;

namespace {

// The answer after one of 40 instances that were read: as a whole and as a delta.
void read_after_another(std::string_view body) {
    using namespace registry::consul;
    std::string first = "[";
    for (int i = 10; i < 50; ++i) {
        if (i > 10) first += ',';
        first += R"({"Node":{"Node":"n","Address":"h"},"Service":{"ID":"i)" + std::to_string(i) +
                 R"(","Service":"s","Port":1},"Checks":[]})";
    }
    first += "]";
    for (const bool is_delta : {false, true}) {
        const std::string token = "0123456789abcdef-0123456789abcdef";
        const HealthAnswer before{.body = first, .token = token, .index = 5};
        auto known = read_health(before, 0, nullptr, 1);
        if (!known || !*known || (*known)->memory == nullptr) std::abort();
        std::unique_ptr<HealthMemory> memory(static_cast<HealthMemory*>((*known)->memory.release())
        );
        HealthAnswer answer{.body = body, .token = token, .index = 6};
        if (is_delta) answer.since = 5;
        const auto news = read_health(answer, 5, std::move(memory), 1);
        if (!news || !*news) continue;
        const auto* patch = std::get_if<registry::Patch>(&(*news)->what);
        if (patch == nullptr) continue;
        const auto by_id = [](const auto& a, const auto& b) { return a.id < b.id; };
        if (!std::is_sorted(patch->changed.begin(), patch->changed.end(), by_id)) std::abort();
        if (!std::is_sorted(patch->removed.begin(), patch->removed.end())) std::abort();
    }
}

}  // namespace

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
    read_after_another(body);
    (void)registry::consul::refusal({.status = 500, .body = std::string(body)});
    return 0;
}
