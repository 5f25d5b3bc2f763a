// /v1/acl: bootstrap, tokens, policies.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/hash.h"
#include "core/strings.h"
#include "io/random.h"
#include "server/acl/acl_bodies.h"
#include "server/endpoints.h"
#include "wire/json_writer.h"

namespace datapunk::mesh::server {

namespace {

using catalog::AclPolicyRow;
using catalog::AclTokenRow;
using wire::JsonWriter;

// Consul's bounds of a token's life.
constexpr Duration kExpirationMin = std::chrono::minutes(1);
constexpr Duration kExpirationMax = std::chrono::hours(24);

constexpr std::string_view kNoToken = "token does not exist: ACL not found";

Reply refuse(int status, std::string text) {
    co_return plain_answer(status, std::move(text));
}

// An answer if access control is off, or if the caller may not do this.
std::optional<http::Response> refuse_acl(const Context& context, const Call& call, Verb verb) {
    if (!context.acl->is_enabled()) return plain_answer(401, "ACL support disabled");
    return refuse_unless(call, Resource::acl, verb);
}

Reply answer_with(http::Response response) {
    co_return std::move(response);
}

// Thirty-two bytes that change with the content: all that clients use Consul's for.
std::string content_hash(const std::string& text) {
    std::string bytes;
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
        const std::uint64_t part = core::hash64(text, seed);
        for (unsigned shift = 0; shift < 64; shift += 8) {
            bytes += static_cast<char>((part >> shift) & 0xFFU);
        }
    }
    return core::base64_encode(bytes);
}

std::string token_hash(const AclTokenRow& token) {
    std::string text = token.description;
    for (const std::string& id : token.policies) text += "\np" + id;
    for (const auto& identity : token.service_identities) {
        text += fmt::format("\ns{} {}", identity.service, identity.datacenters.size());
    }
    for (const auto& identity : token.node_identities) {
        text += fmt::format("\nn{} {}", identity.node, identity.datacenter);
    }
    return content_hash(text + (token.local ? "\nl" : ""));
}

std::string policy_hash(const AclPolicyRow& policy) {
    return content_hash(fmt::format(
        "{}\n{}\n{}\n{}",
        policy.name,
        policy.description,
        policy.rules,
        fmt::join(policy.datacenters, ",")
    ));
}

void write_list(JsonWriter& json, std::string_view key, const std::vector<std::string>& texts) {
    if (texts.empty()) return;
    json.key(key).begin_array();
    for (const std::string& text : texts) json.string(text);
    json.end_array();
}

void write_identities(JsonWriter& json, const AclTokenRow& token) {
    if (!token.service_identities.empty()) {
        json.key("ServiceIdentities").begin_array();
        for (const auto& identity : token.service_identities) {
            json.begin_object().key("ServiceName").string(identity.service);
            write_list(json, "Datacenters", identity.datacenters);
            json.end_object();
        }
        json.end_array();
    }
    if (!token.node_identities.empty()) {
        json.key("NodeIdentities").begin_array();
        for (const auto& identity : token.node_identities) {
            json.begin_object().key("NodeName").string(identity.node);
            json.key("Datacenter").string(identity.datacenter).end_object();
        }
        json.end_array();
    }
}

struct TokenView {
    bool shows_secret = true;
    bool is_first = false;  // of a bootstrap, which repeats the secret as "ID"
};

void write_token(
    JsonWriter& json, const Context& context, const AclTokenRow& token, TokenView view
) {
    const std::string_view secret =
        view.shows_secret ? std::string_view(token.secret) : std::string_view("<hidden>");
    json.begin_object();
    if (view.is_first) json.key("ID").string(secret);
    json.key("AccessorID").string(token.accessor).key("SecretID").string(secret);
    json.key("Description").string(token.description);
    if (!token.policies.empty()) {
        json.key("Policies").begin_array();
        for (const std::string& id : token.policies) {
            const AclPolicyRow* policy = context.catalog().acl().policy(id);
            json.begin_object().key("ID").string(id);
            json.key("Name").string(policy == nullptr ? std::string() : policy->name).end_object();
        }
        json.end_array();
    }
    write_identities(json, token);
    json.key("Local").boolean(token.local);
    if (token.expires > Duration::zero()) {
        json.key("ExpirationTime").string(format_rfc3339(token.expires));
    }
    json.key("CreateTime").string(format_rfc3339(token.created));
    json.key("Hash").string(token_hash(token));
    json.key("CreateIndex").number(token.index.created);
    json.key("ModifyIndex").number(token.index.modified).end_object();
}

void write_policy(JsonWriter& json, const AclPolicyRow& policy, bool is_listed) {
    json.begin_object();
    json.key("ID").string(policy.id).key("Name").string(policy.name);
    json.key("Description").string(policy.description);
    if (!is_listed) json.key("Rules").string(policy.rules);
    if (is_listed && policy.datacenters.empty()) json.key("Datacenters").null();
    write_list(json, "Datacenters", policy.datacenters);
    json.key("Hash").string(policy_hash(policy));
    json.key("CreateIndex").number(policy.index.created);
    json.key("ModifyIndex").number(policy.index.modified).end_object();
}

http::Response with_index(const Context& context, http::Response response) {
    add_plain_index(response, context.catalog().index_of({catalog::WatchTopic::acl, {}}), true);
    return response;
}

http::Response not_found(std::string_view what) {
    http::Response response = plain_answer(403, std::string(what));
    add_plain_index(response, 1, false);
    return response;
}

http::Response token_answer(
    const Context& context, const Call& call, const AclTokenRow& token, TokenView view
) {
    std::string out;
    JsonWriter json(out, call.is_pretty);
    write_token(json, context, token, view);
    return json_answer(call, std::move(out));
}

// Runs the command and shows the token as it was stored.
Reply store_token(
    Context context, Call call, catalog::Command command, std::string accessor, TokenView view
) {
    const Instant deadline = context.write_deadline();
    const catalog::Command kind = command;
    auto outcome = co_await context.registry->execute(std::move(command), deadline);
    if (!outcome) co_return error_answer(kind, outcome.error());
    const AclTokenRow* stored = context.catalog().acl().token(accessor);
    if (stored == nullptr) co_return plain_answer(500, "the token was deleted meanwhile");
    co_return token_answer(context, call, *stored, view);
}

// The links' ids; names become ids. An answer if one leads nowhere.
std::optional<http::Response> link_policies(
    const Context& context, const std::vector<PolicyLink>& links, std::vector<std::string>& out
) {
    const catalog::AclStore& acl = context.catalog().acl();
    for (const PolicyLink& link : links) {
        const AclPolicyRow* policy =
            link.id.empty() ? acl.policy_named(link.name) : acl.policy(link.id);
        if (policy == nullptr) {
            return plain_answer(
                500,
                link.id.empty()
                    ? fmt::format("No such ACL policy with name \"{}\"", link.name.substr(0, 128))
                    : fmt::format("No such ACL policy with ID \"{}\"", link.id.substr(0, 64))
            );
        }
        if (std::find(out.begin(), out.end(), policy->id) == out.end()) out.push_back(policy->id);
    }
    return std::nullopt;
}

// When the token ends. An answer if that is too soon, too late or no time.
std::optional<http::Response> set_expiration(const TokenBody& body, Duration now, Duration& out) {
    Duration at = Duration::zero();
    if (!body.expiration_time.empty()) {
        const auto time = parse_rfc3339(body.expiration_time);
        if (!time) return plain_answer(400, "Token decoding failed: ExpirationTime is no time");
        at = *time;
    }
    if (body.expiration_ttl < Duration::zero()) {
        return plain_answer(500, "Token Expiration TTL should be > 0");
    }
    if (body.expiration_ttl > Duration::zero()) {
        if (at != Duration::zero()) {
            return plain_answer(500, "Token Expiration TTL and Expiration Time cannot both be set");
        }
        at = now + std::min(body.expiration_ttl, 2 * kExpirationMax);
    }
    if (at == Duration::zero()) return std::nullopt;
    const Duration left = at - now;
    if (left < kExpirationMin || left > kExpirationMax) {
        return plain_answer(
            500,
            fmt::format(
                "ExpirationTime cannot be {} than {} in the future (was {})",
                left < kExpirationMin ? "less" : "more",
                core::format_go_duration(left < kExpirationMin ? kExpirationMin : kExpirationMax),
                core::format_go_duration(left)
            )
        );
    }
    out = at;
    return std::nullopt;
}

Reply create_token(Context context, Call call) {
    if (auto refused = refuse_acl(context, call, Verb::write)) {
        return answer_with(*std::move(refused));
    }
    auto body = parse_token(call.request.body);
    if (!body) return refuse(400, body.error().what);
    const Duration now = context.since_1970();
    AclTokenRow row = std::move(body->row);
    if (row.accessor.empty()) {
        row.accessor = io::random_uuid();
    } else if (context.acl->token(row.accessor, now) != nullptr) {
        return refuse(500, "Invalid Token: AccessorID is already in use");
    }
    if (row.secret.empty()) row.secret = io::random_uuid();
    row.created = now;
    auto refused = link_policies(context, body->policies, row.policies);
    if (!refused) refused = set_expiration(*body, now, row.expires);
    if (refused) return answer_with(*std::move(refused));
    std::string accessor = row.accessor;
    catalog::SetAclToken command{std::move(row), now};
    return store_token(context, std::move(call), std::move(command), std::move(accessor), {});
}

Reply update_token(Context context, Call call) {
    if (auto refused = refuse_acl(context, call, Verb::write)) {
        return answer_with(*std::move(refused));
    }
    auto body = parse_token(call.request.body);
    if (!body) return refuse(400, body.error().what);
    if (!body->row.accessor.empty() && body->row.accessor != call.name) {
        return refuse(400, "Token Accessor ID in URL and payload do not match");
    }
    const Duration now = context.since_1970();
    const AclTokenRow* old = context.catalog().acl().token(call.name);
    if (old == nullptr || old->is_expired(now)) {
        return refuse(500, fmt::format("Cannot find token \"{}\"", call.name.substr(0, 64)));
    }
    AclTokenRow row = std::move(body->row);
    if (!row.secret.empty() && row.secret != "<hidden>" && row.secret != old->secret) {
        return refuse(500, "Changing a token's SecretID is not permitted");
    }
    if (row.local != old->local) {
        return refuse(500, "Cannot toggle local mode of " + old->accessor);
    }
    row.accessor = old->accessor;
    row.secret = old->secret;
    row.created = old->created;
    row.expires = old->expires;  // as Consul: it cannot be changed
    if (auto refused = link_policies(context, body->policies, row.policies)) {
        return answer_with(*std::move(refused));
    }
    std::string accessor = row.accessor;
    catalog::SetAclToken command{std::move(row), now};
    return store_token(context, std::move(call), std::move(command), std::move(accessor), {});
}

Reply clone_token(Context context, Call call, std::string accessor) {
    if (auto refused = refuse_acl(context, call, Verb::write)) {
        return answer_with(*std::move(refused));
    }
    auto description = parse_clone(call.request.body);
    if (!description) return refuse(400, description.error().what);
    const Duration now = context.since_1970();
    const AclTokenRow* old = context.catalog().acl().token(accessor);
    if (old == nullptr || old->is_expired(now)) return answer_with(not_found(kNoToken));
    if (accessor == catalog::kAnonymousAccessor) {
        return refuse(500, "Permission denied: Cannot clone the anonymous token");
    }
    AclTokenRow row = *old;
    row.accessor = io::random_uuid();
    row.secret = io::random_uuid();
    row.created = now;
    if (*description) row.description = **std::move(description);
    std::string made = row.accessor;
    catalog::SetAclToken command{std::move(row), now};
    return store_token(context, std::move(call), std::move(command), std::move(made), {});
}

Reply delete_token(Context context, Call call) {
    if (auto refused = refuse_acl(context, call, Verb::write)) {
        return answer_with(*std::move(refused));
    }
    if (call.name == call.access.accessor()) {
        return refuse(500, "Deletion of the request's authorization token is not permitted");
    }
    if (call.name == kConfiguredAccessor) {
        return refuse(500, "the initial management token is deleted in the configuration");
    }
    catalog::DeleteAclToken command{call.name};
    return write_true(context, std::move(call), std::move(command));
}

Reply read_token(Context context, Call call) {
    if (auto refused = refuse_acl(context, call, Verb::read)) {
        add_plain_index(*refused, 1, false);
        return answer_with(*std::move(refused));
    }
    const AclTokenRow* token = context.acl->token(call.name, context.since_1970());
    if (token == nullptr) return answer_with(not_found(kNoToken));
    const bool shows_secret = call.access.may(Resource::acl, Verb::write);
    return answer_with(
        with_index(context, token_answer(context, call, *token, {.shows_secret = shows_secret}))
    );
}

Reply store_policy(Context context, Call call, AclPolicyRow row) {
    const std::string id = row.id;
    const Instant deadline = context.write_deadline();
    catalog::SetAclPolicy command{std::move(row)};
    const catalog::Command kind = command;
    auto outcome = co_await context.registry->execute(std::move(command), deadline);
    if (!outcome) co_return error_answer(kind, outcome.error());
    const AclPolicyRow* stored = context.catalog().acl().policy(id);
    if (stored == nullptr) co_return plain_answer(500, "the policy was deleted meanwhile");
    std::string out;
    JsonWriter json(out, call.is_pretty);
    write_policy(json, *stored, false);
    co_return json_answer(call, std::move(out));
}

// Creates one, or updates the one that the path names.
Reply write_policy_body(Context context, Call call) {
    if (auto refused = refuse_acl(context, call, Verb::write)) {
        return answer_with(*std::move(refused));
    }
    auto row = parse_policy(call.request.body);
    if (!row) return refuse(400, row.error().what);
    if (call.name.empty()) {
        if (!row->id.empty())
            return refuse(400, "Cannot specify the ID when creating a new policy");
        row->id = io::random_uuid();
    } else {
        if (!row->id.empty() && row->id != call.name) {
            return refuse(400, "Policy ID in URL and payload do not match");
        }
        if (context.catalog().acl().policy(call.name) == nullptr) {
            return refuse(500, "cannot find policy " + call.name.substr(0, 64));
        }
        row->id = call.name;
    }
    if (auto rules = parse_acl_rules(row->rules); !rules) return refuse(500, rules.error().what);
    return store_policy(context, std::move(call), *std::move(row));
}

Reply show_policy(Context context, Call call, const AclPolicyRow* policy) {
    if (auto refused = refuse_acl(context, call, Verb::read)) co_return *std::move(refused);
    if (policy == nullptr) co_return not_found("Requested policy does not exist: ACL not found");
    std::string out;
    JsonWriter json(out, call.is_pretty);
    write_policy(json, *policy, false);
    co_return with_index(context, json_answer(call, std::move(out)));
}

}  // namespace

Reply acl_bootstrap(Context context, Call call) {
    if (!context.acl->is_enabled()) return refuse(401, "ACL support disabled");
    auto secret = parse_bootstrap(call.request.body);
    if (!secret) return refuse(400, secret.error().what);
    if (const std::uint64_t index = context.acl->bootstrap_index(); index != 0) {
        return refuse(
            403,
            fmt::format(
                "Permission denied: ACL bootstrap no longer allowed (reset index: {})", index
            )
        );
    }
    AclTokenRow row;
    row.accessor = io::random_uuid();
    row.secret = secret->empty() ? io::random_uuid() : *std::move(secret);
    row.description = "Bootstrap Token (Global Management)";
    row.policies = {std::string(catalog::kManagementPolicy)};
    row.created = context.since_1970();
    std::string accessor = row.accessor;
    catalog::BootstrapAcl command{std::move(row)};
    return store_token(
        context, std::move(call), std::move(command), std::move(accessor), {.is_first = true}
    );
}

Reply acl_tokens(Context context, Call call) {
    if (auto refused = refuse_acl(context, call, Verb::read)) {
        add_plain_index(*refused, 1, false);
        co_return *std::move(refused);
    }
    const bool shows_secret = call.access.may(Resource::acl, Verb::write);
    const std::string policy(call.query.value("policy").value_or(""));
    const std::string service(call.query.value("servicename").value_or(""));
    const Duration now = context.since_1970();
    const auto is_wanted = [&](const AclTokenRow& token) {
        const auto has_service = [&](const auto& identity) { return identity.service == service; };
        return !token.is_expired(now) &&
               (policy.empty() || std::find(token.policies.begin(), token.policies.end(), policy) !=
                                      token.policies.end()) &&
               (service.empty() ||
                std::any_of(
                    token.service_identities.begin(), token.service_identities.end(), has_service
                ));
    };
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_array();
    for (const auto& [accessor, token] : context.catalog().acl().tokens()) {
        if (is_wanted(token)) write_token(json, context, token, {.shows_secret = shows_secret});
    }
    if (const AclTokenRow* token = context.acl->configured_token(); token && is_wanted(*token)) {
        write_token(json, context, *token, {});
    }
    json.end_array();
    co_return with_index(context, json_answer(call, std::move(out)));
}

Reply acl_token_create(Context context, Call call) {
    return create_token(context, std::move(call));
}

Reply acl_token(Context context, Call call) {
    constexpr std::string_view kClone = "/clone";
    if (call.name.empty()) return refuse(400, "Missing token AccessorID");
    if (call.request.method == "PUT" && call.name.ends_with(kClone)) {
        std::string accessor = call.name.substr(0, call.name.size() - kClone.size());
        return clone_token(context, std::move(call), std::move(accessor));
    }
    if (call.request.method == "PUT") return update_token(context, std::move(call));
    if (call.request.method == "DELETE") return delete_token(context, std::move(call));
    return read_token(context, std::move(call));
}

// Who asks what it may do needs no right to; but the token must be there.
Reply acl_token_self(Context context, Call call) {
    if (!context.acl->is_enabled()) return refuse(401, "ACL support disabled");
    auto access = context.acl->resolve(call.secret, context.since_1970());
    if (!access) return answer_with(not_found(kNoToken));
    const AclTokenRow* token = context.acl->token(access->accessor(), context.since_1970());
    if (token == nullptr) return answer_with(not_found(kNoToken));
    return answer_with(with_index(context, token_answer(context, call, *token, {})));
}

Reply acl_policies(Context context, Call call) {
    if (auto refused = refuse_acl(context, call, Verb::read)) {
        add_plain_index(*refused, 1, false);
        co_return *std::move(refused);
    }
    std::vector<const AclPolicyRow*> rows;
    for (const auto& [id, policy] : context.catalog().acl().policies()) rows.push_back(&policy);
    std::sort(rows.begin(), rows.end(), [](const auto* a, const auto* b) {
        return a->name < b->name;
    });
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_array();
    for (const AclPolicyRow* policy : rows) write_policy(json, *policy, true);
    json.end_array();
    co_return with_index(context, json_answer(call, std::move(out)));
}

Reply acl_policy_create(Context context, Call call) {
    return write_policy_body(context, std::move(call));
}

Reply acl_policy(Context context, Call call) {
    if (call.name.empty()) return refuse(400, "Missing policy ID");
    if (call.request.method == "PUT") return write_policy_body(context, std::move(call));
    if (call.request.method == "DELETE") {
        if (auto refused = refuse_acl(context, call, Verb::write)) {
            return answer_with(*std::move(refused));
        }
        catalog::DeleteAclPolicy command{call.name};
        return write_true(context, std::move(call), std::move(command));
    }
    const AclPolicyRow* policy = context.catalog().acl().policy(call.name);
    return show_policy(context, std::move(call), policy);
}

Reply acl_policy_by_name(Context context, Call call) {
    if (call.name.empty()) return refuse(400, "Missing policy Name");
    const AclPolicyRow* policy = context.catalog().acl().policy_named(call.name);
    return show_policy(context, std::move(call), policy);
}

Reply acl_replication(Context, Call call) {
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_object().key("Enabled").boolean(false).key("Running").boolean(false);
    json.key("SourceDatacenter").string("").key("ReplicationType").string("");
    json.key("ReplicatedIndex").number(0).key("ReplicatedRoleIndex").number(0);
    json.key("ReplicatedTokenIndex").number(0);
    json.key("LastSuccess").string("0001-01-01T00:00:00Z");
    json.key("LastError").string("0001-01-01T00:00:00Z");
    json.key("LastErrorMessage").string("").end_object();
    co_return json_answer(call, std::move(out));
}

}  // namespace datapunk::mesh::server
