// Access control and prepared queries in the catalog: what is refused, and what is done.

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "catalog/access_prepare.h"
#include "catalog/apply.h"
#include "catalog/limits.h"

namespace datapunk::mesh::catalog {

namespace {

Error invalid(std::string what) {
    return {.code = Code::invalid, .what = std::move(what), .source = Source::downstream};
}

Error full(std::string_view table, std::size_t limit) {
    return {
        .code = Code::exhausted,
        .what = fmt::format("the registry is full: it holds {} {} already", limit, table),
        .source = Source::downstream,
    };
}

bool is_uuid(std::string_view text) {
    if (text.size() != 36) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        const bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (is_dash ? c != '-' : !is_hex) return false;
    }
    return true;
}

bool is_name(std::string_view name, std::string_view others) {
    if (name.empty() || name.size() > kAclNameBytesMax) return false;
    for (const char c : name) {
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!is_plain && others.find(c) == std::string_view::npos) return false;
    }
    return true;
}

Result<> prepare_token(const AclTokenRow& token) {
    if (!is_uuid(token.accessor)) return invalid("Invalid Token: AccessorID is not a valid UUID");
    if (token.secret.empty() || token.secret.size() > kNameBytesMax) {
        return invalid(fmt::format("Invalid Token: SecretID must have 1 to {} bytes", kNameBytesMax)
        );
    }
    if (token.description.size() > kNotesBytesMax) {
        return invalid("Invalid Token: the description is too long");
    }
    const std::size_t links =
        token.policies.size() + token.service_identities.size() + token.node_identities.size();
    if (links > kAclLinksMax) {
        return invalid(fmt::format("Invalid Token: {} links, at most {}", links, kAclLinksMax));
    }
    for (const AclServiceIdentity& identity : token.service_identities) {
        if (!is_name(identity.service, ".")) {
            return invalid(fmt::format(
                "Service identity \"{}\" has an invalid name. Only lowercase alphanumeric "
                "characters, '-' and '_' are allowed",
                identity.service.substr(0, 64)
            ));
        }
    }
    for (const AclNodeIdentity& identity : token.node_identities) {
        if (!is_name(identity.node, ".")) {
            return invalid(
                fmt::format("Node identity \"{}\" has an invalid name", identity.node.substr(0, 64))
            );
        }
    }
    return Ok{};
}

}  // namespace

Result<> prepare_access(const BootstrapAcl& c) {
    return prepare_token(c.token);
}

Result<> prepare_access(const SetAclToken& c) {
    return prepare_token(c.token);
}

Result<> prepare_access(const SetAclPolicy& c) {
    if (!is_uuid(c.policy.id)) return invalid("Invalid Policy: ID is not a valid UUID");
    const bool is_builtin = c.policy.name.starts_with("builtin/");
    if (c.policy.name.empty()) return invalid("Invalid Policy: no Name is set");
    if (!is_name(c.policy.name, is_builtin ? "/" : "")) {
        return invalid(
            "Invalid Policy: invalid Name. Only alphanumeric characters, a single '/', '-' and '_' "
            "are allowed"
        );
    }
    if (c.policy.rules.size() > kAclRulesBytesMax) {
        return invalid(fmt::format("Invalid Policy: rules of over {} bytes", kAclRulesBytesMax));
    }
    if (c.policy.description.size() > kNotesBytesMax) {
        return invalid("Invalid Policy: the description is too long");
    }
    return Ok{};
}

Result<> prepare_access(const SetQuery& c) {
    const QueryRow& q = c.query;
    if (!is_uuid(q.id)) return invalid("a query needs a UUID");
    if (q.service.empty()) return invalid("Must provide a Service name to query");
    const auto too_long = [](std::string_view text) { return text.size() > kNameBytesMax; };
    if (too_long(q.name) || too_long(q.service) || too_long(q.token) || too_long(q.near) ||
        too_long(q.dns_ttl)) {
        return invalid(fmt::format("a text of the query is over {} bytes", kNameBytesMax));
    }
    if (q.tags.size() > kTagsMax || q.ignore_checks.size() > kTagsMax ||
        q.node_meta.size() > kMetaPairsMax || q.service_meta.size() > kMetaPairsMax) {
        return invalid("the query has too many conditions");
    }
    return Ok{};
}

Result<> Refuse::operator()(const BootstrapAcl& c) const {
    if (catalog.acl_.bootstrap_index() != 0) {
        return Error{
            .code = Code::denied,
            .what = fmt::format(
                "Permission denied: ACL bootstrap no longer allowed (reset index: {})",
                catalog.acl_.bootstrap_index()
            ),
            .source = Source::downstream,
        };
    }
    return (*this)(SetAclToken{c.token, {}});
}

Result<> Refuse::operator()(const SetAclToken& c) const {
    const AclStore& acl = catalog.acl_;
    const bool is_new = acl.token(c.token.accessor) == nullptr;
    if (is_new && acl.tokens().size() >= kAclTokensMax) return full("tokens", kAclTokensMax);
    if (acl.has_secret(c.token.secret, c.token.accessor)) {
        return invalid("Invalid Token: SecretID is already in use");
    }
    for (const std::string& id : c.token.policies) {
        if (acl.policy(id) == nullptr) {
            return invalid(fmt::format("No such ACL policy with ID \"{}\"", id.substr(0, 64)));
        }
    }
    return Ok{};
}

Result<> Refuse::operator()(const DeleteAclToken& c) const {
    if (c.accessor == kAnonymousAccessor) {
        return invalid("Delete operation not permitted on the anonymous token");
    }
    return Ok{};
}

Result<> Refuse::operator()(const SetAclPolicy& c) const {
    const AclStore& acl = catalog.acl_;
    if (const AclPolicyRow* same = acl.policy_named(c.policy.name);
        same != nullptr && same->id != c.policy.id) {
        return invalid(
            fmt::format("Invalid Policy: A Policy with Name \"{}\" already exists", c.policy.name)
        );
    }
    if (c.policy.id == kManagementPolicy || c.policy.id == kReadOnlyPolicy) {
        return invalid(fmt::format(
            "Changing the Rules for the builtin {} policy is not permitted",
            acl.policy(c.policy.id)->name
        ));
    }
    const bool is_new = acl.policy(c.policy.id) == nullptr;
    if (is_new && acl.policies().size() >= kAclPoliciesMax) {
        return full("policies", kAclPoliciesMax);
    }
    return Ok{};
}

Result<> Refuse::operator()(const DeleteAclPolicy& c) const {
    if (c.id == kManagementPolicy || c.id == kReadOnlyPolicy) {
        return invalid(fmt::format(
            "Delete operation not permitted on the builtin {} policy",
            catalog.acl_.policy(c.id)->name
        ));
    }
    return Ok{};
}

Result<> Refuse::operator()(const SetQuery& c) const {
    const QueryStore& queries = catalog.queries_;
    const QueryRow* same = queries.named(c.query.name);
    if (same != nullptr && same->id != c.query.id) {
        return invalid(fmt::format("name '{}' aliases an existing query name", c.query.name));
    }
    const QueryRow* other = queries.get(c.query.name);
    if (other != nullptr && other->id != c.query.id) {
        return invalid(fmt::format("name '{}' aliases an existing query ID", c.query.name));
    }
    if (queries.get(c.query.id) == nullptr && queries.rows().size() >= kQueriesMax) {
        return full("prepared queries", kQueriesMax);
    }
    return Ok{};
}

Result<> Refuse::operator()(const DeleteQuery&) const {
    return Ok{};
}

void Apply::operator()(BootstrapAcl& c) {
    catalog_.acl_.put_token(std::move(c.token), next_);
    catalog_.acl_.set_bootstrapped(next_);
    touch(WatchTopic::acl);
}

void Apply::operator()(SetAclToken& c) {
    const std::uint64_t before = catalog_.acl_.index();
    catalog_.acl_.erase_expired(c.now, next_);
    catalog_.acl_.put_token(std::move(c.token), next_);
    if (catalog_.acl_.index() != before) touch(WatchTopic::acl);
}

void Apply::operator()(DeleteAclToken& c) {
    if (catalog_.acl_.erase_token(c.accessor, next_)) touch(WatchTopic::acl);
}

void Apply::operator()(SetAclPolicy& c) {
    if (catalog_.acl_.put_policy(std::move(c.policy), next_)) touch(WatchTopic::acl);
}

void Apply::operator()(DeleteAclPolicy& c) {
    if (catalog_.acl_.erase_policy(c.id, next_)) touch(WatchTopic::acl);
}

void Apply::operator()(SetQuery& c) {
    if (catalog_.queries_.put(std::move(c.query), next_)) touch(WatchTopic::queries);
}

void Apply::operator()(DeleteQuery& c) {
    if (catalog_.queries_.erase(c.id, next_)) touch(WatchTopic::queries);
}

}  // namespace datapunk::mesh::catalog
