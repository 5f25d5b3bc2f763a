#include "server/dns/zone.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/assert.h"
#include "core/strings.h"
#include "io/address.h"
#include "server/near.h"
#include "server/query_run.h"

namespace datapunk::mesh::server::dns {

using catalog::CatalogNode;
using catalog::InstanceRef;
using wire::dns::AddressData;
using wire::dns::DnsOpcode;
using wire::dns::DnsRcode;
using wire::dns::NameData;
using wire::dns::SoaData;
using wire::dns::SrvData;
using wire::dns::TxtData;

namespace {

std::uint32_t seconds(Duration time) {
    return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(time).count()
    );
}

std::optional<io::SocketAddress> as_ip(std::string_view text) {
    const auto ip = io::parse_ip(text, 0);
    return ip ? std::optional(*ip) : std::nullopt;
}

std::string bytes_of(const io::SocketAddress& ip) {
    return {ip.ip.begin(), ip.ip.begin() + (ip.is_v6 ? 16 : 4)};
}

std::string_view address_of(const InstanceRef& ref) {
    const std::string& own = ref.instance->row.address;
    return own.empty() ? ref.node->row.address : own;
}

// RFC 1464: a '=' or '`' in the key is quoted; a key that begins so is not written at all.
std::string text_of(std::string_view key, std::string_view value) {
    constexpr std::string_view kVerbatim = "rfc1035-";
    std::string out;
    if (!key.starts_with(kVerbatim)) {
        for (const char c : key) {
            if (c == '=' || c == '`') out += '`';
            out += c;
        }
        out += '=';
    }
    out += value;
    return out;
}

}  // namespace

Zone::Zone(const catalog::Catalog& catalog, DnsDoorConfig config, core::Rng rng)
    : catalog_(catalog),
      config_(std::move(config)),
      rng_(rng),
      gate_(catalog, config_.acl, config_.datacenter) {
    auto domain = Name::parse(config_.domain);
    MESH_ASSERT(domain.ok());
    domain_ = *std::move(domain);
}

std::string Zone::answer(std::string_view message, const Asked& asked) {
    const auto query = wire::dns::decode(message);
    if (query) {
        if (query->is_response) return {};
        Asked limited = asked;
        limited.bytes_max = bytes_max(*query, asked);
        return fit(reply_to(*query, limited), limited);
    }
    // Who can be read so far hears that the rest could not; nobody answers answers.
    if (message.size() < wire::dns::kHeaderBytes) return {};
    const std::string header(message.substr(0, 4));
    auto head = wire::dns::decode_question(header + std::string(8, '\0'));
    if (!head || head->is_response) return {};
    head->is_response = true;
    head->is_authoritative = head->is_truncated = head->recursion_available = false;
    head->rcode = DnsRcode::format_error;
    const auto bytes = wire::dns::encode(*head);
    return bytes ? *bytes : std::string();
}

std::string Zone::cut_answer(std::string_view message) {
    auto query = wire::dns::decode_question(message);
    if (!query || query->is_response || query->questions.size() != 1) return {};
    query->is_response = query->is_truncated = true;
    query->is_authoritative = query->recursion_available = false;
    query->rcode = DnsRcode::no_error;
    const auto bytes = wire::dns::encode(*query);
    return bytes ? *bytes : std::string();
}

Zone::Message Zone::reply_to(const Message& query, const Asked& asked) {
    Message reply{
        .id = query.id,
        .opcode = query.opcode,
        .is_response = true,
        .recursion_desired = query.recursion_desired
    };
    reply.questions = query.questions;
    if (query.edns) reply.edns = wire::dns::Edns{.udp_bytes_max = query.edns->udp_bytes_max};
    if (query.opcode != DnsOpcode::query) {
        reply.rcode = DnsRcode::not_implemented;
    } else if (query.questions.size() != 1) {
        reply.rcode = DnsRcode::format_error;
    } else if (query.edns && query.edns->version != 0) {
        reply.rcode = DnsRcode::bad_version;
    } else if (query.questions[0].class_code != wire::dns::kClassIn &&
               query.questions[0].class_code != wire::dns::kClassAny) {
        reply.rcode = DnsRcode::refused;
    } else if (auto access = gate_.resolve({}, asked.wall_now.time_since_epoch()); !access) {
        reply.rcode = DnsRcode::refused;
    } else if (access_ = *std::move(access); query.questions[0].name.is_under(domain_)) {
        reply.is_authoritative = true;
        answer_zone(reply, asked);
    } else {
        answer_reverse(reply, asked);
    }
    return reply;
}

void Zone::answer_zone(Message& reply, const Asked& asked) {
    const wire::dns::DnsQuestion& question = reply.questions[0];
    if (question.type == Type::soa) {
        reply.answers.push_back(soa(asked));
        add_nameserver(reply.authority, reply.additional);
        return;
    }
    if (question.type == Type::ns) {
        add_nameserver(reply.answers, reply.additional);
        return;
    }
    if (question.type == Type::axfr || question.type == Type::ixfr) {
        reply.rcode = DnsRcode::not_implemented;
        return;
    }
    std::vector<std::string_view> labels = question.name.labels();
    labels.resize(labels.size() - domain_.labels().size());
    const ZoneName name = read_zone_name(labels, config_.datacenter, question.type);
    switch (name.kind) {
        case ZoneName::Kind::service:
            return answer_service(reply, name, asked);
        case ZoneName::Kind::node:
            return answer_node(reply, name, asked);
        case ZoneName::Kind::address:
            answer_address(reply, name);
            if (reply.answers.empty() && reply.additional.empty()) no_such_name(reply, asked);
            return;
        case ZoneName::Kind::query:
            return answer_query(reply, name, asked);
        case ZoneName::Kind::virtual_ip:
            return;
        case ZoneName::Kind::apex:
        case ZoneName::Kind::unknown:
            break;
    }
    no_such_name(reply, asked);
}

void Zone::answer_reverse(Message& reply, const Asked& asked) {
    const wire::dns::DnsQuestion& question = reply.questions[0];
    const auto address = read_reverse_name(question.name.labels());
    reply.rcode = DnsRcode::refused;
    if (!address) return;
    const Directory& known = directory(asked.now);
    const auto found = known.by_address.find(*address);
    if (found == known.by_address.end()) return;  // not ours to say that there is none
    const Resource resource = found->second.is_node ? Resource::node : Resource::service;
    if (!access_.may(resource, Verb::read, found->second.name)) return;
    reply.rcode = DnsRcode::no_error;
    reply.is_authoritative = true;
    if (question.type != Type::ptr && question.type != Type::any) return;
    reply.answers.push_back(
        {.name = question.name,
         .type = Type::ptr,
         .ttl_s = seconds(config_.ttl),
         .data = NameData{found->second.full}}
    );
}

void Zone::answer_service(Message& reply, const ZoneName& name, const Asked& asked) {
    std::vector<InstanceRef> instances = find_service(name, asked);
    std::erase_if(instances, [&](const InstanceRef& ref) {
        const Health health = ref.health();
        return !may_see(access_, ref) || health == Health::critical ||
               (config_.only_passing && health != Health::passing);
    });
    shuffle(instances);
    add_instances(reply, std::move(instances), config_.ttl, asked);
}

void Zone::shuffle(std::vector<InstanceRef>& instances) {
    for (std::size_t i = instances.size(); i > 1; --i) {
        std::swap(instances[i - 1], instances[rng_.below(i)]);
    }
}

void Zone::answer_query(Message& reply, const ZoneName& name, const Asked& asked) {
    const catalog::QueryRow* query = catalog_.queries().find(name.name);
    if (query == nullptr) return no_such_name(reply, asked);
    Access access = access_;
    if (!query->token.empty()) {  // the query brings its own rights
        auto own = gate_.resolve(query->token, asked.wall_now.time_since_epoch());
        if (!own) {
            reply.rcode = DnsRcode::server_failure;
            return;
        }
        access = *std::move(own);
    }
    std::vector<InstanceRef> instances = run_query(catalog_, *query);
    std::erase_if(instances, [&](const InstanceRef& ref) { return !may_see(access, ref); });
    shuffle(instances);
    nearest_first(catalog_, query->near, instances, node_of_ref);
    const auto ttl = core::parse_duration(query->dns_ttl);
    add_instances(reply, std::move(instances), ttl ? *ttl : config_.ttl, asked);
}

// As the HTTP door: who may not read an instance's node does not see it there either.
bool Zone::may_see(const Access& access, const InstanceRef& ref) {
    return access.may(Resource::service, Verb::read, ref.instance->row.name) &&
           access.may(Resource::node, Verb::read, ref.node->row.name);
}

void Zone::add_instances(
    Message& reply, std::vector<InstanceRef> instances, Duration ttl, const Asked& asked
) {
    if (instances.empty()) return no_such_name(reply, asked);
    // No record is shorter than this: more of them cannot be sent.
    const Name owner = reply.questions[0].name;
    const Type wanted = reply.questions[0].type;
    const std::size_t record_bytes_min = wanted == Type::srv ? 20 : 16;
    const std::size_t most = asked.bytes_max / record_bytes_min + 1;
    const std::uint32_t ttl_s = seconds(ttl);
    std::set<std::string> seen;
    std::optional<Record> alias;
    for (const InstanceRef& ref : instances) {
        if (reply.answers.size() >= most) break;
        const std::string address(address_of(ref));
        std::string key = core::lowercase(address);
        if (wanted == Type::srv) {
            key += " " + ref.node->row.name + " " + std::to_string(ref.instance->row.port);
        }
        if (!seen.insert(std::move(key)).second) continue;
        if (wanted == Type::srv) {
            add_srv(reply, ref, ttl_s);
        } else if (!add_address(reply.answers, owner, address, wanted, ttl_s) && !alias) {
            const auto host = as_ip(address) ? Result<Name>(Error{}) : Name::parse(address);
            if (host) {
                alias = Record{
                    .name = owner, .type = Type::cname, .ttl_s = ttl_s, .data = NameData{*host}
                };
            }
        }
    }
    // An alias excludes all else, so it is for services that have nothing else.
    if (reply.answers.empty() && alias && wanted != Type::srv) {
        reply.answers.push_back(*std::move(alias));
    }
    if (reply.answers.empty()) no_such_record(reply, asked);
}

void Zone::add_srv(Message& reply, const InstanceRef& ref, std::uint32_t ttl_s) const {
    const catalog::ServiceRow& row = ref.instance->row;
    const std::string_view address = address_of(ref);
    const auto ip = as_ip(address);
    const auto node = node_name(*ref.node);
    std::optional<Name> target = node;
    if (!row.address.empty() && ip) {
        const std::string digits = hex_address(bytes_of(*ip));
        target = name_in_zone({digits, "addr", config_.datacenter});
    } else if (!row.address.empty()) {
        const auto host = Name::parse(address);
        target = host ? std::optional(*host) : std::nullopt;
    }
    if (!target) return;  // a name that DNS cannot hold
    const Health health = ref.health();
    std::uint32_t weight = health == Health::warning ? row.weights.warning : row.weights.passing;
    if (health == Health::critical) weight = 0;  // by a check that a prepared query ignores
    reply.answers.push_back(
        {.name = reply.questions[0].name,
         .type = Type::srv,
         .ttl_s = ttl_s,
         .data =
             SrvData{
                 .priority = 1,
                 .weight = static_cast<std::uint16_t>(std::min<std::uint32_t>(weight, 65'535)),
                 .port = row.port,
                 .target = *target
             }}
    );
    // Also where the last one said it: HAProxy takes one address for each SRV record.
    add_address(reply.additional, *target, address, Type::any, ttl_s);
    if (config_.node_meta_txt && node) {
        add_texts(reply.additional, *node, ref.node->row.meta, ttl_s);
    }
}

// False if the address is none, or of another family than `wanted`.
bool Zone::add_address(
    std::vector<Record>& to,
    const Name& owner,
    std::string_view ip,
    Type wanted,
    std::uint32_t ttl_s
) const {
    const auto address = as_ip(ip);
    if (!address) return false;
    const Type type = address->is_v6 ? Type::aaaa : Type::a;
    // TXT gets addresses too, as from Consul.
    if (wanted != type && wanted != Type::any && wanted != Type::txt) return false;
    to.push_back(
        {.name = owner, .type = type, .ttl_s = ttl_s, .data = AddressData{.ip = address->ip}}
    );
    return true;
}

void Zone::add_texts(
    std::vector<Record>& to, const Name& owner, const Metadata& meta, std::uint32_t ttl_s
) const {
    constexpr std::size_t kTextBytesMax = 255;
    for (const auto& [key, value] : meta) {
        const std::string text = text_of(key, value);
        TxtData data;
        for (std::size_t at = 0; at == 0 || at < text.size(); at += kTextBytesMax) {
            data.texts.push_back(text.substr(at, kTextBytesMax));
        }
        to.push_back({.name = owner, .type = Type::txt, .ttl_s = ttl_s, .data = std::move(data)});
    }
}

void Zone::answer_node(Message& reply, const ZoneName& name, const Asked& asked) {
    const CatalogNode* node = find_node(name.name, asked);
    if (node == nullptr) return no_such_name(reply, asked);
    const Name owner = reply.questions[0].name;
    const Type wanted = reply.questions[0].type;
    const std::uint32_t ttl_s = seconds(config_.ttl);
    if (wanted != Type::txt) {
        const bool is_there = add_address(reply.answers, owner, node->row.address, wanted, ttl_s);
        const auto host = Name::parse(node->row.address);
        if (!is_there && !as_ip(node->row.address) && host) {
            reply.answers.push_back(
                {.name = owner, .type = Type::cname, .ttl_s = ttl_s, .data = NameData{*host}}
            );
        }
    }
    const bool wants_texts = wanted == Type::txt || wanted == Type::any;
    if (wants_texts || config_.node_meta_txt) {
        auto& to = wants_texts ? reply.answers : reply.additional;
        add_texts(to, owner, node->row.meta, ttl_s);
    }
    if (reply.answers.empty()) no_such_record(reply, asked);
}

void Zone::answer_address(Message& reply, const ZoneName& name) {
    const auto bytes = read_hex_address(name.name);
    if (!bytes) return;
    const Type wanted = reply.questions[0].type;
    AddressData address;
    std::copy(bytes->begin(), bytes->end(), address.ip.begin());
    const Type type = bytes->size() == 4 ? Type::a : Type::aaaa;
    auto& to = wanted == type || wanted == Type::any ? reply.answers : reply.additional;
    to.push_back(
        {.name = reply.questions[0].name,
         .type = type,
         .ttl_s = seconds(config_.ttl),
         .data = address}
    );
}

void Zone::add_nameserver(std::vector<Record>& to, std::vector<Record>& glue) const {
    const CatalogNode* local = catalog_.local();
    const bool is_shown =
        local != nullptr && access_.may(Resource::node, Verb::read, local->row.name);
    const auto name = !is_shown ? std::nullopt : node_name(*local);
    if (!name) return;
    const std::uint32_t ttl_s = seconds(config_.ttl);
    to.push_back({.name = domain_, .type = Type::ns, .ttl_s = ttl_s, .data = NameData{*name}});
    add_address(glue, *name, local->row.address, Type::any, ttl_s);
}

Zone::Record Zone::soa(const Asked& asked) const {
    const auto since =
        std::chrono::duration_cast<std::chrono::seconds>(asked.wall_now.time_since_epoch());
    SoaData data{
        .serial = static_cast<std::uint32_t>(since.count()),
        .refresh = 3600,
        .retry = 600,
        .expire = 86'400,
        .minimum = 0
    };
    data.primary = name_in_zone({"ns"}).value_or(domain_);
    data.mailbox = name_in_zone({"hostmaster"}).value_or(domain_);
    return {
        .name = domain_, .type = Type::soa, .ttl_s = seconds(config_.ttl), .data = std::move(data)
    };
}

void Zone::no_such_name(Message& reply, const Asked& asked) const {
    reply.rcode = DnsRcode::name_error;
    reply.authority.push_back(soa(asked));
}

void Zone::no_such_record(Message& reply, const Asked& asked) const {
    reply.authority.push_back(soa(asked));
}

std::optional<Zone::Name> Zone::name_in_zone(std::vector<std::string_view> labels) const {
    const auto name = Name::from_labels(labels);
    const auto whole = name ? name->below(domain_) : name;
    return whole ? std::optional(*whole) : std::nullopt;
}

// A node's name may have dots.
std::optional<Zone::Name> Zone::node_name(const CatalogNode& node) const {
    std::vector<std::string_view> labels = core::split(node.row.name, '.');
    labels.push_back("node");
    labels.push_back(config_.datacenter);
    return name_in_zone(std::move(labels));
}

}  // namespace datapunk::mesh::server::dns
