#include "server/acl/acl_gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/strings.h"
#include "io/hmac.h"
#include "io/random.h"

namespace datapunk::mesh::server {

namespace {

constexpr std::string_view kNotFound = "ACL not found";
constexpr std::string_view kNotBootstrapped =
    "ACL system must be bootstrapped before making any requests that require authorization: ACL "
    "not found";

bool applies(const std::vector<std::string>& datacenters, const std::string& here) {
    return datacenters.empty() ||
           std::find(datacenters.begin(), datacenters.end(), here) != datacenters.end();
}

// What a service needs to register itself and to find others. Source: Consul
// agent/structs/acl.go, aclPolicyTemplateServiceIdentity.
void add_identity(const catalog::AclServiceIdentity& identity, AclRules& out) {
    AclRules rules;
    rules.of(Resource::service).exact[identity.service] = Grant::write;
    rules.of(Resource::service).exact[identity.service + "-sidecar-proxy"] = Grant::write;
    rules.of(Resource::service).prefix[""] = Grant::read;
    rules.of(Resource::node).prefix[""] = Grant::read;
    out.add(rules);
}

void add_identity(const catalog::AclNodeIdentity& identity, AclRules& out) {
    AclRules rules;
    rules.of(Resource::node).exact[identity.node] = Grant::write;
    rules.of(Resource::service).prefix[""] = Grant::read;
    out.add(rules);
}

}  // namespace

Access::Access(std::string accessor, std::shared_ptr<const Authorizer> authorizer, bool has_token)
    : accessor_(std::move(accessor)), authorizer_(std::move(authorizer)), has_token_(has_token) {}

bool Access::may(Resource resource, Verb verb, std::string_view name) const {
    return !authorizer_ || authorizer_->may(resource, verb, name);
}

bool Access::may_write_all(Resource resource, std::string_view prefix) const {
    return !authorizer_ || authorizer_->may_write_all(resource, prefix);
}

std::string Access::refusal(Resource resource, Verb verb, std::string_view name) const {
    const bool is_anonymous = accessor_ == catalog::kAnonymousAccessor;
    std::string out = "Permission denied: ";
    out += is_anonymous ? std::string("anonymous token")
                        : fmt::format("token with AccessorID '{}'", accessor_);
    out += fmt::format(" lacks permission '{}:{}'", to_string(resource), to_string(verb));
    if (!name.empty()) out += fmt::format(" on \"{}\"", name);
    if (is_anonymous) {
        out += ". The anonymous token is used implicitly when a request does not specify a token.";
    }
    return out;
}

AclGate::AclGate(const catalog::Catalog& catalog, AclConfig config, std::string datacenter)
    : catalog_(catalog),
      config_(std::move(config)),
      datacenter_(std::move(datacenter)),
      digest_key_(io::random_bytes(32)) {
    if (config_.initial_management.empty()) return;
    configured_.emplace();
    configured_->accessor = kConfiguredAccessor;
    configured_->secret = "<hidden>";
    configured_->description = "Initial Management Token";
    configured_->policies = {std::string(catalog::kManagementPolicy)};
    configured_->index = {1, 1};
}

const catalog::AclTokenRow* AclGate::configured_token() const {
    return configured_ ? &*configured_ : nullptr;
}

std::uint64_t AclGate::bootstrap_index() const {
    const std::uint64_t index = catalog_.acl().bootstrap_index();
    return index == 0 && configured_ ? 1 : index;
}

const catalog::AclTokenRow* AclGate::token(std::string_view accessor, Duration since_1970) const {
    if (configured_ && accessor == kConfiguredAccessor) return &*configured_;
    const catalog::AclTokenRow* row = catalog_.acl().token(accessor);
    return row == nullptr || row->is_expired(since_1970) ? nullptr : row;
}

void AclGate::refresh() {
    const std::uint64_t index = catalog_.acl().index();
    if (index == known_index_) return;
    known_index_ = index;
    authorizers_.clear();
    accessor_by_digest_.clear();
    for (const auto& [accessor, token] : catalog_.acl().tokens()) {
        accessor_by_digest_[io::hmac_sha256(digest_key_, token.secret)] = accessor;
    }
    if (configured_) {
        accessor_by_digest_[io::hmac_sha256(digest_key_, config_.initial_management)] =
            kConfiguredAccessor;
    }
}

void AclGate::add_policy(std::string_view id, AclRules& out) const {
    const catalog::AclPolicyRow* policy = catalog_.acl().policy(id);
    if (policy == nullptr || !applies(policy->datacenters, datacenter_)) return;
    // Rules are parsed before they are stored, so this fails only if a later version refuses more.
    // Then the policy grants nothing and denies what it can name: nothing.
    if (auto rules = parse_acl_rules(policy->rules)) out.add(*rules);
}

std::shared_ptr<const Authorizer> AclGate::authorizer_of(const catalog::AclTokenRow& token) {
    std::shared_ptr<const Authorizer>& known = authorizers_[token.accessor];
    if (known) return known;
    const bool is_management = token.policies.size() == 1 &&
                               token.policies.front() == catalog::kManagementPolicy &&
                               token.service_identities.empty() && token.node_identities.empty();
    if (is_management) {
        known = std::make_shared<const Authorizer>(Authorizer::all());
        return known;
    }
    AclRules rules;
    for (const std::string& id : token.policies) add_policy(id, rules);
    for (const auto& identity : token.service_identities) {
        if (applies(identity.datacenters, datacenter_)) add_identity(identity, rules);
    }
    for (const auto& identity : token.node_identities) {
        if (identity.datacenter == datacenter_) add_identity(identity, rules);
    }
    known = std::make_shared<const Authorizer>(std::move(rules), config_.is_default_allow);
    return known;
}

Result<Access> AclGate::resolve(std::string_view secret, Duration since_1970) {
    if (!config_.enabled) return Access();
    refresh();
    std::string accessor(catalog::kAnonymousAccessor);
    if (!secret.empty()) {
        const auto found = accessor_by_digest_.find(io::hmac_sha256(digest_key_, secret));
        accessor = found == accessor_by_digest_.end() ? std::string() : found->second;
    }
    const catalog::AclTokenRow* row = token(accessor, since_1970);
    const bool is_known = row != nullptr && (secret.empty() || row == configured_token() ||
                                             io::equals_in_constant_time(row->secret, secret));
    if (!is_known) {
        return Error{
            .code = Code::denied,
            .what = std::string(bootstrap_index() == 0 ? kNotBootstrapped : kNotFound),
            .source = Source::downstream,
        };
    }
    return Access(row->accessor, authorizer_of(*row), !secret.empty());
}

std::string secret_of(const http::Request& request, std::optional<std::string_view> parameter) {
    if (parameter && !parameter->empty()) return std::string(*parameter);
    if (const std::string_view header = request.header("X-Consul-Token"); !header.empty()) {
        return std::string(header);
    }
    constexpr std::string_view kScheme = "bearer ";
    const std::string_view bearer = request.header("Authorization");
    if (bearer.size() <= kScheme.size() ||
        !core::equals_ignoring_case(bearer.substr(0, kScheme.size()), kScheme)) {
        return {};
    }
    return std::string(core::trim(bearer.substr(kScheme.size())));
}

}  // namespace datapunk::mesh::server
