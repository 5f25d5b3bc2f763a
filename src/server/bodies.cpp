#include "server/bodies.h"

#include <algorithm>
#include <array>
#include <utility>

#include "server/json_body.h"
#include "server/json_fields.h"
#include "server/row_fields.h"

namespace datapunk::mesh::server {

namespace {

using Json = nlohmann::json;

Error bad_request(std::string what) {
    return {.code = Code::invalid, .what = std::move(what), .source = Source::downstream};
}

// A check as clients write it, before it is known what kind it is.
struct CheckText {
    catalog::CheckRow row;
    std::string check_id;
    std::string status;
    std::string tcp;
    std::string udp;
    std::string h2ping;
    std::string docker;
    std::string os_service;
};

void read_check(JsonFields& fields, const Json& json, CheckText& out) {
    catalog::CheckDefinition& d = out.row.definition;
    fields.object(
        json,
        "CheckType",
        {fields.text("ID", out.row.id),
         fields.text("CheckID", out.check_id),
         fields.text("Name", out.row.name),
         fields.text("Notes", out.row.notes),
         fields.text("Status", out.status),
         fields.text("Output", out.row.output),
         fields.text("ServiceID", out.row.service_id),
         fields.texts("ScriptArgs", d.args),
         fields.texts("Args", d.args),
         fields.text("HTTP", d.url),
         fields.text("Method", d.method),
         fields.texts_map("Header", d.header),
         fields.text("Body", d.body),
         fields.boolean("DisableRedirects", d.disable_redirects),
         fields.text("TCP", out.tcp),
         fields.unsupported("TCPUseTLS"),
         fields.text("UDP", out.udp),
         fields.text("H2PING", out.h2ping),
         JsonFields::ignored("H2PingUseTLS"),
         fields.text("GRPC", d.grpc),
         fields.boolean("GRPCUseTLS", d.grpc_use_tls),
         fields.text("DockerContainerID", out.docker),
         JsonFields::ignored("Shell"),
         fields.text("OSService", out.os_service),
         fields.text("TLSServerName", d.tls_server_name),
         fields.boolean("TLSSkipVerify", d.tls_skip_verify),
         fields.text("AliasNode", d.alias_node),
         fields.text("AliasService", d.alias_service),
         fields.duration("Interval", d.interval),
         fields.duration("Timeout", d.timeout),
         fields.duration("TTL", d.ttl),
         fields.number("SuccessBeforePassing", d.success_before_passing),
         fields.number("FailuresBeforeWarning", d.failures_before_warning),
         fields.number("FailuresBeforeCritical", d.failures_before_critical),
         fields.duration("DeregisterCriticalServiceAfter", d.deregister_after),
         JsonFields::ignored("OutputMaxSize"),
         JsonFields::ignored("ProxyHTTP"),
         JsonFields::ignored("ProxyGRPC"),
         JsonFields::ignored("ExposedPort"),
         JsonFields::ignored("Token"),
         JsonFields::ignored("Node"),
         JsonFields::ignored("Namespace"),
         JsonFields::ignored("Partition")}
    );
}

Result<catalog::CheckRegistration> finish_check(CheckText text) {
    catalog::CheckRegistration out{
        .check = std::move(text.row), .has_status = !text.status.empty()
    };
    if (!text.check_id.empty()) out.check.id = text.check_id;
    if (out.has_status) {
        auto status = catalog::parse_status(text.status);
        if (!status) return bad_request("Bad check status");
        out.check.status = *status;
    }
    catalog::CheckDefinition& d = out.check.definition;
    const std::array<std::pair<std::string_view, const std::string*>, 3> others = {{
        {"Docker", &text.docker},
        {"H2PING", &text.h2ping},
        {"OSService", &text.os_service},
    }};
    for (const auto& [name, value] : others) {
        if (value->empty()) continue;
        return bad_request(fmt::format(
            "Invalid check: {} checks are not supported by this registry; use an HTTP, TCP, "
            "UDP, gRPC, alias or TTL check",
            name
        ));
    }
    if (!d.url.empty()) {
        d.kind = catalog::CheckKind::http;
    } else if (!text.tcp.empty()) {
        d.kind = catalog::CheckKind::tcp;
        d.place = std::move(text.tcp);
    } else if (!text.udp.empty()) {
        d.kind = catalog::CheckKind::udp;
        d.place = std::move(text.udp);
    } else if (!d.grpc.empty()) {
        d.kind = catalog::CheckKind::grpc;
    } else if (!d.args.empty()) {
        d.kind = catalog::CheckKind::script;  // which the registry may refuse to run
    } else if (d.ttl > Duration::zero()) {
        d.kind = catalog::CheckKind::ttl;
    }
    if (d.failures_before_warning == 0) d.failures_before_warning = d.failures_before_critical;
    return out;
}

bool is_nothing(const Json& json) {
    return json.is_null() || (json.is_object() && json.empty());
}

std::optional<Error> decode_problem(const JsonFields& fields) {
    if (!fields.problem()) return std::nullopt;
    return bad_request("Request decode failed: " + *fields.problem());
}

}  // namespace

Result<catalog::RegisterService> parse_service(std::string_view body) {
    auto json = parse_json(body);
    if (!json) return std::move(json).error();
    catalog::RegisterService out;
    JsonFields fields;
    std::vector<CheckText> checks;
    const auto read_one = [&](const Json& check) {
        if (!is_nothing(check)) read_check(fields, check, checks.emplace_back());
    };
    std::vector<CheckText> listed;
    const auto read_list = [&](const Json& list) {
        if (!list.is_array()) return fields.mismatch(list, "[]structs.CheckType");
        for (const Json& check : list) read_check(fields, check, listed.emplace_back());
    };
    const auto read_addresses = [&](const Json& tagged) {
        read_tagged_addresses(fields, tagged, out.service);
    };
    fields.object(
        *json,
        "ServiceDefinition",
        {fields.text("ID", out.service.id),
         fields.text("Name", out.service.name),
         fields.texts("Tags", out.service.tags),
         fields.text("Address", out.service.address),
         {"TaggedAddresses", read_addresses},
         fields.text_map("Meta", out.service.meta),
         fields.number("Port", out.service.port),
         {"Check", read_one},
         {"Checks", read_list},
         {"Weights", [&](const Json& w) { read_weights(fields, w, out.service.weights); }},
         fields.boolean("EnableTagOverride", out.service.enable_tag_override),
         fields.unsupported("Kind"),
         fields.unsupported("SocketPath"),
         fields.unsupported("Proxy"),
         fields.unsupported("Connect"),
         JsonFields::ignored("Locality"),
         JsonFields::ignored("Token"),
         JsonFields::ignored("Namespace"),
         JsonFields::ignored("Partition")}
    );
    if (auto problem = decode_problem(fields)) return *std::move(problem);
    std::move(listed.begin(), listed.end(), std::back_inserter(checks));
    for (CheckText& check : checks) {
        auto finished = finish_check(std::move(check));
        if (!finished) return std::move(finished).error();
        out.checks.push_back(*std::move(finished));
    }
    return out;
}

Result<catalog::RegisterCheck> parse_check(std::string_view body) {
    auto json = parse_json(body);
    if (!json) return std::move(json).error();
    JsonFields fields;
    CheckText text;
    read_check(fields, *json, text);
    if (auto problem = decode_problem(fields)) return *std::move(problem);
    if (text.row.name.empty()) return bad_request("Missing check name");
    auto finished = finish_check(std::move(text));
    if (!finished) return std::move(finished).error();
    return catalog::RegisterCheck{*std::move(finished)};
}

Result<catalog::UpdateCheck> parse_check_update(std::string_view body) {
    auto json = parse_json(body);
    if (!json) return std::move(json).error();
    JsonFields fields;
    catalog::UpdateCheck out{.ttl_only = true};
    std::string status;
    fields.object(
        *json,
        "checkUpdate",
        {fields.text("Status", status),
         fields.text("Output", out.output),
         JsonFields::ignored("Namespace"),
         JsonFields::ignored("Partition")}
    );
    if (auto problem = decode_problem(fields)) return *std::move(problem);
    auto parsed = catalog::parse_status(status);
    if (!parsed) return std::move(parsed).error();
    out.status = *parsed;
    return out;
}

Result<catalog::CatalogRegister> parse_catalog_register(std::string_view body) {
    auto json = parse_json(body);
    if (!json) return std::move(json).error();
    JsonFields fields;
    catalog::CatalogRegister out;
    std::vector<std::pair<catalog::CheckRow, std::string>> checks;
    const auto read_check = [&](const Json& check) {
        auto& [row, status] = checks.emplace_back();
        std::string node;  // the request's counts
        read_health_check(fields, check, node, row, status);
    };
    const auto read_service = [&](const Json& service) {
        read_node_service(fields, service, out.service.emplace());
    };
    const auto read_list = [&](const Json& list) {
        if (!list.is_array()) return fields.mismatch(list, "structs.HealthChecks");
        for (const Json& check : list) read_check(check);
    };
    fields.object(
        *json,
        "RegisterRequest",
        {fields.text("ID", out.node.id),
         fields.text("Node", out.node.name),
         fields.text("Address", out.node.address),
         fields.text_map("TaggedAddresses", out.node.tagged_addresses),
         fields.text_map("NodeMeta", out.node.meta),
         fields.boolean("SkipNodeUpdate", out.skip_node_update),
         {"Service", read_service},
         {"Check", read_check},
         {"Checks", read_list},
         JsonFields::ignored("Datacenter"),
         JsonFields::ignored("Locality"),
         JsonFields::ignored("Namespace"),
         JsonFields::ignored("Partition"),
         JsonFields::ignored("Token")}
    );
    if (auto problem = decode_problem(fields)) return *std::move(problem);
    for (auto& [row, status] : checks) {
        if (!status.empty()) {
            auto parsed = catalog::parse_status(status);
            if (!parsed) return std::move(parsed).error();
            row.status = *parsed;
        }
        out.checks.push_back(std::move(row));
    }
    return out;
}

Result<catalog::CatalogDeregister> parse_catalog_deregister(std::string_view body) {
    auto json = parse_json(body);
    if (!json) return std::move(json).error();
    JsonFields fields;
    catalog::CatalogDeregister out;
    fields.object(
        *json,
        "DeregisterRequest",
        {fields.text("Node", out.node),
         fields.text("ServiceID", out.service_id),
         fields.text("CheckID", out.check_id),
         JsonFields::ignored("Address"),
         JsonFields::ignored("Datacenter"),
         JsonFields::ignored("Namespace"),
         JsonFields::ignored("Partition"),
         JsonFields::ignored("Token")}
    );
    if (auto problem = decode_problem(fields)) return *std::move(problem);
    return out;
}

}  // namespace datapunk::mesh::server
