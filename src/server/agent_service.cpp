#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/hash.h"
#include "core/strings.h"
#include "server/bodies.h"
#include "server/endpoints.h"
#include "server/filter/filter_rows.h"
#include "server/rows_json.h"

namespace datapunk::mesh::server {

namespace {

Reply refuse(int status, std::string text) {
    co_return plain_answer(status, std::move(text));
}

// ?enable=: an answer if it is missing or no truth value.
std::optional<http::Response> read_enable(const Call& call, bool& out) {
    const auto value = call.query.value("enable");
    if (!value || value->empty()) return plain_answer(400, "Missing value for enable");
    for (const std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
        if (*value == yes) {
            out = true;
            return std::nullopt;
        }
    }
    for (const std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
        if (*value == no) {
            out = false;
            return std::nullopt;
        }
    }
    return plain_answer(400, fmt::format("Invalid value for enable: \"{}\"", value->substr(0, 64)));
}

std::string reason_of(const Call& call, std::string_view what) {
    const auto reason = call.query.value("reason");
    if (reason && !reason->empty()) return std::string(*reason);
    return fmt::format(
        "Maintenance mode is enabled for this {}, but no reason was provided. This is a default "
        "message.",
        what
    );
}

std::string content_hash(const Context& context, const catalog::ServiceRow& row) {
    std::string text;
    JsonWriter json(text);
    write_agent_service(json, row, context.config->datacenter);
    return fmt::format("{:x}", core::hash64(text));
}

http::Response render_service(const Context& context, const Call& call, const ReadOptions&) {
    const catalog::Instance* instance = context.catalog().agent_service(call.name);
    if (instance == nullptr) {
        return plain_answer(404, fmt::format("unknown service ID: {}", call.name));
    }
    if (auto refused = refuse_unless(call, Resource::service, Verb::read, instance->row.name)) {
        return *std::move(refused);
    }
    const std::string hash = content_hash(context, instance->row);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    write_agent_service(json, instance->row, context.config->datacenter, hash);
    http::Response response = json_answer(call, std::move(out));
    response.headers.push_back({"X-Consul-Contenthash", hash});
    return response;
}

// Who may not write the service with this id may not replace or remove it.
std::optional<http::Response> refuse_change(
    const Context& context, const Call& call, std::string_view id
) {
    const catalog::Instance* instance = context.catalog().agent_service(id);
    if (instance == nullptr) return std::nullopt;  // that is another error, or none
    return refuse_unless(call, Resource::service, Verb::write, instance->row.name);
}

}  // namespace

Reply agent_service_register(Context context, Call call) {
    auto command = parse_service(call.request.body);
    if (!command) return refuse(400, command.error().what);
    const catalog::ServiceRow& service = command->service;
    auto refused = refuse_unless(call, Resource::service, Verb::write, service.name);
    if (!refused) {
        refused = refuse_change(context, call, service.id.empty() ? service.name : service.id);
    }
    if (!refused) refused = refuse_aliases(call, command->checks);
    if (refused) return refuse(refused->status, refused->body);
    const auto replace = call.query.value("replace-existing-checks");
    command->replace_existing_checks = replace && (replace->empty() || *replace == "true");
    return write(context, *std::move(command));
}

Reply agent_service_deregister(Context context, Call call) {
    if (call.name.empty()) return refuse(400, "Missing service ID");
    if (auto refused = refuse_change(context, call, call.name)) {
        return refuse(refused->status, refused->body);
    }
    return write(context, catalog::DeregisterService{call.name});
}

Reply agent_service_maintenance(Context context, Call call) {
    if (call.name.empty()) return refuse(400, "Missing service ID");
    catalog::ServiceMaintenance command{
        .service_id = call.name, .reason = reason_of(call, "service")
    };
    auto refused = read_enable(call, command.enable);
    if (!refused) refused = refuse_change(context, call, call.name);
    if (refused) return refuse(refused->status, refused->body);
    return write(context, std::move(command));
}

Reply agent_maintenance(Context context, Call call) {
    catalog::NodeMaintenance command{.reason = reason_of(call, "node")};
    auto refused = read_enable(call, command.enable);
    if (!refused) refused = refuse_unless(call, Resource::node, Verb::write, context.node_name());
    if (refused) return refuse(refused->status, refused->body);
    return write(context, std::move(command));
}

Reply agent_services(Context context, Call call) {
    ReadOptions options;
    auto refused = read_options(context, call, options);
    if (!refused) refused = read_filter(call, service_schema(), options);
    if (refused) co_return *std::move(refused);
    VisibleTo visible(call);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_object();
    if (const catalog::CatalogNode* node = context.catalog().local(); node != nullptr) {
        for (const auto& [id, instance] : node->services) {
            if (!options.accepts(&instance.row)) continue;
            if (!visible.may(Resource::service, instance.row.name)) continue;
            json.key(id);
            write_agent_service(json, instance.row, context.config->datacenter);
        }
    }
    json.end_object();
    http::Response response = json_answer(call, std::move(out));
    visible.tell(response);
    co_return std::move(response);
}

// With ?hash= the answer waits until the service is no longer as that hash says.
Reply agent_service(Context context, Call call) {
    ReadOptions options;
    auto refused = read_options(context, call, options);
    if (refused) co_return *std::move(refused);
    const std::string hash(call.query.value("hash").value_or(""));
    const Instant until = context.now() + options.wait;
    const catalog::CatalogNode* local = context.catalog().local();
    const std::string node = local == nullptr ? std::string() : local->row.name;
    for (;;) {
        http::Response response = render_service(context, call, options);
        const bool is_same = !hash.empty() && response.header("X-Consul-Contenthash") == hash;
        if (!is_same || context.now() >= until) co_return std::move(response);
        catalog::WatchKey key{catalog::WatchTopic::node, node};
        const std::uint64_t seen = context.catalog().index_of(key);
        auto waited = co_await context.registry->wait(std::move(key), seen, until);
        if (!waited) co_return plain_answer(429, waited.error().what);
    }
}

}  // namespace datapunk::mesh::server
