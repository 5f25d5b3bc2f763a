// Whatever is asked: the answer can be read, is to that question, and is not larger than allowed.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "server/dns/zone.h"

namespace {

using namespace datapunk::mesh;

catalog::Catalog make_catalog() {
    catalog::Catalog catalog;
    catalog::SetLocalNode local;
    local.node.name = "n1";
    local.node.address = "127.0.0.1";
    local.node.meta = {{"rack", "r1"}, {"long", std::string(512, 'x')}};
    if (!catalog.apply(local)) std::abort();
    for (int i = 1; i <= 100; ++i) {
        catalog::RegisterService command;
        command.service.id = "web" + std::to_string(i);
        command.service.name = i % 10 == 0 ? "odd name " + std::string(200, 'y') : "web";
        command.service.address = i % 7 == 0 ? "host.example.org" : "10.0.0." + std::to_string(i);
        command.service.port = static_cast<std::uint16_t>(i);
        command.service.tags = {"v1", "a.b"};
        if (!catalog.apply(command)) std::abort();
    }
    catalog::SetQuery query;
    query.query.id = "8f246b77-f3e1-ff88-5b48-8ec93abf3e00";
    query.query.name = "q";
    query.query.service = "web";
    query.query.dns_ttl = "9s";
    if (!catalog.apply(query)) std::abort();
    return catalog;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace datapunk::mesh::server::dns;
    static const catalog::Catalog kCatalog = make_catalog();
    static Zone zone(kCatalog, DnsDoorConfig{}, core::Rng(1));
    if (size == 0) return 0;
    const Asked asked{.is_tcp = (data[0] & 1U) != 0, .is_local = (data[0] & 2U) != 0};
    const std::string_view message(reinterpret_cast<const char*>(data + 1), size - 1);
    if (Zone::cut_answer(message).size() > message.size()) std::abort();
    const std::string answer = zone.answer(message, asked);
    if (answer.empty()) return 0;
    const auto reply = wire::dns::decode(answer);
    if (!reply || !reply->is_response) std::abort();
    const auto query = wire::dns::decode(message);
    if (!query) return reply->rcode == wire::dns::DnsRcode::format_error ? 0 : (std::abort(), 0);
    if (query->is_response || reply->id != query->id) std::abort();
    if (reply->questions != query->questions) std::abort();
    if (!asked.is_tcp && !query->edns && answer.size() > 512 && message.size() < 500) std::abort();
    if (!asked.is_tcp && !asked.is_local && answer.size() > 4096) std::abort();
    return 0;
}
