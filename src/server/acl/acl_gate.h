#pragma once

// AclGate: secret -> what it may do. Off by default: then everybody may do everything.
//
//     request ── secret ──> AclGate::resolve() ──> Access ── may(service, read, "web") ──> answer
//
// Secrets are looked up by a keyed digest and compared in constant time, so that how long an answer
// takes tells nothing about them; they are in no error and no log line. What a token may do is
// worked out once for each change of the tables. Loop's object; O(log tokens).

#include <datapunk/mesh/result.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "catalog/catalog.h"
#include "http/message.h"
#include "server/acl/authorizer.h"

namespace datapunk::mesh::server {

struct AclConfig {
    bool enabled = false;
    bool is_default_allow = true;  // what a token may do that no rule speaks of
    // A secret that may do everything and needs no bootstrap; empty = none.
    std::string initial_management;
};

// The accessor of the token that AclConfig::initial_management stands for.
inline constexpr std::string_view kConfiguredAccessor = "00000000-0000-0000-0000-000000000003";

// What one call may do. A value that stays as it was when the tables change.
class Access {
  public:
    Access() = default;  // everything: access control is off
    Access(std::string accessor, std::shared_ptr<const Authorizer> authorizer, bool has_token);

    bool may(Resource resource, Verb verb, std::string_view name = {}) const;
    bool may_write_all(Resource resource, std::string_view prefix) const;

    bool may_everything() const noexcept { return !authorizer_ || authorizer_->may_everything(); }

    // Whether the caller showed a token: only they are told that something was left out.
    bool has_token() const noexcept { return has_token_; }

    const std::string& accessor() const noexcept { return accessor_; }

    // Consul's text for what may() refused.
    std::string refusal(Resource resource, Verb verb, std::string_view name = {}) const;

  private:
    std::string accessor_;
    std::shared_ptr<const Authorizer> authorizer_;
    bool has_token_ = false;
};

class AclGate {
  public:
    AclGate(const catalog::Catalog& catalog, AclConfig config, std::string datacenter);

    bool is_enabled() const noexcept { return config_.enabled; }

    // "allow" or "deny", as X-Consul-Default-Acl-Policy says it.
    std::string_view default_policy() const noexcept {
        return config_.enabled && !config_.is_default_allow ? "deny" : "allow";
    }

    // `secret` may be empty: the anonymous token. Code::denied with the answer's text if there is
    // no such token (any more).
    Result<Access> resolve(std::string_view secret, Duration since_1970);

    // The row of a token that is there and not expired.
    const catalog::AclTokenRow* token(std::string_view accessor, Duration since_1970) const;
    // The token of AclConfig::initial_management, if there is one; its row has no secret.
    const catalog::AclTokenRow* configured_token() const;

    // Whether nobody can bootstrap any more, and since which write.
    std::uint64_t bootstrap_index() const;

  private:
    void refresh();
    std::shared_ptr<const Authorizer> authorizer_of(const catalog::AclTokenRow& token);
    void add_policy(std::string_view id, AclRules& out) const;

    const catalog::Catalog& catalog_;
    AclConfig config_;
    std::string datacenter_;
    std::string digest_key_;
    std::optional<catalog::AclTokenRow> configured_;
    std::uint64_t known_index_ = ~std::uint64_t{0};  // of the tables the rest is made from
    std::map<std::string, std::string, std::less<>> accessor_by_digest_;
    std::map<std::string, std::shared_ptr<const Authorizer>, std::less<>> authorizers_;
};

// The secret that a request shows: ?token=, X-Consul-Token or a bearer, in this order.
std::string secret_of(const http::Request& request, std::optional<std::string_view> parameter);

}  // namespace datapunk::mesh::server
