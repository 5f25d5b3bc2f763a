#include "server/session_body.h"

#include <optional>
#include <string>
#include <vector>

#include "server/json_body.h"
#include "server/json_fields.h"

namespace datapunk::mesh::server {

namespace {

using Json = nlohmann::json;

// Consul: "Users often send a value like 5, which they assume is seconds."
constexpr Duration kSecondsBelow = Duration(1000);

void read_lock_delay(JsonFields& fields, const Json& json, Duration& out) {
    Duration delay = out;
    fields.object(Json{{"LockDelay", json}}, "Session", {fields.duration("LockDelay", delay)});
    if (fields.problem()) return;
    if (delay < Duration::zero()) return fields.fail("LockDelay must not be negative");
    out = delay < kSecondsBelow ? delay.count() * Duration(std::chrono::seconds(1)) : delay;
}

void read_service_checks(
    JsonFields& fields, const Json& json, std::vector<catalog::SessionServiceCheck>& out
) {
    if (!json.is_array()) return fields.mismatch(json, "[]structs.ServiceCheck");
    for (const Json& item : json) {
        catalog::SessionServiceCheck& check = out.emplace_back();
        fields.object(
            item,
            "ServiceCheck",
            {fields.text("ID", check.id), fields.text("Namespace", check.name_space)}
        );
    }
}

}  // namespace

Result<> read_session(std::string_view body, catalog::SessionRow& session) {
    auto json = parse_json(body);
    if (!json) return std::move(json).error();
    JsonFields fields;
    std::string behavior;
    std::vector<std::string> node_checks;
    bool gives_node_checks = false;
    bool gives_checks = false;
    fields.object(
        *json,
        "Session",
        {fields.text("Name", session.name),
         fields.text("Node", session.node),
         fields.text("Behavior", behavior),
         fields.text("TTL", session.ttl),
         {"LockDelay", [&](const Json& d) { read_lock_delay(fields, d, session.lock_delay); }},
         {"NodeChecks",
          [&](const Json& list) {
              gives_node_checks = true;
              fields.texts("NodeChecks", node_checks).read(list);
          }},
         {"Checks",
          [&](const Json& list) {
              gives_checks = true;
              fields.texts("Checks", session.checks).read(list);
          }},
         {"ServiceChecks",
          [&](const Json& list) { read_service_checks(fields, list, session.service_checks); }},
         JsonFields::ignored("ID"),  // always ours
         JsonFields::ignored("CreateIndex"),
         JsonFields::ignored("ModifyIndex"),
         JsonFields::ignored("Namespace"),
         JsonFields::ignored("Partition")}
    );
    if (fields.problem()) {
        return Error{
            .code = Code::invalid,
            .what = fmt::format("{}{}", kDecodeFailed, *fields.problem()),
            .source = Source::downstream,
        };
    }
    if (gives_node_checks) session.node_checks = std::move(node_checks);
    // An empty list of the old name takes the default check away too.
    if (gives_checks && session.checks.empty() && !gives_node_checks) session.node_checks.clear();
    if (behavior == "delete") {
        session.behavior = catalog::SessionBehavior::erase;
    } else if (!behavior.empty() && behavior != "release") {
        return Error{
            .code = Code::conflict,
            .what = fmt::format("Invalid Behavior setting '{}'", behavior.substr(0, 64)),
            .source = Source::downstream,
        };
    }
    return Ok{};
}

}  // namespace datapunk::mesh::server
