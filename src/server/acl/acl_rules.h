#pragma once

// ACL rules: what a policy's text grants. HCL or JSON, as Consul's:
//
//     service "web" { policy = "write" }        {"service": {"web": {"policy": "write"}},
//     key_prefix "cfg/" { policy = "read" }      "key_prefix": {"cfg/": {"policy": "read"}},
//     operator = "read"                          "operator": "read"}
//
// A rule that cannot be enforced here (namespaces, partitions, a misspelt resource) is refused
// rather than ignored: a policy must not grant or deny less than its author reads in it. Pure.

#include <datapunk/mesh/result.h>

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace datapunk::mesh::server {

inline constexpr std::size_t kRulesBytesMax = 64UL * 1024;  // a thousand rules

enum class Resource : std::uint8_t {
    acl,
    agent,
    event,
    key,
    keyring,
    mesh,
    node,
    operators,
    peering,
    query,
    service,
    session,
};
inline constexpr std::size_t kResources = 12;

// As rules and refusals name it: "acl", "operator", …
std::string_view to_string(Resource resource) noexcept;

// What a rule says, from weak to strong; denial stands before all.
enum class Grant : std::uint8_t { read, list, write, deny };

// What one kind of thing's rules say. Resources without names have `all` only.
struct ResourceRules {
    std::map<std::string, Grant, std::less<>> exact;
    std::map<std::string, Grant, std::less<>> prefix;
    std::optional<Grant> all;
    friend bool operator==(const ResourceRules&, const ResourceRules&) = default;
};

struct AclRules {
    std::array<ResourceRules, kResources> by_resource;

    ResourceRules& of(Resource resource) { return by_resource[static_cast<std::size_t>(resource)]; }

    const ResourceRules& of(Resource resource) const {
        return by_resource[static_cast<std::size_t>(resource)];
    }

    // What several policies say together: of two rules for one name the stronger, denial first.
    void add(const AclRules& other);

    friend bool operator==(const AclRules&, const AclRules&) = default;
};

// The error's text is the whole answer.
Result<AclRules> parse_acl_rules(std::string_view text);

}  // namespace datapunk::mesh::server
