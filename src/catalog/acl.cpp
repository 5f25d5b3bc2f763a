#include "catalog/acl.h"

#include <algorithm>
#include <utility>

namespace datapunk::mesh::catalog {

AclStore::AclStore() {
    AclPolicyRow management;
    management.id = kManagementPolicy;
    management.name = "global-management";
    management.description =
        "A built-in policy that grants read and write access to all Consul features";
    management.rules =
        "acl = \"write\"\nagent_prefix \"\" { policy = \"write\" }\n"
        "event_prefix \"\" { policy = \"write\" }\nkey_prefix \"\" { policy = \"write\" }\n"
        "keyring = \"write\"\nmesh = \"write\"\nnode_prefix \"\" { policy = \"write\" }\n"
        "operator = \"write\"\npeering = \"write\"\nquery_prefix \"\" { policy = \"write\" }\n"
        "service_prefix \"\" { policy = \"write\" intentions = \"write\" }\n"
        "session_prefix \"\" { policy = \"write\" }\n";
    AclPolicyRow read_only;
    read_only.id = kReadOnlyPolicy;
    read_only.name = "builtin/global-read-only";
    read_only.description = "A built-in policy that grants read-only access to all Consul features";
    read_only.rules =
        "acl = \"read\"\nagent_prefix \"\" { policy = \"read\" }\n"
        "event_prefix \"\" { policy = \"read\" }\nkey_prefix \"\" { policy = \"read\" }\n"
        "keyring = \"read\"\nmesh = \"read\"\nnode_prefix \"\" { policy = \"read\" }\n"
        "operator = \"read\"\npeering = \"read\"\nquery_prefix \"\" { policy = \"read\" }\n"
        "service_prefix \"\" { policy = \"read\" intentions = \"read\" }\n"
        "session_prefix \"\" { policy = \"read\" }\n";
    AclTokenRow anonymous;
    anonymous.accessor = kAnonymousAccessor;
    anonymous.secret = "anonymous";
    anonymous.description = "Anonymous Token";
    management.index = read_only.index = anonymous.index = {1, 1};
    policies_.emplace(management.id, std::move(management));
    policies_.emplace(read_only.id, std::move(read_only));
    tokens_.emplace(anonymous.accessor, std::move(anonymous));
}

const AclTokenRow* AclStore::token(std::string_view accessor) const {
    const auto found = tokens_.find(accessor);
    return found == tokens_.end() ? nullptr : &found->second;
}

const AclPolicyRow* AclStore::policy(std::string_view id) const {
    const auto found = policies_.find(id);
    return found == policies_.end() ? nullptr : &found->second;
}

const AclPolicyRow* AclStore::policy_named(std::string_view name) const {
    for (const auto& [id, policy] : policies_) {
        if (policy.name == name) return &policy;
    }
    return nullptr;
}

bool AclStore::has_secret(std::string_view secret, std::string_view except) const {
    return std::any_of(tokens_.begin(), tokens_.end(), [&](const auto& entry) {
        return entry.first != except && entry.second.secret == secret;
    });
}

bool AclStore::put_token(AclTokenRow token, std::uint64_t index) {
    const auto [at, is_new] = tokens_.try_emplace(token.accessor);
    if (!is_new) {
        token.index = at->second.index;
        token.created = at->second.created;
        if (token == at->second) return false;
    }
    token.index = {is_new ? index : at->second.index.created, index};
    at->second = std::move(token);
    index_ = index;
    return true;
}

bool AclStore::erase_token(std::string_view accessor, std::uint64_t index) {
    const auto found = tokens_.find(accessor);
    if (found == tokens_.end()) return false;
    tokens_.erase(found);
    index_ = index;
    return true;
}

bool AclStore::put_policy(AclPolicyRow policy, std::uint64_t index) {
    const auto [at, is_new] = policies_.try_emplace(policy.id);
    if (!is_new) {
        policy.index = at->second.index;
        if (policy == at->second) return false;
    }
    policy.index = {is_new ? index : at->second.index.created, index};
    at->second = std::move(policy);
    index_ = index;
    return true;
}

bool AclStore::erase_policy(std::string_view id, std::uint64_t index) {
    const auto found = policies_.find(id);
    if (found == policies_.end()) return false;
    policies_.erase(found);
    for (auto& [accessor, token] : tokens_) {
        if (std::erase(token.policies, id) > 0) token.index.modified = index;
    }
    index_ = index;
    return true;
}

void AclStore::erase_expired(Duration now, std::uint64_t index) {
    const auto expired =
        std::erase_if(tokens_, [&](const auto& entry) { return entry.second.is_expired(now); });
    if (expired > 0) index_ = index;
}

AclStore::State AclStore::save() const {
    State out{.tokens = {}, .policies = {}, .bootstrap_index = bootstrap_index_, .index = index_};
    for (const auto& [accessor, token] : tokens_) out.tokens.push_back(token);
    for (const auto& [id, policy] : policies_) out.policies.push_back(policy);
    return out;
}

void AclStore::restore(State state) {
    for (AclTokenRow& token : state.tokens) {
        std::string accessor = token.accessor;
        tokens_.insert_or_assign(std::move(accessor), std::move(token));
    }
    for (AclPolicyRow& policy : state.policies) {
        std::string id = policy.id;
        policies_.insert_or_assign(std::move(id), std::move(policy));
    }
    bootstrap_index_ = state.bootstrap_index;
    index_ = state.index;
}

}  // namespace datapunk::mesh::catalog
