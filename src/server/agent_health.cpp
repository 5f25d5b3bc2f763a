#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "health/aggregate.h"
#include "server/endpoints.h"
#include "server/rows_json.h"

namespace datapunk::mesh::server {

namespace {

// The checks an agent knows of one service: its own and the node's, without serfHealth.
struct ServiceChecks {
    const catalog::CatalogNode* node;
    const catalog::Instance* instance;

    template <class Visit>
    void each(Visit visit) const {
        for (const auto& [id, check] : instance->checks) {
            visit(catalog::CheckRef{node, &instance->row, &check});
        }
        for (const auto& [id, check] : node->checks) {
            if (id != "serfHealth") visit(catalog::CheckRef{node, nullptr, &check});
        }
    }

    health::Aggregate aggregate() const {
        std::vector<health::CheckView> views;
        each([&](const catalog::CheckRef& ref) {
            views.push_back({ref.check->id, ref.check->status});
        });
        return health::aggregate({}, views);
    }
};

// Maintenance is the worst of all.
int badness(const health::Aggregate& aggregate) {
    return aggregate.maintenance ? 3 : static_cast<int>(aggregate.status);
}

void write_one(JsonWriter& json, const Context& context, const ServiceChecks& checks) {
    json.begin_object();
    json.key("AggregatedStatus").string(health::reason(checks.aggregate())).key("Service");
    write_agent_service(json, checks.instance->row, context.config->datacenter);
    json.key("Checks").begin_array();
    checks.each([&](const catalog::CheckRef& ref) {
        write_agent_health_check(json, ref, context.registry->output(ref.check->id));
    });
    json.end_array().end_object();
}

bool wants_text(const Call& call) {
    return call.query.value("format").value_or("") == "text";
}

http::Response with_reason(http::Response response, std::string reason) {
    response.headers.push_back({"X-Consul-Reason", std::move(reason)});
    return response;
}

http::Response text_status(int status, std::string_view word) {
    return {
        .status = status, .headers = {{"Content-Type", "text/plain"}}, .body = std::string(word)
    };
}

}  // namespace

Reply agent_health_by_id(Context context, Call call) {
    if (call.name.empty()) co_return plain_answer(400, "Missing serviceID");
    const catalog::Instance* instance = context.catalog().agent_service(call.name);
    if (instance == nullptr) {
        const std::string reason = fmt::format("ServiceId {} not found", call.name);
        if (wants_text(call)) co_return with_reason(text_status(404, "critical"), reason);
        std::string none;
        JsonWriter json(none, call.is_pretty);
        json.begin_object().key("AggregatedStatus").string("critical");
        json.key("Service").null().key("Checks").null().end_object();
        co_return with_reason(json_answer(call, std::move(none), 404), reason);
    }
    auto refused = refuse_unless(call, Resource::service, Verb::read, instance->row.name);
    if (refused) co_return *std::move(refused);
    const ServiceChecks checks{context.catalog().local(), instance};
    const health::Aggregate aggregate = checks.aggregate();
    const std::string reason(health::reason(aggregate));
    const int status = health::http_status(aggregate);
    if (wants_text(call)) co_return with_reason(text_status(status, reason), reason);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    write_one(json, context, checks);
    co_return with_reason(json_answer(call, std::move(out), status), reason);
}

Reply agent_health_by_name(Context context, Call call) {
    if (call.name.empty()) co_return plain_answer(400, "Missing service Name");
    auto refused = refuse_unless(call, Resource::service, Verb::read, call.name);
    if (refused) co_return *std::move(refused);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_array();
    bool is_known = false;
    health::Aggregate worst;
    if (const catalog::CatalogNode* node = context.catalog().local(); node != nullptr) {
        for (const auto& [id, instance] : node->services) {
            if (instance.row.name != call.name) continue;
            const ServiceChecks checks{node, &instance};
            const health::Aggregate aggregate = checks.aggregate();
            if (!is_known || badness(aggregate) > badness(worst)) worst = aggregate;
            is_known = true;
            write_one(json, context, checks);
        }
    }
    json.end_array();
    const std::string reason = is_known ? std::string(health::reason(worst))
                                        : fmt::format("ServiceName {} Not Found", call.name);
    const int status = is_known ? health::http_status(worst) : 404;
    if (wants_text(call)) {
        co_return with_reason(text_status(status, is_known ? reason : "critical"), reason);
    }
    co_return with_reason(json_answer(call, std::move(out), status), reason);
}

}  // namespace datapunk::mesh::server
