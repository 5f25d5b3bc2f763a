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

Reply report(Context context, Call call, Health status) {
    if (call.name.empty()) return refuse(400, "Missing check ID");
    catalog::UpdateCheck command{.check_id = call.name, .status = status, .ttl_only = true};
    command.output = call.query.value("note").value_or("");
    return write(context, std::move(command));
}

}  // namespace

Reply agent_check_register(Context context, Call call) {
    auto command = parse_check(call.request.body);
    if (!command) return refuse(400, command.error().what);
    return write(context, *std::move(command));
}

Reply agent_check_deregister(Context context, Call call) {
    if (call.name.empty()) return refuse(400, "Missing check ID");
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
    command->check_id = call.name;
    return write(context, *std::move(command));
}

Reply agent_checks(Context context, Call call) {
    ReadOptions options;
    auto refused = read_options(context, call, options);
    if (!refused) refused = read_filter(call, check_schema(), options);
    if (refused) co_return *std::move(refused);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_object();
    if (const catalog::CatalogNode* node = context.catalog().local(); node != nullptr) {
        for (const auto& [id, owner] : node->check_owner) {
            if (id == "serfHealth") continue;  // the servers' word on this node, not the agent's
            const CheckRowView view{
                context.catalog().agent_check(id), context.registry->output(id)
            };
            if (!options.accepts(&view)) continue;
            json.key(id);
            write_agent_check(json, view.ref, view.output);
        }
    }
    json.end_object();
    co_return json_answer(call, std::move(out));
}

}  // namespace datapunk::mesh::server
