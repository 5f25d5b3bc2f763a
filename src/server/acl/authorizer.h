#pragma once

// Authorizer: what a token may do: the rules of all its policies, and what holds where they say
// nothing. Consul's order: a rule for exactly this name, else the one for the longest prefix, else
// the default. A value; pure; O(log rules) a question, and at most one lookup for each length of
// prefix that rules have.
// Source: Consul acl/policy_authorizer.go.

#include <array>
#include <optional>
#include <set>
#include <string_view>

#include "server/acl/acl_rules.h"

namespace datapunk::mesh::server {

enum class Verb : std::uint8_t { read, list, write };

std::string_view to_string(Verb verb) noexcept;

class Authorizer {
  public:
    // May do everything: a global management token, or no ACLs at all.
    static Authorizer all();
    Authorizer(AclRules rules, bool is_default_allow);

    // `name` is "" for resources without names.
    bool may(Resource resource, Verb verb, std::string_view name = {}) const;
    // Everything under the prefix: for deleting a whole tree of keys.
    bool may_write_all(Resource resource, std::string_view prefix) const;

    bool may_everything() const noexcept { return is_all_; }

  private:
    std::optional<Grant> rule_for(Resource resource, std::string_view name) const;

    bool is_all_ = false;
    bool is_default_allow_ = false;
    AclRules rules_;
    std::array<std::set<std::size_t>, kResources> prefix_lengths_;
};

}  // namespace datapunk::mesh::server
