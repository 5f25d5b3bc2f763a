#include "server/call.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/assert.h"
#include "core/strings.h"

namespace datapunk::mesh::server {

namespace {

// Consul's, see agent/consul/rpc.go: the default, and the most a client may ask for.
constexpr Duration kWaitDefault = std::chrono::minutes(5);
constexpr Duration kWaitMax = std::chrono::minutes(10);

}  // namespace

http::Response plain_answer(int status, std::string text) {
    return http::text_response(status, std::move(text));
}

http::Response error_answer(const catalog::Command& command, const Error& error) {
    return plain_answer(static_cast<int>(catalog::http_status(command, error)), error.what);
}

http::Response json_answer(const Call& call, std::string body, int status) {
    if (call.is_pretty) body += '\n';
    return http::json_response(status, std::move(body));
}

void add_defaults(http::Response& response, const AclGate& acl) {
    response.headers.push_back({"Vary", "Accept-Encoding"});
    response.headers.push_back({"X-Consul-Default-Acl-Policy", std::string(acl.default_policy())});
}

std::optional<http::Response> read_options(
    const Context& context, const Call& call, ReadOptions& out
) {
    const wire::Query& query = call.query;
    const bool is_consistent = query.has("consistent");
    if (query.has("stale") && is_consistent) {
        return plain_answer(400, "Cannot specify ?stale with ?consistent, conflicting semantics.");
    }
    if (query.has("cached") && is_consistent) {
        return plain_answer(400, "Cannot specify ?cached with ?consistent, conflicting semantics.");
    }
    if (const auto text = query.value("max_stale"); text && !text->empty()) {
        const auto duration = core::parse_duration(*text);
        if (!duration) {
            return plain_answer(
                400, fmt::format("Invalid max_stale value \"{}\"", text->substr(0, 64))
            );
        }
    }
    out.is_cached = query.has("cached");
    if (query.has("stale") || query.has("max_stale")) out.consistency = "stale";
    if (is_consistent) out.consistency = "consistent";
    if (const auto index = query.value("index"); index && !index->empty()) {
        const auto number = core::parse_number<std::uint64_t>(*index);
        if (!number) return plain_answer(400, "Invalid index");
        out.index = *number;
    }
    out.wait = kWaitDefault;
    if (const auto wait = query.value("wait"); wait && !wait->empty()) {
        const auto duration = core::parse_duration(*wait);
        if (!duration || *duration < Duration::zero()) {
            return plain_answer(400, "Invalid wait time");
        }
        if (*duration > Duration::zero()) out.wait = std::min(*duration, kWaitMax);
    }
    for (const std::string_view name : {"dc", "datacenter"}) {
        const auto dc = query.value(name);
        if (dc && !dc->empty() && *dc != context.config->datacenter) {
            return plain_answer(500, "No path to datacenter");
        }
    }
    return std::nullopt;
}

std::optional<http::Response> read_filter(
    const Call& call, const FilterSchema& schema, ReadOptions& out
) {
    const auto text = call.query.value("filter");
    if (!text || text->empty()) return std::nullopt;
    auto filter = Filter::compile(*text, schema);
    if (!filter) {
        return plain_answer(
            500, "Failed to create boolean expression evaluator: " + filter.error().what
        );
    }
    out.filter = *std::move(filter);
    return std::nullopt;
}

std::optional<http::Response> refuse_unless(
    const Call& call, Resource resource, Verb verb, std::string_view name
) {
    if (call.access.may(resource, verb, name)) return std::nullopt;
    return plain_answer(403, call.access.refusal(resource, verb, name));
}

std::optional<http::Response> refuse_aliases(
    const Call& call, const std::vector<catalog::CheckRegistration>& checks
) {
    std::optional<http::Response> refused;
    for (const catalog::CheckRegistration& check : checks) {
        const std::string& node = check.check.definition.alias_node;
        if (!refused && !node.empty()) {
            refused = refuse_unless(call, Resource::node, Verb::read, node);
        }
    }
    return refused;
}

void VisibleTo::tell(http::Response& response) const {
    if (!hides_ || !access_.has_token()) return;
    response.headers.push_back({"X-Consul-Results-Filtered-By-Acls", "true"});
}

void add_plain_index(http::Response& response, std::uint64_t index, bool knows_leader) {
    auto& headers = response.headers;
    headers.push_back({"X-Consul-Index", fmt::format("{}", std::max<std::uint64_t>(index, 1))});
    headers.push_back({"X-Consul-Knownleader", knows_leader ? "true" : "false"});
    headers.push_back({"X-Consul-Lastcontact", "0"});
    headers.push_back({"X-Consul-Query-Backend", "blocking-query"});
}

void add_index(http::Response& response, std::uint64_t index, const ReadOptions& options) {
    auto& headers = response.headers;
    headers.push_back({"X-Consul-Effective-Consistency", std::string(options.consistency)});
    add_plain_index(response, index, true);
    if (options.is_cached) {  // the state is in this process: always there, never old
        headers.push_back({"X-Cache", "HIT"});
        headers.push_back({"Age", "0"});
    }
}

std::size_t label_of(const ReadOptions& options) {
    const std::size_t consistency = options.consistency == "leader"  ? 0
                                    : options.consistency == "stale" ? 1
                                                                     : 2;
    return consistency * 2 + (options.is_cached ? 1 : 0);
}

std::string shared_fields(const Context& context, std::uint64_t index, const ReadOptions& options) {
    http::Response response = http::json_response(200, {});
    add_index(response, index, options);
    add_defaults(response, *context.acl);
    auto lines = http::field_lines(response.headers);
    MESH_ASSERT(lines.has_value());  // nothing in them is from elsewhere
    return *std::move(lines);
}

Metadata node_meta(const Call& call) {
    Metadata out;
    for (const std::string_view pair : call.query.values("node-meta")) {
        const std::size_t colon = pair.find(':');
        const std::string_view value =
            colon == std::string_view::npos ? std::string_view() : pair.substr(colon + 1);
        out.insert_or_assign(std::string(pair.substr(0, colon)), std::string(value));
    }
    return out;
}

Reply read(
    Context context,
    Call call,
    catalog::WatchKey key,
    Jitter jitter,
    Render render,
    const FilterSchema* filterable
) {
    ReadOptions options;
    auto refused = read_options(context, call, options);
    if (!refused && filterable != nullptr) refused = read_filter(call, *filterable, options);
    if (refused) co_return *std::move(refused);
    if (options.index > 0) {
        io::Loop& loop = context.registry->loop();
        Duration wait = options.wait;
        if (jitter == Jitter::sixteenth) {
            wait += Duration(loop.rng().below(static_cast<std::uint64_t>(wait.count() / 16) + 1));
        }
        const Instant until = loop.now() + wait;
        auto waited = co_await context.registry->wait(std::move(key), options.index, until);
        if (!waited) co_return plain_answer(429, waited.error().what);
        // Who was allowed to ask minutes ago may not be allowed the answer.
        auto access = context.acl->resolve(call.secret, context.since_1970());
        if (!access) co_return plain_answer(403, access.error().what);
        call.access = *std::move(access);
    }
    co_return render(context, call, options);
}

Reply write(Context context, catalog::Command command) {
    const Instant deadline = context.write_deadline();
    const catalog::Command kind = command;  // for the status of an error
    auto outcome = co_await context.registry->execute(std::move(command), deadline);
    if (!outcome) co_return error_answer(kind, outcome.error());
    co_return http::Response{};
}

Reply write_true(Context context, Call call, catalog::Command command) {
    auto response = co_await write(context, std::move(command));
    if (response.status != 200) co_return std::move(response);
    co_return json_answer(call, "true");
}

}  // namespace datapunk::mesh::server
