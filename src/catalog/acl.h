#pragma once

// AclStore: access control's tables: policies (texts of rules, which others read) and tokens that
// link to them. Part of the catalog, so that it is as durable. Secrets are in here and therefore in
// the log and in snapshots, as in Consul's; nothing here prints them.
//
// Two policies and the anonymous token are always there: global-management, which everything is
// granted to, and builtin/global-read-only. A value; not thread-safe; O(log rows).

#include <datapunk/mesh/time.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/rows.h"

namespace datapunk::mesh::catalog {

inline constexpr std::string_view kAnonymousAccessor = "00000000-0000-0000-0000-000000000002";
inline constexpr std::string_view kManagementPolicy = "00000000-0000-0000-0000-000000000001";
inline constexpr std::string_view kReadOnlyPolicy = "00000000-0000-0000-0000-000000000002";

struct AclPolicyRow {
    std::string id;  // UUID
    std::string name;
    std::string description;
    std::string rules;
    std::vector<std::string> datacenters;  // empty: all
    RowIndex index;
    friend bool operator==(const AclPolicyRow&, const AclPolicyRow&) = default;
};

// Stands for the rules that a service of this name and its callers need.
struct AclServiceIdentity {
    std::string service;
    std::vector<std::string> datacenters;
    friend bool operator==(const AclServiceIdentity&, const AclServiceIdentity&) = default;
};

struct AclNodeIdentity {
    std::string node;
    std::string datacenter;
    friend bool operator==(const AclNodeIdentity&, const AclNodeIdentity&) = default;
};

struct AclTokenRow {
    std::string accessor;  // UUID: its public name
    std::string secret;    // UUID, or whatever the operator chose
    std::string description;
    std::vector<std::string> policies;  // ids
    std::vector<AclServiceIdentity> service_identities;
    std::vector<AclNodeIdentity> node_identities;
    bool local = false;
    Duration created = Duration::zero();  // since 1970
    Duration expires = Duration::zero();  // likewise; zero = never
    RowIndex index;
    friend bool operator==(const AclTokenRow&, const AclTokenRow&) = default;

    bool is_expired(Duration now) const { return expires > Duration::zero() && expires <= now; }
};

class AclStore {
  public:
    using Tokens = std::map<std::string, AclTokenRow, std::less<>>;
    using Policies = std::map<std::string, AclPolicyRow, std::less<>>;

    AclStore();

    // By accessor; by id. What they return lives until the next write.
    const AclTokenRow* token(std::string_view accessor) const;
    const AclPolicyRow* policy(std::string_view id) const;
    const AclPolicyRow* policy_named(std::string_view name) const;
    // Whether a token other than `except` has this secret: for refusing it only.
    bool has_secret(std::string_view secret, std::string_view except) const;

    const Tokens& tokens() const noexcept { return tokens_; }

    const Policies& policies() const noexcept { return policies_; }

    // The write that bootstrapped; 0 = none yet.
    std::uint64_t bootstrap_index() const noexcept { return bootstrap_index_; }

    // The last change; 0 = none yet.
    std::uint64_t index() const noexcept { return index_; }

    void raise_to(std::uint64_t index) noexcept { index_ = index; }

    // True if something changed.
    bool put_token(AclTokenRow token, std::uint64_t index);
    bool erase_token(std::string_view accessor, std::uint64_t index);
    bool put_policy(AclPolicyRow policy, std::uint64_t index);
    bool erase_policy(std::string_view id, std::uint64_t index);
    void erase_expired(Duration now, std::uint64_t index);

    void set_bootstrapped(std::uint64_t index) { bootstrap_index_ = index; }

    struct State {
        std::vector<AclTokenRow> tokens;
        std::vector<AclPolicyRow> policies;
        std::uint64_t bootstrap_index = 0;
        std::uint64_t index = 0;
    };
    State save() const;
    void restore(State state);

  private:
    Tokens tokens_;
    Policies policies_;
    std::uint64_t bootstrap_index_ = 0;
    std::uint64_t index_ = 0;
};

}  // namespace datapunk::mesh::catalog
