#include "server/query_body.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "server/json_body.h"
#include "server/json_fields.h"

namespace datapunk::mesh::server {

namespace {

using Json = nlohmann::json;

// What is read only to be refused.
struct Unsupported {
    std::string session;
    std::string template_type;
    std::uint32_t nearest = 0;
    std::vector<std::string> datacenters;
    bool has_targets = false;
    bool connect = false;
    std::string peer;
    std::string sameness_group;
};

void read_failover(JsonFields& fields, const Json& json, Unsupported& out) {
    const auto read_targets = [&](const Json& list) {
        out.has_targets = list.is_array() && !list.empty();
    };
    fields.object(
        json,
        "QueryFailoverOptions",
        {fields.number("NearestN", out.nearest),
         fields.texts("Datacenters", out.datacenters),
         {"Targets", read_targets}}
    );
}

void read_service(
    JsonFields& fields, const Json& json, catalog::QueryRow& row, Unsupported& others
) {
    fields.object(
        json,
        "ServiceQuery",
        {fields.text("Service", row.service),
         fields.text("SamenessGroup", others.sameness_group),
         {"Failover", [&](const Json& f) { read_failover(fields, f, others); }},
         fields.boolean("OnlyPassing", row.only_passing),
         fields.texts("IgnoreCheckIDs", row.ignore_checks),
         fields.text("Near", row.near),
         fields.texts("Tags", row.tags),
         fields.text_map("NodeMeta", row.node_meta),
         fields.text_map("ServiceMeta", row.service_meta),
         fields.boolean("Connect", others.connect),
         fields.text("Peer", others.peer)}
    );
}

Error bad_request(std::string what) {
    return {.code = Code::invalid, .what = std::move(what), .source = Source::downstream};
}

// What Consul's servers refuse, and not its agent: 500.
Error refused(std::string what) {
    return {.code = Code::conflict, .what = std::move(what), .source = Source::downstream};
}

std::optional<Error> refuse_unsupported(const Unsupported& others) {
    const std::array<std::pair<std::string_view, bool>, 6> wants = {{
        {"Template", !others.template_type.empty()},
        {"Session", !others.session.empty()},
        {"Service.Failover", others.nearest > 0 || !others.datacenters.empty() || others.has_targets
        },
        {"Service.Connect", others.connect},
        {"Service.Peer", !others.peer.empty()},
        {"Service.SamenessGroup", !others.sameness_group.empty()},
    }};
    for (const auto& [name, is_wanted] : wants) {
        if (!is_wanted) continue;
        return Error{
            .code = Code::unavailable,
            .what = fmt::format(
                "{} of prepared queries is not supported by this registry: see "
                "docs/consul-compatibility.md",
                name
            ),
            .source = Source::downstream,
        };
    }
    return std::nullopt;
}

}  // namespace

Result<catalog::QueryRow> parse_query(std::string_view body) {
    auto json = parse_json(body);
    if (!json) return std::move(json).error();
    JsonFields fields;
    catalog::QueryRow row;
    Unsupported others;
    const auto read_template = [&](const Json& t) {
        fields.object(
            t,
            "QueryTemplateOptions",
            {fields.text("Type", others.template_type),
             JsonFields::ignored("Regexp"),
             JsonFields::ignored("RemoveEmptyTags")}
        );
    };
    const auto read_dns = [&](const Json& dns) {
        fields.object(dns, "QueryDNSOptions", {fields.text("TTL", row.dns_ttl)});
    };
    fields.object(
        *json,
        "PreparedQuery",
        {fields.text("ID", row.id),
         fields.text("Name", row.name),
         fields.text("Session", others.session),
         fields.text("Token", row.token),
         {"Template", read_template},
         {"Service", [&](const Json& s) { read_service(fields, s, row, others); }},
         {"DNS", read_dns},
         JsonFields::ignored("CreateIndex"),
         JsonFields::ignored("ModifyIndex")}
    );
    if (fields.problem()) return bad_request(std::string(kDecodeFailed) + *fields.problem());
    if (auto error = refuse_unsupported(others)) return *std::move(error);
    if (!row.dns_ttl.empty()) {
        const auto ttl = core::parse_duration(row.dns_ttl);
        if (!ttl) {
            return refused(fmt::format(
                "Bad DNS TTL '{}': time: invalid duration \"{}\"",
                row.dns_ttl.substr(0, 64),
                row.dns_ttl.substr(0, 64)
            ));
        }
        if (*ttl < Duration::zero()) {
            return refused(fmt::format("DNS TTL '{}', must be >=0", row.dns_ttl.substr(0, 64)));
        }
    }
    return row;
}

}  // namespace datapunk::mesh::server
