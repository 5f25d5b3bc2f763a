// /v1/query: prepared queries.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "core/strings.h"
#include "io/random.h"
#include "server/endpoints.h"
#include "server/near.h"
#include "server/query_body.h"
#include "server/query_run.h"
#include "server/rows_json.h"

namespace datapunk::mesh::server {

namespace {

using catalog::QueryRow;

Reply refuse(int status, std::string text) {
    co_return plain_answer(status, std::move(text));
}

Reply answer_with(http::Response response) {
    co_return std::move(response);
}

http::Response not_found() {
    http::Response response = plain_answer(404, "Query not found");
    add_plain_index(response, 1, false);
    return response;
}

// A query's name is what rules are for; one without a name is its id's holder's.
std::optional<http::Response> refuse_query(const Call& call, Verb verb, const QueryRow& row) {
    if (row.name.empty()) return std::nullopt;
    return refuse_unless(call, Resource::query, verb, row.name);
}

void write_texts_or_null(JsonWriter& json, const std::vector<std::string>& texts) {
    if (texts.empty()) {
        json.null();
    } else {
        write_texts(json, texts);
    }
}

void write_pairs_or_null(JsonWriter& json, const Metadata& pairs) {
    if (pairs.empty()) {
        json.null();
        return;
    }
    json.begin_object();
    for (const auto& [key, value] : pairs) json.key(key).string(value);
    json.end_object();
}

void write_query(JsonWriter& json, const Call& call, const QueryRow& row) {
    // A token in a query is a secret of whoever wrote it.
    const bool shows_token = row.token.empty() || call.access.may(Resource::acl, Verb::write);
    json.begin_object();
    json.key("ID").string(row.id).key("Name").string(row.name).key("Session").string("");
    json.key("Token").string(shows_token ? std::string_view(row.token) : "<hidden>");
    json.key("Template").begin_object().key("Type").string("").key("Regexp").string("");
    json.key("RemoveEmptyTags").boolean(false).end_object();
    json.key("Service").begin_object().key("Service").string(row.service);
    json.key("SamenessGroup").string("");
    json.key("Failover").begin_object().key("NearestN").number(0);
    json.key("Datacenters").null().key("Targets").null().end_object();
    json.key("OnlyPassing").boolean(row.only_passing).key("IgnoreCheckIDs");
    write_texts_or_null(json, row.ignore_checks);
    json.key("Near").string(row.near).key("Tags");
    write_texts_or_null(json, row.tags);
    json.key("NodeMeta");
    write_pairs_or_null(json, row.node_meta);
    json.key("ServiceMeta");
    write_pairs_or_null(json, row.service_meta);
    json.key("Connect").boolean(false).key("Peer").string("").end_object();
    json.key("DNS").begin_object().key("TTL").string(row.dns_ttl).end_object();
    json.key("CreateIndex").number(row.index.created);
    json.key("ModifyIndex").number(row.index.modified).end_object();
}

// Who may manage sees all; others what a rule for its name shows them.
bool shows(VisibleTo& visible, const Call& call, const QueryRow& row) {
    if (row.name.empty()) return call.access.may_everything();
    return visible.may(Resource::query, row.name);
}

http::Response render_queries(
    const Context& context, const Call& call, const ReadOptions& options
) {
    VisibleTo visible(call);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_array();
    for (const auto& [id, row] : context.catalog().queries().rows()) {
        if (shows(visible, call, row)) write_query(json, call, row);
    }
    json.end_array();
    http::Response response = json_answer(call, std::move(out));
    add_index(response, context.catalog().index_of({catalog::WatchTopic::queries, {}}), options);
    visible.tell(response);
    return response;
}

http::Response render_query(const Context& context, const Call& call, const ReadOptions& options) {
    const QueryRow* row = context.catalog().queries().get(call.name);
    if (row == nullptr) return not_found();
    if (auto refused = refuse_query(call, Verb::read, *row)) return *std::move(refused);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_array();
    write_query(json, call, *row);
    json.end_array();
    http::Response response = json_answer(call, std::move(out));
    add_index(response, context.catalog().index_of({catalog::WatchTopic::queries, {}}), options);
    return response;
}

void write_meta(JsonWriter& json, const ReadOptions& options, bool is_filtered) {
    json.key("Index").number(1).key("LastContact").number(0).key("KnownLeader").boolean(true);
    json.key("ConsistencyLevel").string(options.consistency);
    json.key("NotModified").boolean(false).key("Backend").number(0);
    json.key("ResultsFilteredByACLs").boolean(is_filtered);
}

// The most instances to answer with; an answer if it is no number.
std::optional<http::Response> read_limit(const Call& call, std::size_t& out) {
    const auto text = call.query.value("limit");
    if (!text || text->empty()) return std::nullopt;
    const auto limit = core::parse_number<std::uint32_t>(*text);
    if (!limit) return plain_answer(400, "Invalid limit");
    if (*limit > 0) out = *limit;
    return std::nullopt;
}

Reply execute(Context context, Call call, std::string name) {
    ReadOptions options;
    std::size_t limit = std::numeric_limits<std::size_t>::max();
    auto refused = read_options(context, call, options);
    if (!refused) refused = read_limit(call, limit);
    if (refused) co_return *std::move(refused);
    const QueryRow* row = context.catalog().queries().find(name);
    if (row == nullptr) co_return not_found();
    if (!row->token.empty()) {  // the query brings its own rights
        auto access = context.acl->resolve(row->token, context.since_1970());
        if (!access) co_return plain_answer(403, access.error().what);
        call.access = *std::move(access);
    }
    VisibleTo visible(call);
    std::vector<catalog::InstanceRef> found = run_query(context.catalog(), *row);
    const std::size_t all = found.size();
    std::erase_if(found, [&](const catalog::InstanceRef& ref) { return !visible.instance(ref); });
    const bool is_filtered = found.size() < all && call.access.has_token();
    // As Consul: callers that take the first one share the load.
    core::Rng& rng = context.registry->loop().rng();
    for (std::size_t i = found.size(); i > 1; --i) std::swap(found[i - 1], found[rng.below(i)]);
    const auto near = call.query.value("near").value_or("");
    nearest_first(context.catalog(), near.empty() ? row->near : near, found, node_of_ref);
    if (found.size() > limit) found.resize(limit);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_object().key("Service").string(row->service).key("Nodes").begin_array();
    for (const catalog::InstanceRef& ref : found) {
        write_health(json, ref, context.config->datacenter, NoTags::null);
    }
    json.end_array();
    json.key("DNS").begin_object().key("TTL").string(row->dns_ttl).end_object();
    json.key("Datacenter").string(context.config->datacenter).key("PeerName").string("");
    json.key("Failovers").number(0);
    write_meta(json, options, is_filtered);
    json.end_object();
    http::Response response = json_answer(call, std::move(out));
    add_index(response, 1, options);
    visible.tell(response);
    co_return std::move(response);
}

Reply explain(Context context, Call call, std::string name) {
    ReadOptions options;
    auto refused = read_options(context, call, options);
    if (refused) co_return *std::move(refused);
    const QueryRow* row = context.catalog().queries().find(name);
    if (row == nullptr) co_return not_found();
    refused = refuse_query(call, Verb::read, *row);
    if (refused) co_return *std::move(refused);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_object().key("Query");
    write_query(json, call, *row);
    write_meta(json, options, false);
    json.end_object();
    http::Response response = json_answer(call, std::move(out));
    add_index(response, 1, options);
    co_return std::move(response);
}

int status_of(const Error& error) {
    if (error.code == Code::unavailable) return 501;
    return error.code == Code::conflict ? 500 : 400;
}

Reply create(Context context, Call call) {
    auto row = parse_query(call.request.body);
    if (!row) co_return plain_answer(status_of(row.error()), row.error().what);
    if (!row->id.empty()) {
        co_return plain_answer(400, "ID must be empty when creating a new prepared query");
    }
    auto refused = refuse_query(call, Verb::write, *row);
    if (refused) co_return *std::move(refused);
    row->id = io::random_uuid();
    const std::string id = row->id;
    catalog::Command command = catalog::SetQuery{*std::move(row)};
    auto response = co_await write(context, std::move(command));
    if (response.status != 200) co_return std::move(response);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_object().key("ID").string(id).end_object();
    co_return json_answer(call, std::move(out));
}

Reply update(Context context, Call call) {
    auto row = parse_query(call.request.body);
    if (!row) return refuse(status_of(row.error()), row.error().what);
    const QueryRow* old = context.catalog().queries().get(call.name);
    if (old == nullptr) return answer_with(not_found());
    auto refused = refuse_query(call, Verb::write, *old);
    if (!refused) refused = refuse_query(call, Verb::write, *row);
    if (refused) return answer_with(*std::move(refused));
    row->id = call.name;
    if (row->token == "<hidden>") row->token = old->token;
    return write(context, catalog::SetQuery{*std::move(row)});
}

Reply erase(Context context, Call call) {
    const QueryRow* old = context.catalog().queries().get(call.name);
    if (old == nullptr) return answer_with(not_found());
    if (auto refused = refuse_query(call, Verb::write, *old)) {
        return answer_with(*std::move(refused));
    }
    return write(context, catalog::DeleteQuery{call.name});
}

}  // namespace

Reply queries(Context context, Call call) {
    if (call.request.method == "POST") return create(context, std::move(call));
    const catalog::WatchKey key{catalog::WatchTopic::queries, {}};
    return read(context, std::move(call), key, Jitter::sixteenth, render_queries);
}

Reply query(Context context, Call call) {
    struct Named {
        std::string_view suffix;
        Reply (*run)(Context, Call, std::string);
    };

    constexpr std::array kNamed = {Named{"/execute", execute}, Named{"/explain", explain}};
    for (const auto& [suffix, run] : kNamed) {
        if (!call.name.ends_with(suffix)) continue;
        if (call.request.method != "GET" && call.request.method != "HEAD") {
            return refuse(405, fmt::format("method {} not allowed", call.request.method));
        }
        std::string name = call.name.substr(0, call.name.size() - suffix.size());
        return run(context, std::move(call), std::move(name));
    }
    if (call.request.method == "PUT") return update(context, std::move(call));
    if (call.request.method == "DELETE") return erase(context, std::move(call));
    constexpr std::size_t kUuidBytes = 36;
    if (call.name.size() != kUuidBytes) {
        http::Response bad = plain_answer(
            500, "failed prepared query lookup: index error: UUID must be 36 characters"
        );
        add_plain_index(bad, 1, false);
        return answer_with(std::move(bad));
    }
    const catalog::WatchKey key{catalog::WatchTopic::queries, {}};
    return read(context, std::move(call), key, Jitter::sixteenth, render_query);
}

}  // namespace datapunk::mesh::server
