#include "catalog/catalog.h"

#include <map>
#include <set>
#include <utility>

#include "server/bodies.h"
#include "server/endpoints.h"
#include "server/filter/filter_rows.h"
#include "server/rows_json.h"

namespace datapunk::mesh::server {

namespace {

using ServiceTags = std::map<std::string_view, std::vector<std::string_view>>;

// With a filter: the services that have an instance to its liking, and those instances' tags.
void keep_matching(
    const Context& context, const Call& call, const ReadOptions& options, ServiceTags& services
) {
    const catalog::ServiceFilter where{
        .tags = {}, .passing_only = false, .node_meta = node_meta(call)
    };
    for (auto service = services.begin(); service != services.end();) {
        std::set<std::string_view> tags;
        bool is_wanted = false;
        for (const catalog::InstanceRef& ref :
             context.catalog().service(service->first, where).data) {
            const InstanceView view{ref, context.config->datacenter};
            if (!options.accepts(&view)) continue;
            is_wanted = true;
            tags.insert(ref.instance->row.tags.begin(), ref.instance->row.tags.end());
        }
        if (is_wanted) {
            service->second.assign(tags.begin(), tags.end());
            ++service;
        } else {
            service = services.erase(service);
        }
    }
}

http::Response render_services(
    const Context& context, const Call& call, const ReadOptions& options
) {
    auto answer = context.catalog().services(node_meta(call));
    if (options.filter) keep_matching(context, call, options, answer.data);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_object();
    for (const auto& [name, tags] : answer.data) {
        json.key(name).begin_array();
        for (const std::string_view tag : tags) json.string(tag);
        json.end_array();
    }
    json.end_object();
    http::Response response = json_answer(call, std::move(out));
    add_index(response, answer.index, options);
    return response;
}

http::Response render_service(
    const Context& context, const Call& call, const ReadOptions& options
) {
    catalog::ServiceFilter filter{.tags = {}, .passing_only = false, .node_meta = node_meta(call)};
    for (const std::string_view tag : call.query.values("tag")) {
        if (!tag.empty()) filter.tags.emplace_back(tag);
    }
    const auto answer = context.catalog().service(call.name, filter);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_array();
    for (const catalog::InstanceRef& ref : answer.data) {
        const InstanceView view{ref, context.config->datacenter};
        if (options.accepts(&view)) write_catalog_service(json, ref, context.config->datacenter);
    }
    json.end_array();
    http::Response response = json_answer(call, std::move(out));
    add_index(response, answer.index, options);
    return response;
}

http::Response render_nodes(const Context& context, const Call& call, const ReadOptions& options) {
    const auto answer = context.catalog().nodes(node_meta(call));
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_array();
    for (const catalog::CatalogNode* node : answer.data) {
        const NodeView view{node->row, context.config->datacenter};
        if (options.accepts(&view)) write_node(json, node->row, context.config->datacenter);
    }
    json.end_array();
    http::Response response = json_answer(call, std::move(out));
    add_index(response, answer.index, options);
    return response;
}

http::Response render_node(const Context& context, const Call& call, const ReadOptions& options) {
    const auto answer = context.catalog().node(call.name);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    if (answer.data == nullptr) {
        json.null();
    } else {
        json.begin_object().key("Node");
        write_node(json, answer.data->row, context.config->datacenter);
        json.key("Services").begin_object();
        for (const auto& [id, instance] : answer.data->services) {
            if (!options.accepts(&instance.row)) continue;
            json.key(id);
            write_service(json, instance.row);
        }
        json.end_object().end_object();
    }
    http::Response response = json_answer(call, std::move(out));
    add_index(response, answer.index, options);
    return response;
}

http::Response render_node_services(
    const Context& context, const Call& call, const ReadOptions& options
) {
    const auto answer = context.catalog().node(call.name);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_object().key("Node");
    if (answer.data == nullptr) {
        json.null().key("Services").null();
    } else {
        write_node(json, answer.data->row, context.config->datacenter);
        json.key("Services").begin_array();
        for (const auto& [id, instance] : answer.data->services) {
            if (options.accepts(&instance.row)) write_service(json, instance.row);
        }
        json.end_array();
    }
    json.end_object();
    http::Response response = json_answer(call, std::move(out));
    add_index(response, answer.index, options);
    return response;
}

Reply refuse(int status, std::string text) {
    co_return plain_answer(status, std::move(text));
}

// Writes of the catalog answer `true`.
Reply write_true(Context context, Call call, catalog::Command command) {
    auto response = co_await write(context, std::move(command));
    if (response.status != 200) co_return std::move(response);
    co_return json_answer(call, "true");
}

}  // namespace

Reply catalog_register(Context context, Call call) {
    auto command = parse_catalog_register(call.request.body);
    if (!command) return refuse(400, command.error().what);
    return write_true(context, std::move(call), *std::move(command));
}

Reply catalog_deregister(Context context, Call call) {
    auto command = parse_catalog_deregister(call.request.body);
    if (!command) return refuse(400, command.error().what);
    return write_true(context, std::move(call), *std::move(command));
}

Reply catalog_datacenters(Context context, Call call) {
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_array().string(context.config->datacenter).end_array();
    co_return json_answer(call, std::move(out));
}

Reply catalog_services(Context context, Call call) {
    const catalog::WatchKey key{catalog::WatchTopic::services, {}};
    return read(
        context, std::move(call), key, Jitter::sixteenth, render_services, &catalog_service_schema()
    );
}

Reply catalog_service(Context context, Call call) {
    if (call.name.empty()) return refuse(400, "Missing service name");
    catalog::WatchKey key{catalog::WatchTopic::service, call.name};
    return read(
        context,
        std::move(call),
        std::move(key),
        Jitter::sixteenth,
        render_service,
        &catalog_service_schema()
    );
}

Reply catalog_nodes(Context context, Call call) {
    const catalog::WatchKey key{catalog::WatchTopic::nodes, {}};
    return read(context, std::move(call), key, Jitter::sixteenth, render_nodes, &node_schema());
}

Reply catalog_node(Context context, Call call) {
    if (call.name.empty()) return refuse(400, "Missing node name");
    catalog::WatchKey key{catalog::WatchTopic::node, call.name};
    return read(
        context, std::move(call), std::move(key), Jitter::sixteenth, render_node, &service_schema()
    );
}

Reply catalog_node_services(Context context, Call call) {
    if (call.name.empty()) return refuse(400, "Missing node name");
    catalog::WatchKey key{catalog::WatchTopic::node, call.name};
    return read(
        context,
        std::move(call),
        std::move(key),
        Jitter::sixteenth,
        render_node_services,
        &service_schema()
    );
}

}  // namespace datapunk::mesh::server
