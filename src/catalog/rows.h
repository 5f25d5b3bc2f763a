#pragma once

// What the catalog knows, one struct for each kind of thing, with the fields of Consul's API.
// Values. create_index and modify_index are set by the catalog and ignored in commands.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::catalog {

// Where a row stands in the order of all writes; 0 = not stored yet.
struct RowIndex {
    std::uint64_t created = 0;
    std::uint64_t modified = 0;
    friend bool operator==(const RowIndex&, const RowIndex&) = default;
};

struct NodeRow {
    std::string name;
    std::string id;  // UUID; empty for most external nodes
    std::string address;
    Metadata tagged_addresses;  // lan, wan, lan_ipv4, …
    Metadata meta;
    RowIndex index;
    friend bool operator==(const NodeRow&, const NodeRow&) = default;
};

struct DnsWeights {
    std::uint32_t passing = 1;  // 1..65535
    std::uint32_t warning = 1;  // 0..65535
    friend bool operator==(const DnsWeights&, const DnsWeights&) = default;
};

struct TaggedAddress {
    std::string address;
    std::uint16_t port = 0;
    friend bool operator==(const TaggedAddress&, const TaggedAddress&) = default;
};

struct ServiceRow {
    std::string id;    // unique on its node; default: the name
    std::string name;  // what callers ask for
    std::vector<std::string> tags;
    Metadata meta;
    std::string address;  // empty = the node's
    std::uint16_t port = 0;
    DnsWeights weights;
    bool enable_tag_override = false;
    std::map<std::string, TaggedAddress, std::less<>> tagged_addresses;
    RowIndex index;
    friend bool operator==(const ServiceRow&, const ServiceRow&) = default;
};

// `none`: somebody else runs the check and writes the result with catalog/register.
enum class CheckKind : std::uint8_t { none, ttl, http, tcp, grpc, script, alias, maintenance, udp };

// As Consul's "Type": "", "ttl", "http", …
std::string_view to_string(CheckKind kind) noexcept;

// What to probe and how often. Of the texts, those of `kind` matter.
struct CheckDefinition {
    CheckKind kind = CheckKind::none;
    std::string url;  // http
    std::string method;
    std::map<std::string, std::vector<std::string>, std::less<>> header;
    std::string body;
    std::string tls_server_name;
    bool tls_skip_verify = false;
    bool disable_redirects = false;
    std::string place;  // tcp, udp: host:port
    std::string grpc;   // host:port[/service]
    bool grpc_use_tls = false;
    std::vector<std::string> args;  // script
    std::string alias_node;
    std::string alias_service;
    Duration interval = Duration::zero();
    Duration timeout = Duration::zero();  // zero = the kind's default
    Duration ttl = Duration::zero();
    std::uint32_t success_before_passing = 0;
    std::uint32_t failures_before_warning = 0;
    std::uint32_t failures_before_critical = 0;
    Duration deregister_after = Duration::zero();  // critical for so long: removed; zero = never
    friend bool operator==(const CheckDefinition&, const CheckDefinition&) = default;
};

struct CheckRow {
    std::string id;  // unique on its node
    std::string name;
    Health status = Health::critical;
    std::string notes;
    std::string output;
    std::string service_id;  // empty: a check of the whole node
    CheckDefinition definition;
    bool is_alone = false;  // registered by itself, not with its service: then no time is "0s"
    RowIndex index;
    friend bool operator==(const CheckRow&, const CheckRow&) = default;
};

struct KvRow {
    std::string value;
    std::uint64_t flags = 0;
    RowIndex index;
    std::uint64_t lock_index = 0;  // how often the lock has been acquired
    std::string session;           // that holds the lock; empty = free
    friend bool operator==(const KvRow&, const KvRow&) = default;
};

// What becomes of the keys that a session holds when it ends.
enum class SessionBehavior : std::uint8_t { release, erase };

std::string_view to_string(SessionBehavior behavior) noexcept;  // "release", "delete"

struct SessionServiceCheck {
    std::string id;
    std::string name_space;
    friend bool operator==(const SessionServiceCheck&, const SessionServiceCheck&) = default;
};

// A promise of life that locks hang on: it ends with its node, with any of its checks (removed or
// critical), when nobody renews it, or when destroyed.
struct SessionRow {
    std::string id;  // UUID
    std::string name;
    std::string node;
    std::vector<std::string> node_checks;
    std::vector<SessionServiceCheck> service_checks;
    std::vector<std::string> checks;  // the name of node_checks before Consul 1.7
    Duration lock_delay = std::chrono::seconds(15);
    SessionBehavior behavior = SessionBehavior::release;
    std::string ttl;  // as the client wrote it: "10s"; "" and "0s" = no end
    RowIndex index;
    friend bool operator==(const SessionRow&, const SessionRow&) = default;
};

// Zero = none. The text was checked by prepare().
Duration ttl_of(const SessionRow& session);

}  // namespace datapunk::mesh::catalog
