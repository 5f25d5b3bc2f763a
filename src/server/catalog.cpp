#include "catalog/catalog.h"

#include <map>
#include <set>
#include <utility>

#include "server/bodies.h"
#include "server/endpoints.h"
#include "server/filter/filter_rows.h"
#include "server/near.h"
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
    VisibleTo visible(call);
    std::erase_if(answer.data, [&](const auto& service) {
        return !visible.may(Resource::service, service.first);
    });
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
    visible.tell(response);
    return response;
}

http::Response render_service(
    const Context& context, const Call& call, const ReadOptions& options
) {
    catalog::ServiceFilter filter{.tags = {}, .passing_only = false, .node_meta = node_meta(call)};
    for (const std::string_view tag : call.query.values("tag")) {
        if (!tag.empty()) filter.tags.emplace_back(tag);
    }
    auto answer = context.catalog().service(call.name, filter);
    const auto near = call.query.value("near").value_or("");
    nearest_first(context.catalog(), near, answer.data, node_of_ref);
    VisibleTo visible(call);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_array();
    for (const catalog::InstanceRef& ref : answer.data) {
        const InstanceView view{ref, context.config->datacenter};
        if (!options.accepts(&view) || !visible.instance(ref)) continue;
        write_catalog_service(json, ref, context.config->datacenter);
    }
    json.end_array();
    http::Response response = json_answer(call, std::move(out));
    add_index(response, answer.index, options);
    visible.tell(response);
    return response;
}

http::Response render_nodes(const Context& context, const Call& call, const ReadOptions& options) {
    auto answer = context.catalog().nodes(node_meta(call));
    const auto near = call.query.value("near").value_or("");
    nearest_first(context.catalog(), near, answer.data, [](const auto* node) { return node; });
    VisibleTo visible(call);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_array();
    for (const catalog::CatalogNode* node : answer.data) {
        const NodeView view{node->row, context.config->datacenter};
        if (!options.accepts(&view) || !visible.may(Resource::node, node->row.name)) continue;
        write_node(json, node->row, context.config->datacenter);
    }
    json.end_array();
    http::Response response = json_answer(call, std::move(out));
    add_index(response, answer.index, options);
    visible.tell(response);
    return response;
}

http::Response render_node(const Context& context, const Call& call, const ReadOptions& options) {
    const auto answer = context.catalog().node(call.name);
    VisibleTo visible(call);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    if (answer.data == nullptr || !visible.may(Resource::node, answer.data->row.name)) {
        json.null();
    } else {
        json.begin_object().key("Node");
        write_node(json, answer.data->row, context.config->datacenter);
        json.key("Services").begin_object();
        for (const auto& [id, instance] : answer.data->services) {
            if (!options.accepts(&instance.row)) continue;
            if (!visible.may(Resource::service, instance.row.name)) continue;
            json.key(id);
            write_service(json, instance.row);
        }
        json.end_object().end_object();
    }
    http::Response response = json_answer(call, std::move(out));
    add_index(response, answer.index, options);
    visible.tell(response);
    return response;
}

http::Response render_node_services(
    const Context& context, const Call& call, const ReadOptions& options
) {
    const auto answer = context.catalog().node(call.name);
    VisibleTo visible(call);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_object().key("Node");
    if (answer.data == nullptr || !visible.may(Resource::node, answer.data->row.name)) {
        json.null().key("Services").null();
    } else {
        write_node(json, answer.data->row, context.config->datacenter);
        json.key("Services").begin_array();
        for (const auto& [id, instance] : answer.data->services) {
            if (!options.accepts(&instance.row)) continue;
            if (visible.may(Resource::service, instance.row.name))
                write_service(json, instance.row);
        }
        json.end_array();
    }
    json.end_object();
    http::Response response = json_answer(call, std::move(out));
    add_index(response, answer.index, options);
    visible.tell(response);
    return response;
}

Reply refuse(int status, std::string text) {
    co_return plain_answer(status, std::move(text));
}

// The service that has this id on the node, if any.
const catalog::Instance* find_instance(const catalog::CatalogNode* node, std::string_view id) {
    if (node == nullptr || id.empty()) return nullptr;
    const auto found = node->services.find(id);
    return found == node->services.end() ? nullptr : &found->second;
}

// Writing a node's row, a service (also the one it replaces) and each check needs a right of its
// own. A node that stays as it is needs none.
std::optional<http::Response> refuse_register(
    const Context& context, const Call& call, const catalog::CatalogRegister& command
) {
    if (call.access.may_everything()) return std::nullopt;
    const catalog::CatalogNode* node = context.catalog().node(command.node.name).data;
    const auto may_write_node = [&] {
        return refuse_unless(call, Resource::node, Verb::write, command.node.name);
    };
    const auto is_same_node = [&] {
        const catalog::NodeRow& row = node->row;
        const catalog::NodeRow& wanted = command.node;
        return row.address == wanted.address && row.id == wanted.id && row.meta == wanted.meta &&
               row.tagged_addresses == wanted.tagged_addresses;
    };
    std::optional<http::Response> refused;
    const bool keeps_node = node != nullptr && (command.skip_node_update || is_same_node());
    if (!keeps_node) refused = may_write_node();
    if (!refused && command.service) {
        const std::string& id =
            command.service->id.empty() ? command.service->name : command.service->id;
        refused = refuse_unless(call, Resource::service, Verb::write, command.service->name);
        if (const catalog::Instance* old = find_instance(node, id); !refused && old != nullptr) {
            refused = refuse_unless(call, Resource::service, Verb::write, old->row.name);
        }
    }
    for (const catalog::CheckRow& check : command.checks) {
        if (refused) break;
        const catalog::Instance* old = find_instance(node, check.service_id);
        const bool is_new = command.service && (command.service->id == check.service_id ||
                                                command.service->name == check.service_id);
        if (check.service_id.empty()) {
            refused = may_write_node();
        } else if (!is_new && old != nullptr) {
            refused = refuse_unless(call, Resource::service, Verb::write, old->row.name);
        }
    }
    return refused;
}

// Who may write the node may remove all of it; else the service's right is needed.
std::optional<http::Response> refuse_deregister(
    const Context& context, const Call& call, const catalog::CatalogDeregister& command
) {
    if (call.access.may(Resource::node, Verb::write, command.node)) return std::nullopt;
    const catalog::CatalogNode* node = context.catalog().node(command.node).data;
    std::string_view service_id = command.service_id;
    if (service_id.empty() && !command.check_id.empty() && node != nullptr) {
        const auto owner = node->check_owner.find(command.check_id);
        if (owner != node->check_owner.end()) service_id = owner->second;
    }
    const catalog::Instance* instance = find_instance(node, service_id);
    if (instance != nullptr) {
        return refuse_unless(call, Resource::service, Verb::write, instance->row.name);
    }
    return refuse_unless(call, Resource::node, Verb::write, command.node);
}

}  // namespace

Reply catalog_register(Context context, Call call) {
    auto command = parse_catalog_register(call.request.body);
    if (!command) return refuse(400, command.error().what);
    if (auto refused = refuse_register(context, call, *command)) {
        return refuse(refused->status, refused->body);
    }
    return write_true(context, std::move(call), *std::move(command));
}

Reply catalog_deregister(Context context, Call call) {
    auto command = parse_catalog_deregister(call.request.body);
    if (!command) return refuse(400, command.error().what);
    if (auto refused = refuse_deregister(context, call, *command)) {
        return refuse(refused->status, refused->body);
    }
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
