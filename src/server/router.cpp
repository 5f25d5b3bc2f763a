#include <fmt/format.h>

#include <array>
#include <utility>

#include "server/endpoints.h"
#include "server/registry_server.h"

namespace datapunk::mesh::server {

namespace {

struct Route {
    std::string_view path;     // ends with "/": what follows is the call's name
    std::string_view methods;  // as Allow lists them, after OPTIONS
    Reply (*run)(Context, Call);
    bool is_open = false;  // answered whatever token is shown
};

constexpr std::array kRoutes = {
    Route{"/v1/agent/service/register", "PUT", agent_service_register},
    Route{"/v1/agent/service/deregister/", "PUT", agent_service_deregister},
    Route{"/v1/agent/service/maintenance/", "PUT", agent_service_maintenance},
    Route{"/v1/agent/service/", "GET", agent_service},
    Route{"/v1/agent/services", "GET", agent_services},
    Route{"/v1/agent/maintenance", "PUT", agent_maintenance},
    Route{"/v1/agent/check/register", "PUT", agent_check_register},
    Route{"/v1/agent/check/deregister/", "PUT", agent_check_deregister},
    Route{"/v1/agent/check/pass/", "PUT", agent_check_pass},
    Route{"/v1/agent/check/warn/", "PUT", agent_check_warn},
    Route{"/v1/agent/check/fail/", "PUT", agent_check_fail},
    Route{"/v1/agent/check/update/", "PUT", agent_check_update},
    Route{"/v1/agent/checks", "GET", agent_checks},
    Route{"/v1/agent/health/service/id/", "GET", agent_health_by_id},
    Route{"/v1/agent/health/service/name/", "GET", agent_health_by_name},
    Route{"/v1/agent/self", "GET", agent_self},
    Route{"/v1/agent/members", "GET", agent_members},
    Route{"/v1/catalog/register", "PUT", catalog_register},
    Route{"/v1/catalog/deregister", "PUT", catalog_deregister},
    Route{"/v1/catalog/datacenters", "GET", catalog_datacenters},
    Route{"/v1/catalog/services", "GET", catalog_services},
    Route{"/v1/catalog/service/", "GET", catalog_service},
    Route{"/v1/catalog/nodes", "GET", catalog_nodes},
    Route{"/v1/catalog/node/", "GET", catalog_node},
    Route{"/v1/catalog/node-services/", "GET", catalog_node_services},
    Route{"/v1/health/service/", "GET", health_service},
    Route{"/v1/health/checks/", "GET", health_checks},
    Route{"/v1/health/node/", "GET", health_node},
    Route{"/v1/health/state/", "GET", health_state},
    Route{"/v1/kv/", "GET,PUT,DELETE", kv},
    Route{"/v1/snapshot", "GET,PUT", snapshot},
    Route{"/v1/status/leader", "GET", status_leader, true},
    Route{"/v1/status/peers", "GET", status_peers, true},
    Route{"/v1/acl/bootstrap", "PUT", acl_bootstrap, true},
    Route{"/v1/acl/tokens", "GET", acl_tokens},
    Route{"/v1/acl/token", "PUT", acl_token_create},
    Route{"/v1/acl/token/self", "GET", acl_token_self, true},
    Route{"/v1/acl/token/", "GET,PUT,DELETE", acl_token},
    Route{"/v1/acl/policies", "GET", acl_policies},
    Route{"/v1/acl/policy", "PUT", acl_policy_create},
    Route{"/v1/acl/policy/name/", "GET", acl_policy_by_name},
    Route{"/v1/acl/policy/", "GET,PUT,DELETE", acl_policy},
    Route{"/v1/acl/replication", "GET", acl_replication, true},
    Route{"/v1/session/create", "PUT", session_create},
    Route{"/v1/session/destroy/", "PUT", session_destroy},
    Route{"/v1/session/renew/", "PUT", session_renew},
    Route{"/v1/session/info/", "GET", session_info},
    Route{"/v1/session/node/", "GET", session_node},
    Route{"/v1/session/list", "GET", session_list},
    Route{"/v1/txn", "PUT", txn},
    Route{"/v1/event/fire/", "PUT", event_fire},
    Route{"/v1/event/list", "GET", event_list},
    Route{"/v1/agent/version", "GET", agent_version},
    Route{"/v1/agent/metrics", "GET", agent_metrics},
    Route{"/v1/query", "GET,POST", queries},
    Route{"/v1/query/", "GET,PUT,DELETE", query},
    // What follows is answered 501.
    Route{"/v1/acl/login", "POST", absent, true},
    Route{"/v1/acl/logout", "POST", absent, true},
    Route{"/v1/acl/roles", "GET", absent, true},
    Route{"/v1/acl/role", "PUT", absent, true},
    Route{"/v1/acl/role/", "GET,PUT,DELETE", absent, true},
    Route{"/v1/acl/binding-rules", "GET", absent, true},
    Route{"/v1/acl/binding-rule", "PUT", absent, true},
    Route{"/v1/acl/binding-rule/", "GET,PUT,DELETE", absent, true},
    Route{"/v1/acl/auth-methods", "GET", absent, true},
    Route{"/v1/acl/auth-method", "PUT", absent, true},
    Route{"/v1/acl/auth-method/", "GET,PUT,DELETE", absent, true},
    Route{"/v1/acl/templated-policies", "GET", absent, true},
    Route{"/v1/acl/templated-policy/", "GET,POST", absent, true},
    Route{"/v1/agent/connect/", "GET,POST", absent, true},
    Route{"/v1/agent/force-leave/", "PUT", absent, true},
    Route{"/v1/agent/host", "GET", absent, true},
    Route{"/v1/agent/join/", "PUT", absent, true},
    Route{"/v1/agent/leave", "PUT", absent, true},
    Route{"/v1/agent/metrics/stream", "GET", absent, true},
    Route{"/v1/agent/monitor", "GET", absent, true},
    Route{"/v1/agent/reload", "PUT", absent, true},
    Route{"/v1/agent/token/", "PUT", absent, true},
    Route{"/v1/catalog/connect/", "GET", absent, true},
    Route{"/v1/catalog/gateway-services/", "GET", absent, true},
    Route{"/v1/config", "PUT", absent, true},
    Route{"/v1/config/", "GET,DELETE", absent, true},
    Route{"/v1/connect/", "GET,POST,PUT,DELETE", absent, true},
    Route{"/v1/coordinate/", "GET,PUT", absent, true},
    Route{"/v1/discovery-chain/", "GET,POST", absent, true},
    Route{"/v1/exported-services", "GET", absent, true},
    Route{"/v1/health/connect/", "GET", absent, true},
    Route{"/v1/health/ingress/", "GET", absent, true},
    Route{"/v1/imported-services", "GET", absent, true},
    Route{"/v1/internal/", "GET,POST,PUT", absent, true},
    Route{"/v1/operator/", "GET,POST,PUT,DELETE", absent, true},
    Route{"/v1/peering/", "GET,POST,DELETE", absent, true},
    Route{"/v1/peerings", "GET", absent, true},
};

const Route* find_route(std::string_view path) {
    for (const Route& route : kRoutes) {
        const bool matches =
            route.path.ends_with('/') ? path.starts_with(route.path) : path == route.path;
        if (matches) return &route;
    }
    return nullptr;
}

bool allows(std::string_view methods, std::string_view method) {
    while (!methods.empty()) {
        const std::size_t comma = methods.find(',');
        if (methods.substr(0, comma) == method) return true;
        methods = comma == std::string_view::npos ? std::string_view() : methods.substr(comma + 1);
    }
    return false;
}

// Go's path.Clean as its HTTP router uses it: "//" is redirected away.
std::string without_double_slashes(std::string_view target) {
    std::string out;
    const std::size_t end = std::min(target.find('?'), target.size());
    for (std::size_t i = 0; i < end; ++i) {
        if (target[i] != '/' || out.empty() || out.back() != '/') out += target[i];
    }
    return out + std::string(target.substr(end));
}

http::Response with_defaults(http::Response response, const AclGate& acl) {
    if (response.shared_fields == nullptr) add_defaults(response, acl);
    return response;
}

// Reads of the catalog answer with an index, also when they refuse a token.
bool answers_with_index(std::string_view path, std::string_view method) {
    return method == "GET" && path != "/v1/catalog/datacenters" &&
           (path.starts_with("/v1/catalog/") || path.starts_with("/v1/health/") ||
            path.starts_with("/v1/acl/"));
}

// A call that its route can answer, or the answer that says why not.
struct Routed {
    const Route* route = nullptr;
    Call call;
    http::Response refusal;
};

Routed route_request(http::Request request, AclGate& acl, Duration since_1970) {
    Routed out;
    const std::string_view path = request.path();
    if (path.find("//") != std::string_view::npos) {
        out.refusal.status = 301;
        out.refusal.headers.push_back({"Location", without_double_slashes(request.target)});
        return out;
    }
    const Route* route = find_route(path);
    if (route == nullptr) {
        out.refusal = plain_answer(404, "Invalid URL path: not a recognized HTTP API endpoint");
        return out;
    }
    std::string_view method = request.method;
    if (method == "HEAD") method = "GET";
    if (!allows(route->methods, method)) {
        const bool is_question = method == "OPTIONS";
        out.refusal = is_question ? http::Response{}
                                  : plain_answer(405, fmt::format("method {} not allowed", method));
        out.refusal.headers.push_back({"Allow", fmt::format("OPTIONS,{}", route->methods)});
        out.refusal = with_defaults(std::move(out.refusal), acl);
        return out;
    }
    std::string_view rest = path;
    rest.remove_prefix(route->path.size());
    auto name = wire::percent_decode(rest);
    auto query = wire::Query::parse(request.query());
    if (!name || !query) {
        out.refusal = with_defaults(
            plain_answer(400, name ? query.error().what : "invalid URL escape in the path"), acl
        );
        return out;
    }
    out.call.secret = secret_of(request, query->value("token"));
    if (!route->is_open) {
        auto access = acl.resolve(out.call.secret, since_1970);
        if (!access) {
            out.refusal = plain_answer(403, access.error().what);
            if (answers_with_index(path, method)) add_plain_index(out.refusal, 1, false);
            out.refusal = with_defaults(std::move(out.refusal), acl);
            return out;
        }
        out.call.access = *std::move(access);
    }
    out.route = route;
    out.call.name = *std::move(name);
    out.call.query = *std::move(query);
    out.call.is_pretty = out.call.query.has("pretty");
    out.call.request = std::move(request);
    return out;
}

}  // namespace

std::vector<ApiPath> api_paths() {
    std::vector<ApiPath> out;
    for (const Route& route : kRoutes) out.push_back({route.path, route.methods});
    return out;
}

RegistryServer::RegistryServer(
    registry::embedded::EmbeddedRegistry& registry, RegistryServerConfig config
)
    : config_(std::move(config)),
      answers_(config_.answer_cache_bytes_max),
      acl_(registry.catalog(), config_.acl, config_.datacenter),
      digests_(registry.loop().rng()()),
      context_{&registry, &config_, &answers_, &acl_, &digests_} {}

io::Task<http::Response> RegistryServer::handle(http::Request request) {
    Routed routed = route_request(std::move(request), acl_, context_.since_1970());
    if (routed.route == nullptr) co_return std::move(routed.refusal);
    if (!routed.route->is_open && context_.catalog().local() == nullptr) {
        // Just born: before its own first write is durable there is nothing to answer with, and an
        // empty answer would be a lie.
        const bool has_begun = co_await context_.registry->begun(context_.write_deadline());
        if (!has_begun) co_return with_defaults(plain_answer(500, "No cluster leader"), acl_);
    }
    auto response = co_await routed.route->run(context_, std::move(routed.call));
    co_return with_defaults(std::move(response), acl_);
}

std::optional<http::Response> RegistryServer::refuse_unread(const http::Request& head) {
    if (body_bytes_max(head.target) == 0) return std::nullopt;
    Routed routed = route_request(head, acl_, context_.since_1970());
    if (routed.route == nullptr) return std::move(routed.refusal);
    auto refused = refuse_unless(routed.call, Resource::acl, Verb::write);
    if (!refused) return std::nullopt;
    return with_defaults(*std::move(refused), acl_);
}

std::size_t RegistryServer::body_bytes_max(std::string_view target) const {
    return target.substr(0, target.find('?')) == "/v1/snapshot" ? kSnapshotBytesMax : 0;
}

}  // namespace datapunk::mesh::server
