#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

#include "core/strings.h"
#include "server/endpoints.h"
#include "server/rows_json.h"

namespace datapunk::mesh::server {

namespace {

// Where Consul's servers talk to each other. We have no such door; clients only compare the text.
constexpr int kServerPort = 8300;
constexpr int kGossipPort = 8301;

http::Response not_ready() {
    return plain_answer(500, "No cluster leader");
}

void write_config(JsonWriter& json, const Context& context, const catalog::NodeRow& node) {
    json.key("Config").begin_object();
    json.key("Datacenter").string(context.config->datacenter);
    json.key("PrimaryDatacenter").string(context.config->datacenter);
    json.key("NodeName").string(node.name).key("NodeID").string(node.id);
    json.key("Revision").string("datapunk").key("Server").boolean(true);
    json.key("Version").string(context.config->version);
    json.key("BuildDate").string("1970-01-01T00:00:01Z").end_object();
}

void write_member(JsonWriter& json, const Context& context, const catalog::NodeRow& node) {
    json.begin_object();
    json.key("Name").string(node.name).key("Addr").string(node.address);
    json.key("Port").number(kGossipPort).key("Tags").begin_object();
    json.key("acls").string(context.acl->is_enabled() ? "1" : "0").key("bootstrap").string("1");
    json.key("build").string(context.config->version + ":datapunk");
    json.key("dc").string(context.config->datacenter).key("id").string(node.id);
    json.key("port").string(fmt::format("{}", kServerPort)).key("role").string("consul");
    json.key("segment").string("").key("vsn").string("2");
    json.key("vsn_max").string("3").key("vsn_min").string("2").end_object();
    json.key("Status").number(1);  // alive
    json.key("ProtocolMin").number(1).key("ProtocolMax").number(5).key("ProtocolCur").number(2);
    json.key("DelegateMin").number(2).key("DelegateMax").number(5).key("DelegateCur").number(4);
    json.end_object();
}

std::string leader_of(const catalog::NodeRow& node) {
    const ServiceEndpoint self{.host = node.address, .port = kServerPort};
    return self.address();
}

}  // namespace

Reply agent_self(Context context, Call call) {
    const catalog::CatalogNode* node = context.catalog().local();
    if (node == nullptr) co_return not_ready();
    auto refused = refuse_unless(call, Resource::agent, Verb::read, node->row.name);
    if (refused) co_return *std::move(refused);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_object();
    write_config(json, context, node->row);
    json.key("DebugConfig").begin_object().end_object();
    json.key("Coord").null();
    json.key("Member");
    write_member(json, context, node->row);
    json.key("Stats").begin_object();
    json.key("agent").begin_object();
    json.key("check_monitors").string("0");
    json.key("services").string(fmt::format("{}", node->services.size()));
    json.key("checks").string(fmt::format("{}", node->check_owner.size()));
    json.end_object().end_object();
    json.key("Meta").begin_object();
    for (const auto& [key, value] : node->row.meta) json.key(key).string(value);
    json.end_object().end_object();
    co_return json_answer(call, std::move(out));
}

Reply agent_members(Context context, Call call) {
    const catalog::CatalogNode* node = context.catalog().local();
    if (node == nullptr) co_return not_ready();
    std::string out;
    JsonWriter json(out, call.is_pretty);
    VisibleTo visible(call);
    json.begin_array();
    if (visible.may(Resource::node, node->row.name)) write_member(json, context, node->row);
    json.end_array();
    http::Response response = json_answer(call, std::move(out));
    visible.tell(response);
    co_return std::move(response);
}

// What `consul version` of a client compares; the version is the API's.
Reply agent_version(Context context, Call call) {
    auto refused = refuse_unless(call, Resource::agent, Verb::read, context.node_name());
    if (refused) co_return *std::move(refused);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_object().key("SHA").string("datapunk");
    json.key("BuildDate").string("1970-01-01T00:00:01Z");
    json.key("HumanVersion").string(context.config->version).key("FIPS").string("").end_object();
    co_return json_answer(call, std::move(out));
}

// The gauges that are true of this registry, under Consul's names.
Reply agent_metrics(Context context, Call call) {
    auto refused = refuse_unless(call, Resource::agent, Verb::read, context.node_name());
    if (refused) co_return *std::move(refused);
    const catalog::Catalog& catalog = context.catalog();
    std::size_t instances = 0;
    for (const catalog::CatalogNode* node : catalog.nodes().data) {
        instances += node->services.size();
    }
    const std::array<std::pair<std::string_view, std::size_t>, 5> gauges = {{
        {"state_nodes", catalog.nodes().data.size()},
        {"state_services", catalog.services().data.size()},
        {"state_service_instances", instances},
        {"state_kv_entries", catalog.kv_list("").data.size()},
        {"datapunk_blocking_queries", context.registry->waiters()},
    }};
    if (call.query.value("format").value_or("") == "prometheus") {
        std::string text;
        for (const auto& [name, value] : gauges) {
            text += fmt::format("# TYPE consul_{} gauge\nconsul_{} {}\n", name, name, value);
        }
        co_return http::Response{
            .status = 200,
            .headers = {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}},
            .body = std::move(text)
        };
    }
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_object();
    const WallTime now = context.registry->loop().wall_now();
    json.key("Timestamp").string(core::format_utc(now));
    json.key("Gauges").begin_array();
    for (const auto& [name, value] : gauges) {
        std::string dotted = fmt::format("consul.{}", name);
        if (const auto first = dotted.find('_'); first != std::string::npos) dotted[first] = '.';
        json.begin_object().key("Name").string(dotted).key("Value").number(value);
        json.key("Labels").begin_object().end_object().end_object();
    }
    json.end_array();
    json.key("Points").begin_array().end_array().key("Counters").begin_array().end_array();
    json.key("Samples").begin_array().end_array().end_object();
    co_return json_answer(call, std::move(out));
}

Reply status_leader(Context context, Call call) {
    const catalog::CatalogNode* node = context.catalog().local();
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.string(node == nullptr ? std::string() : leader_of(node->row));
    co_return json_answer(call, std::move(out));
}

Reply status_peers(Context context, Call call) {
    const catalog::CatalogNode* node = context.catalog().local();
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_array();
    if (node != nullptr) json.string(leader_of(node->row));
    json.end_array();
    co_return json_answer(call, std::move(out));
}

}  // namespace datapunk::mesh::server
