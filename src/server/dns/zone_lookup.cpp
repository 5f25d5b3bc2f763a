// Finding rows by names that ignore case, and by address; making an answer fit.

#include <algorithm>
#include <set>

#include "core/strings.h"
#include "io/address.h"
#include "server/dns/zone.h"

namespace datapunk::mesh::server::dns {

using catalog::CatalogNode;
using catalog::InstanceRef;
using wire::dns::SrvData;

namespace {

std::string bytes_of(std::string_view text) {
    const auto ip = io::parse_ip(text, 0);
    if (!ip) return {};
    return {ip->ip.begin(), ip->ip.begin() + (ip->is_v6 ? 16 : 4)};
}

bool has_tag(const InstanceRef& ref, std::string_view wanted) {
    const auto& tags = ref.instance->row.tags;
    return std::any_of(tags.begin(), tags.end(), [&](const std::string& tag) {
        return core::equals_ignoring_case(tag, wanted);
    });
}

}  // namespace

std::vector<InstanceRef> Zone::find_service(const ZoneName& name, const Asked& asked) {
    auto found = catalog_.health_service(name.name);
    const std::string lower = core::lowercase(name.name);
    if (found.data.empty() && lower != name.name) found = catalog_.health_service(lower);
    if (found.data.empty()) {
        const Directory& known = directory(asked.now);
        const auto spelled = known.services.find(lower);
        if (spelled != known.services.end()) found = catalog_.health_service(spelled->second);
    }
    if (!name.tag.empty()) {
        std::erase_if(found.data, [&](const InstanceRef& ref) { return !has_tag(ref, name.tag); });
    }
    return std::move(found.data);
}

const CatalogNode* Zone::find_node(const std::string& name, const Asked& asked) {
    if (const CatalogNode* node = catalog_.node(name).data) return node;
    const Directory& known = directory(asked.now);
    const auto spelled = known.nodes.find(core::lowercase(name));
    return spelled == known.nodes.end() ? nullptr : catalog_.node(spelled->second).data;
}

// Made again when the catalog has moved, but not for each of many questions about what is not
// there: once a second, and more seldom the more there is to go through.
const Zone::Directory& Zone::directory(Instant now) {
    Directory& known = directory_;
    const std::uint64_t services = catalog_.index_of({catalog::WatchTopic::services, {}});
    const std::uint64_t nodes = catalog_.index_of({catalog::WatchTopic::nodes, {}});
    const auto pause =
        std::chrono::seconds(1) + std::chrono::seconds(known.by_address.size() / 10'000);
    const bool is_current = services == known.services_index && nodes == known.nodes_index;
    if (known.is_made && (is_current || now < known.made + pause)) return known;
    known = {};
    known.is_made = true;
    known.made = now;
    known.services_index = services;
    known.nodes_index = nodes;
    // A node goes before the services that share its address.
    for (const CatalogNode* node : catalog_.nodes().data) {
        known.nodes.emplace(core::lowercase(node->row.name), node->row.name);
        const std::string address = bytes_of(node->row.address);
        const auto name = node_name(*node);
        if (!address.empty() && name) known.by_address.emplace(address, *name);
    }
    for (const auto& [name, tags] : catalog_.services().data) {
        known.services.emplace(core::lowercase(name), name);
        const auto full = name_in_zone({name, "service", config_.datacenter});
        if (!full) continue;
        for (const InstanceRef& ref : catalog_.service(name).data) {
            const std::string address = bytes_of(ref.instance->row.address);
            if (!address.empty()) known.by_address.emplace(address, *full);
        }
    }
    return known;
}

std::size_t Zone::bytes_max(const Message& query, const Asked& asked) const {
    if (asked.is_tcp) return wire::dns::kMessageBytesMax;
    constexpr std::size_t kDatagramMax = 65'000;
    const std::size_t ours = asked.is_local ? kDatagramMax : config_.udp_bytes_max;
    const std::size_t theirs = query.edns ? query.edns->udp_bytes_max : 0;
    return std::min(std::max(theirs, wire::dns::kPlainUdpBytesMax), ours);
}

// Leaves out what does not fit: first what is only said beside, then answers.
std::string Zone::fit(Message reply, const Asked& asked) const {
    const std::size_t most = asked.bytes_max;
    const std::size_t all = reply.answers.size();
    const std::vector<Record> answers = reply.answers;
    const std::vector<Record> additional = reply.additional;
    // The first `count` answers, and the addresses of their targets, once each.
    const auto keep = [&](std::size_t count) {
        reply.answers.assign(answers.begin(), answers.begin() + static_cast<std::ptrdiff_t>(count));
        std::set<std::string> targets;
        for (const Record& record : reply.answers) {
            const auto* srv = std::get_if<SrvData>(&record.data);
            if (srv != nullptr) targets.insert(srv->target.key());
        }
        reply.additional.clear();
        for (const Record& record : additional) {
            if (record.type != Type::txt && targets.erase(record.name.key()) > 0) {
                reply.additional.push_back(record);
            }
        }
    };
    const auto bytes = [&]() -> std::string {
        auto encoded = wire::dns::encode(reply);
        return encoded && encoded->size() <= most ? *std::move(encoded) : std::string();
    };
    const bool is_plain = !asked.is_tcp && most == wire::dns::kPlainUdpBytesMax;
    std::size_t count = all;
    if (is_plain && all > config_.udp_answer_limit) {
        count = config_.udp_answer_limit;
        keep(count);
    }
    reply.is_truncated = config_.enable_truncate && count < all;
    std::string out = bytes();
    if (!out.empty()) return out;
    reply.authority.clear();
    keep(count);
    out = bytes();
    if (!out.empty()) return out;
    std::size_t fits = 0;  // answers that do
    std::size_t fails = count;
    while (fails - fits > 1) {
        const std::size_t middle = fits + (fails - fits) / 2;
        keep(middle);
        (bytes().empty() ? fails : fits) = middle;
    }
    keep(fits);
    // Nothing at all would say that there is nothing.
    reply.is_truncated = config_.enable_truncate || fits == 0;
    out = bytes();
    return out;
}

}  // namespace datapunk::mesh::server::dns
