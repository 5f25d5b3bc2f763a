// Finding rows by names that ignore case, and by address; making an answer fit.

#include <algorithm>
#include <map>
#include <set>
#include <utility>

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

using Message = wire::dns::DnsMessage;
using Record = wire::dns::DnsRecord;

// The bytes of a record whose owner has been written before, nearly always exactly.
std::size_t estimate(const Record& record) {
    constexpr std::size_t kFixed = 2 + 10;
    if (const auto* srv = std::get_if<SrvData>(&record.data)) {
        return kFixed + 6 + srv->target.wire().size();
    }
    if (const auto* txt = std::get_if<wire::dns::TxtData>(&record.data)) {
        std::size_t bytes = kFixed;
        for (const std::string& text : txt->texts) bytes += 1 + text.size();
        return bytes;
    }
    if (record.type == wire::dns::DnsType::aaaa) return kFixed + 16;
    return record.type == wire::dns::DnsType::a ? kFixed + 4 : kFixed;
}

// Of header, question and OPT.
std::size_t fixed_bytes(const Message& reply) {
    std::size_t bytes = wire::dns::kHeaderBytes + (reply.edns ? 11 : 0);
    for (const auto& question : reply.questions) bytes += question.name.wire().size() + 4;
    return bytes;
}

// Not more than it really needs: spares encoding what cannot fit.
std::size_t estimate(const Message& reply) {
    std::size_t bytes = fixed_bytes(reply);
    for (const auto* section : {&reply.answers, &reply.additional}) {
        for (const Record& record : *section) bytes += estimate(record);
    }
    return bytes;
}

std::set<std::string> targets_of(const std::vector<Record>& answers) {
    std::set<std::string> targets;
    for (const Record& record : answers) {
        if (const auto* srv = std::get_if<SrvData>(&record.data)) targets.insert(srv->target.key());
    }
    return targets;
}

// Only the first `count` answers, and the addresses of their targets, once each.
void keep(Message& reply, std::size_t count) {
    reply.answers.resize(count);
    std::set<std::string> targets = targets_of(reply.answers);
    std::erase_if(reply.additional, [&](const Record& record) {
        return record.type == wire::dns::DnsType::txt || targets.erase(record.name.key()) == 0;
    });
}

// How many answers fit, with the addresses of their targets.
std::size_t count_that_fits(const Message& reply, std::size_t most) {
    std::map<std::string, std::size_t> addresses;
    for (const Record& record : reply.additional) {
        addresses[record.name.key()] += estimate(record);
    }
    std::size_t bytes = fixed_bytes(reply);
    for (std::size_t i = 0; i < reply.answers.size(); ++i) {
        bytes += estimate(reply.answers[i]);
        if (const auto* srv = std::get_if<SrvData>(&reply.answers[i].data)) {
            bytes += std::exchange(addresses[srv->target.key()], 0);
        }
        if (bytes > most) return i;
    }
    return reply.answers.size();
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
    const CatalogNode* node = catalog_.node(name).data;
    if (node == nullptr) {
        const Directory& known = directory(asked.now);
        const auto spelled = known.nodes.find(core::lowercase(name));
        if (spelled != known.nodes.end()) node = catalog_.node(spelled->second).data;
    }
    const bool is_shown =
        node != nullptr && access_.may(Resource::node, Verb::read, node->row.name);
    return is_shown ? node : nullptr;
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
        if (!address.empty() && name) {
            known.by_address.emplace(
                address, Owner{.full = *name, .name = node->row.name, .is_node = true}
            );
        }
    }
    for (const auto& [name, tags] : catalog_.services().data) {
        known.services.emplace(core::lowercase(name), name);
        const auto full = name_in_zone({name, "service", config_.datacenter});
        if (!full) continue;
        for (const InstanceRef& ref : catalog_.service(name).data) {
            const std::string address = bytes_of(ref.instance->row.address);
            if (!address.empty()) {
                known.by_address.emplace(
                    address, Owner{.full = *full, .name = std::string(name), .is_node = false}
                );
            }
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
    const auto encoded = [&]() -> std::string {
        if (estimate(reply) > most) return {};
        auto bytes = wire::dns::encode(reply);
        return bytes && bytes->size() <= most ? *std::move(bytes) : std::string();
    };
    const bool is_plain = !asked.is_tcp && most == wire::dns::kPlainUdpBytesMax;
    if (is_plain && all > config_.udp_answer_limit) {
        keep(reply, config_.udp_answer_limit);
        reply.is_truncated = config_.enable_truncate;
    }
    std::string out = encoded();
    if (!out.empty()) return out;
    reply.authority.clear();
    keep(reply, reply.answers.size());
    out = encoded();
    while (out.empty() && !reply.answers.empty()) {
        reply.is_truncated = config_.enable_truncate;
        const std::size_t fits = std::min(count_that_fits(reply, most), reply.answers.size() - 1);
        keep(reply, fits);
        if (fits > 0) out = encoded();
    }
    if (!out.empty()) return out;
    // Nothing at all would say that there is nothing.
    reply.is_truncated = true;
    return encoded();
}

}  // namespace datapunk::mesh::server::dns
