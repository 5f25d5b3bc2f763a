#include "apps/agent_pages.h"

#include "core/strings.h"
#include "wire/json_writer.h"
#include "wire/url.h"

namespace datapunk::mesh::apps {

namespace {

double seconds(Duration duration) {
    return std::chrono::duration<double>(duration).count();
}

void write_breaker(wire::JsonWriter& json, const policy::BreakerView& breaker, Instant now) {
    json.key("breaker").string(to_string(breaker.state));
    if (breaker.forced != BreakerForce::none) json.key("breaker_forced").boolean(true);
    if (breaker.admitted_share > 0 && breaker.admitted_share < 1)
        json.key("breaker_admits_share").number(breaker.admitted_share);
    if (breaker.next_probe_at && *breaker.next_probe_at != kNever)
        json.key("next_probe_in_seconds").number(seconds(*breaker.next_probe_at - now));
}

void write_endpoint(wire::JsonWriter& json, const policy::EndpointView& endpoint, Instant now) {
    json.begin_object();
    json.key("id").string(endpoint.id).key("address").string(endpoint.address);
    json.key("health").string(to_string(endpoint.health)).key("weight").number(endpoint.weight);
    json.key("in_flight").number(endpoint.in_flight);
    json.key("latency_seconds").number(seconds(endpoint.latency));
    json.key("successes").number(endpoint.successes).key("failures").number(endpoint.failures);
    write_breaker(json, endpoint.breaker, now);
    if (endpoint.ejected_until) {
        json.key("ejected_for_seconds").number(seconds(*endpoint.ejected_until - now));
        json.key("ejected_because").string(endpoint.ejected_for);
    }
    json.key("verdict").string(health::to_string(endpoint.verdict));
    if (endpoint.suspicion > 0) json.key("suspicion").number(endpoint.suspicion);
    if (endpoint.latency_forecast)
        json.key("latency_forecast_seconds").number(seconds(*endpoint.latency_forecast));
    if (endpoint.in_flight_forecast)
        json.key("in_flight_forecast").number(*endpoint.in_flight_forecast);
    if (endpoint.forecast_weight < 1) json.key("forecast_weight").number(endpoint.forecast_weight);
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
        write_breaker(json, service.breaker, now);
        json.key("verdict").string(health::to_string(service.verdict));
        if (service.availability_slope_per_second)
            json.key("availability_slope_per_second")
                .number(*service.availability_slope_per_second);
        if (service.none_available_in)
            json.key("none_available_in_seconds").number(seconds(*service.none_available_in));
        if (!service.dependencies.empty()) {
            json.key("dependencies").begin_array();
            for (const std::string& name : service.dependencies) json.string(name);
            json.end_array();
        }
        if (!service.degraded_because.empty())
            json.key("degraded_because").string(service.degraded_because);
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

http::Response force_breaker(
    const proxy::UpstreamServices& services, std::string_view query, Instant now
) {
    const auto asked = wire::Query::parse(query);
    if (!asked) return http::text_response(400, asked.error().what + "\n");
    std::string service;
    std::string endpoint;
    std::optional<BreakerForce> how;
    for (const auto& parameter : asked->parameters()) {
        const auto& [key, value, has_value] = parameter;
        if (key == "service") {
            service = value;
        } else if (key == "endpoint") {
            endpoint = value;
        } else if (key == "force" && value == "open") {
            how = BreakerForce::open;
        } else if (key == "force" && value == "closed") {
            how = BreakerForce::closed;
        } else if (key == "force" && value == "none") {
            how = BreakerForce::none;
        } else {
            return http::text_response(
                400, "Not known, or no value it may have: " + key.substr(0, 64) + "\n"
            );
        }
    }
    if (service.empty() || !how) {
        return http::text_response(400, "Say service=NAME and force=open, closed or none.\n");
    }
    policy::ServicePolicies* policies = services.find(service);
    if (policies == nullptr) return http::text_response(404, "There is no service of that name.\n");
    const auto done = policies->force_breaker(*how, endpoint, now);
    if (!done) {
        return http::text_response(
            done.error().code == Code::not_found ? 404 : 409, done.error().what + "\n"
        );
    }
    return http::json_response(200, endpoints_json({policies->view(now)}, now));
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
