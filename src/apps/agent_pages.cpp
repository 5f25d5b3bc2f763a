#include "apps/agent_pages.h"

#include "core/strings.h"
#include "wire/json_writer.h"

namespace datapunk::mesh::apps {

namespace {

double seconds(Duration duration) {
    return std::chrono::duration<double>(duration).count();
}

void write_endpoint(wire::JsonWriter& json, const policy::EndpointView& endpoint, Instant now) {
    json.begin_object();
    json.key("id").string(endpoint.id).key("address").string(endpoint.address);
    json.key("health").string(to_string(endpoint.health)).key("weight").number(endpoint.weight);
    json.key("in_flight").number(endpoint.in_flight);
    json.key("latency_seconds").number(seconds(endpoint.latency));
    json.key("successes").number(endpoint.successes).key("failures").number(endpoint.failures);
    json.key("breaker").string(to_string(endpoint.breaker));
    if (endpoint.next_probe_at)
        json.key("next_probe_in_seconds").number(seconds(*endpoint.next_probe_at - now));
    if (endpoint.ejected_until) {
        json.key("ejected_for_seconds").number(seconds(*endpoint.ejected_until - now));
        json.key("ejected_because").string(endpoint.ejected_for);
    }
    if (endpoint.is_leaving) json.key("leaving").boolean(true);
    json.end_object();
}

}  // namespace

std::string ready_json(const std::vector<Unready>& reasons) {
    std::string text;
    wire::JsonWriter json(text, true);
    json.begin_object().key("ready").boolean(reasons.empty()).key("reasons").begin_array();
    for (const Unready& reason : reasons) {
        json.begin_object()
            .key("part")
            .string(reason.part)
            .key("why")
            .string(reason.why)
            .end_object();
    }
    json.end_array().end_object();
    return text;
}

std::string endpoints_json(const std::vector<policy::ServiceView>& services, Instant now) {
    std::string text;
    wire::JsonWriter json(text, true);
    json.begin_object();
    for (const policy::ServiceView& service : services) {
        json.key(service.service).begin_object();
        json.key("retry_tokens").number(service.retry_tokens);
        json.key("called").number(service.called);
        if (service.is_panic) json.key("panic").boolean(true);
        if (!service.algorithm.empty()) {
            json.key("algorithm").string(service.algorithm);
            json.key("algorithm_because").string(service.algorithm_why);
        }
        json.key("endpoints").begin_array();
        for (const auto& endpoint : service.endpoints) write_endpoint(json, endpoint, now);
        json.end_array().end_object();
    }
    json.end_object();
    return text;
}

std::string events_json(const std::deque<TimedEvent>& events) {
    std::string text;
    wire::JsonWriter json(text, true);
    json.begin_array();
    for (const TimedEvent& entry : events) {
        json.begin_object();
        json.key("time")
            .string(core::format_utc(entry.at))
            .key("service")
            .string(entry.event.service);
        json.key("endpoint").string(entry.event.endpoint).key("what").string(entry.event.what);
        json.key("why").string(entry.event.why);
        json.end_object();
    }
    json.end_array();
    return text;
}

}  // namespace datapunk::mesh::apps
