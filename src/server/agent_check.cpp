#include <utility>

#include "server/bodies.h"
#include "server/endpoints.h"
#include "server/filter/filter_rows.h"
#include "server/rows_json.h"

namespace datapunk::mesh::server {

namespace {

Reply refuse(int status, std::string text) {
    co_return plain_answer(status, std::move(text));
}

// Changing a check needs the right to its service, or to the node if it is the node's.
std::optional<http::Response> refuse_change(
    const Context& context, const Call& call, std::string_view check_id
) {
    const catalog::CheckRef ref = context.catalog().agent_check(check_id);
    if (ref.check == nullptr) return std::nullopt;  // that is another error, or none
    if (ref.service != nullptr) {
        return refuse_unless(call, Resource::service, Verb::write, ref.service->name);
    }
    return refuse_unless(call, Resource::node, Verb::write, context.node_name());
}

// The same for a check to come, and for the one it replaces.
std::optional<http::Response> refuse_register(
    const Context& context, const Call& call, const catalog::CheckRow& check
) {
    std::optional<http::Response> refused;
    if (check.service_id.empty()) {
        refused = refuse_unless(call, Resource::node, Verb::write, context.node_name());
    } else if (const auto* instance = context.catalog().agent_service(check.service_id)) {
        refused = refuse_unless(call, Resource::service, Verb::write, instance->row.name);
    }
    if (!refused) refused = refuse_change(context, call, check.id.empty() ? check.name : check.id);
    return refused;
}

Reply report(Context context, Call call, Health status) {
    if (call.name.empty()) return refuse(400, "Missing check ID");
    if (auto refused = refuse_change(context, call, call.name)) {
        return refuse(refused->status, refused->body);
    }
    catalog::UpdateCheck command{.check_id = call.name, .status = status, .ttl_only = true};
    command.output = call.query.value("note").value_or("");
    return write(context, std::move(command));
}

}  // namespace

Reply agent_check_register(Context context, Call call) {
    auto command = parse_check(call.request.body);
    if (!command) return refuse(400, command.error().what);
    auto refused = refuse_register(context, call, command->check.check);
    if (!refused) refused = refuse_aliases(call, {command->check});
    if (refused) return refuse(refused->status, refused->body);
    return write(context, *std::move(command));
}

Reply agent_check_deregister(Context context, Call call) {
    if (call.name.empty()) return refuse(400, "Missing check ID");
    if (auto refused = refuse_change(context, call, call.name)) {
        return refuse(refused->status, refused->body);
    }
    return write(context, catalog::DeregisterCheck{call.name});
}

Reply agent_check_pass(Context context, Call call) {
    return report(context, std::move(call), Health::passing);
}

Reply agent_check_warn(Context context, Call call) {
    return report(context, std::move(call), Health::warning);
}

Reply agent_check_fail(Context context, Call call) {
    return report(context, std::move(call), Health::critical);
}

Reply agent_check_update(Context context, Call call) {
    if (call.name.empty()) return refuse(400, "Missing check ID");
    auto command = parse_check_update(call.request.body);
    if (!command) return refuse(400, command.error().what);
    if (auto refused = refuse_change(context, call, call.name)) {
        return refuse(refused->status, refused->body);
    }
    command->check_id = call.name;
    return write(context, *std::move(command));
}

Reply agent_checks(Context context, Call call) {
    ReadOptions options;
    auto refused = read_options(context, call, options);
    if (!refused) refused = read_filter(call, check_schema(), options);
    if (refused) co_return *std::move(refused);
    VisibleTo visible(call);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_object();
    if (const catalog::CatalogNode* node = context.catalog().local(); node != nullptr) {
        for (const auto& [id, owner] : node->check_owner) {
            if (id == "serfHealth") continue;  // the servers' word on this node, not the agent's
            const CheckRowView view{
                context.catalog().agent_check(id), context.registry->output(id)
            };
            const bool shows = view.ref.service == nullptr
                                   ? visible.may(Resource::node, node->row.name)
                                   : visible.may(Resource::service, view.ref.service->name);
            if (!shows || !options.accepts(&view)) continue;
            json.key(id);
            write_agent_check(json, view.ref, view.output);
        }
    }
    json.end_object();
    http::Response response = json_answer(call, std::move(out));
    visible.tell(response);
    co_return std::move(response);
}

}  // namespace datapunk::mesh::server
