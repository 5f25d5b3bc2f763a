#include "registry/consul/messages.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <tuple>

#include "core/strings.h"
#include "io/address.h"
#include "registry/answer_text.h"
#include "registry/consul/consul_config.h"
#include "wire/json_writer.h"

namespace datapunk::mesh::registry::consul {

namespace dom = simdjson::dom;

namespace {

// Missing and null are empty; so is anything that is not a string.
std::string_view text_at(const dom::object& object, std::string_view key) {
    std::string_view text;
    if (object.at_key(key).get(text) != simdjson::SUCCESS) return {};
    return text;
}

std::int64_t number_at(const dom::object& object, std::string_view key, std::int64_t fallback) {
    std::int64_t number = 0;
    return object.at_key(key).get(number) == simdjson::SUCCESS ? number : fallback;
}

Health health_of(std::string_view status) {
    if (status == "passing") return Health::passing;
    if (status == "warning") return Health::warning;
    return Health::critical;  // also what later versions may invent: when in doubt, no traffic
}

// The Notes of a check that this library renews in the catalog: "dpmesh: until 1767225600".
constexpr std::string_view kUntil = "dpmesh: until ";

std::int64_t seconds_of(WallTime at) {
    return std::chrono::ceil<std::chrono::seconds>(at.time_since_epoch()).count();
}

bool is_over(const dom::object& check, WallTime now) {
    const std::string_view notes = text_at(check, "Notes");
    if (now == WallTime{} || !notes.starts_with(kUntil)) return false;
    const auto until = core::parse_number<std::uint64_t>(notes.substr(kUntil.size()));
    return until && seconds_of(now) > static_cast<std::int64_t>(*until);
}

Health worst_of(const dom::object& instance, WallTime now) {
    Health worst = Health::passing;
    dom::array checks;
    if (instance.at_key("Checks").get(checks) != simdjson::SUCCESS) return worst;
    for (const dom::element check : checks) {
        dom::object fields;
        if (check.get(fields) != simdjson::SUCCESS) continue;
        worst = std::max(worst, health_of(text_at(fields, "Status")));
        if (is_over(fields, now)) worst = Health::critical;
    }
    return worst;
}

bool is_renewed(const dom::object& instance) {
    dom::array checks;
    if (instance.at_key("Checks").get(checks) != simdjson::SUCCESS) return false;
    return std::any_of(checks.begin(), checks.end(), [](const dom::element check) {
        dom::object fields;
        return check.get(fields) == simdjson::SUCCESS &&
               text_at(fields, "Notes").starts_with(kUntil);
    });
}

std::uint32_t weight_of(const dom::object& service, Health health) {
    dom::object weights;
    if (service.at_key("Weights").get(weights) != simdjson::SUCCESS) return 1;
    const std::string_view key = health == Health::warning ? "Warning" : "Passing";
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(number_at(weights, key, 1), 1, 65535)
    );
}

void read_tags(const dom::object& service, std::string_view key, std::vector<std::string>& out) {
    dom::array tags;
    if (service.at_key(key).get(tags) != simdjson::SUCCESS) return;
    for (const dom::element tag : tags) {
        std::string_view text;
        if (tag.get(text) == simdjson::SUCCESS) out.emplace_back(text);
    }
}

void read_metadata(const dom::object& service, Metadata& out) {
    dom::object meta;
    if (service.at_key("Meta").get(meta) != simdjson::SUCCESS) return;
    for (const auto& [key, value] : meta) {
        std::string_view text;
        if (value.get(text) == simdjson::SUCCESS) {
            out.emplace(std::string(key), std::string(text));
        }
    }
}

// False if the instance has no place to be called at.
bool read_endpoint(
    const dom::object& instance, const dom::object& service, WallTime now, ServiceEndpoint& out
) {
    dom::object node;
    if (instance.at_key("Node").get(node) == simdjson::SUCCESS) {
        out.node = text_at(node, "Node");
        out.host = text_at(node, "Address");
    }
    if (const std::string_view address = text_at(service, "Address"); !address.empty()) {
        out.host = address;
    }
    out.service = text_at(service, "Service");
    out.id = text_at(service, "ID");
    if (out.id.empty()) out.id = out.service;
    const std::int64_t port = number_at(service, "Port", 0);
    if (out.host.empty() || port < 1 || port > 65535) return false;
    out.port = static_cast<std::uint16_t>(port);
    out.health = worst_of(instance, now);
    out.weight = weight_of(service, out.health);
    read_tags(service, "Tags", out.tags);
    read_metadata(service, out.metadata);
    return true;
}

void sort_endpoints(std::vector<ServiceEndpoint>& endpoints) {
    const auto order = [](const ServiceEndpoint& a, const ServiceEndpoint& b) {
        return std::tie(a.id, a.host, a.port) < std::tie(b.id, b.host, b.port);
    };
    // Most registries tell them in order.
    if (std::is_sorted(endpoints.begin(), endpoints.end(), order)) return;
    std::sort(endpoints.begin(), endpoints.end(), order);
}

// Consul's ids are unique on a node only; ours within a service. Sorted, before and after.
void make_ids_unique(std::vector<ServiceEndpoint>& endpoints) {
    bool has_shared = false;
    for (auto first = endpoints.begin(); first != endpoints.end();) {
        const auto last = std::find_if(first, endpoints.end(), [&](const ServiceEndpoint& one) {
            return one.id != first->id;
        });
        const bool is_shared = last - first > 1;
        has_shared = has_shared || is_shared;
        for (; first != last; ++first) {
            if (is_shared) first->id = fmt::format("{}@{}", first->id, first->node);
        }
    }
    if (has_shared) sort_endpoints(endpoints);
}

std::string probe_target(const ServiceConfig& config) {
    if (!config.check.target.empty()) return config.check.target;
    const ServiceEndpoint self{.host = config.host, .port = config.port};
    return self.address();
}

void write_http(wire::JsonWriter& json, const ServiceConfig& config) {
    const HealthCheck& check = config.check;
    const std::string_view scheme = check.tls.enabled ? "https" : "http";
    json.key("HTTP").string(fmt::format("{}://{}{}", scheme, probe_target(config), check.path));
    json.key("Method").string(check.method);
    if (!check.headers.empty() || !check.host.empty()) {
        json.key("Header").begin_object();
        if (!check.host.empty()) json.key("Host").begin_array().string(check.host).end_array();
        for (const auto& [name, value] : check.headers) {
            json.key(name).begin_array().string(value).end_array();
        }
        json.end_object();
    }
    // Older agents refuse fields that they do not know: what is not needed is not said.
    if (!check.body.empty()) json.key("Body").string(check.body);
    if (!check.follow_redirects) json.key("DisableRedirects").boolean(true);
}

// All but the id and the name, whose keys differ.
void write_service(wire::JsonWriter& json, const ServiceConfig& config) {
    json.key("Address").string(config.host).key("Port").number(config.port);
    json.key("Tags").begin_array();
    for (const std::string& tag : config.tags) json.string(tag);
    json.end_array();
    json.key("Meta").begin_object();
    for (const auto& [key, value] : config.meta) json.key(key).string(value);
    json.end_object();
    // A warning is a hint, not a verdict: it does not change an endpoint's share.
    json.key("Weights").begin_object();
    json.key("Passing").number(config.weight).key("Warning").number(config.weight);
    json.end_object();
}

void write_catalog_check(
    wire::JsonWriter& json,
    std::string_view service_id,
    Health health,
    std::string_view note,
    const CatalogPlace& place,
    std::optional<WallTime> until  // unset: it is good for ever
) {
    json.key("Check").begin_object();
    json.key("Node").string(place.node).key("CheckID").string(check_id(service_id));
    json.key("Name").string("renewed by its service");
    json.key("ServiceID").string(service_id).key("Status").string(to_string(health));
    json.key("Notes").string(until ? fmt::format("{}{}", kUntil, seconds_of(*until)) : "");
    json.key("Output").string(note);
    json.end_object();
}

void write_probe(wire::JsonWriter& json, const ServiceConfig& config) {
    const HealthCheck& check = config.check;
    switch (check.kind) {
        case HealthCheck::Kind::http:
            write_http(json, config);
            break;
        case HealthCheck::Kind::grpc:
            json.key("GRPC").string(
                check.grpc_service.empty() ? probe_target(config)
                                           : probe_target(config) + "/" + check.grpc_service
            );
            if (check.tls.enabled) json.key("GRPCUseTLS").boolean(true);
            break;
        case HealthCheck::Kind::exec:
            json.key("Args").begin_array();
            for (const std::string& argument : check.command) json.string(argument);
            json.end_array();
            break;
        case HealthCheck::Kind::udp:
            json.key("UDP").string(probe_target(config));
            break;
        default:
            json.key("TCP").string(probe_target(config));
    }
    if (!check.tls.verify) json.key("TLSSkipVerify").boolean(true);
    if (!check.tls.server_name.empty()) json.key("TLSServerName").string(check.tls.server_name);
    json.key("Interval").string(core::format_go_duration(check.interval));
    json.key("Timeout").string(core::format_go_duration(check.timeout));
    json.key("SuccessBeforePassing").number(check.successes_before_passing);
    if (check.failures_before_warning > 0) {
        json.key("FailuresBeforeWarning").number(check.failures_before_warning);
    }
    json.key("FailuresBeforeCritical").number(check.failures_before_critical);
}

void write_check(wire::JsonWriter& json, const ServiceConfig& config) {
    const HealthCheck& check = config.check;
    json.key("Check").begin_object();
    json.key("CheckID").string(check_id(config.id));
    if (check.kind == HealthCheck::Kind::ttl) {
        json.key("TTL").string(core::format_go_duration(check.ttl));
    } else if (check.kind == HealthCheck::Kind::alias) {
        json.key("AliasService").string(check.alias);
    } else {
        write_probe(json, config);
    }
    if (check.initial != Health::critical) json.key("Status").string(to_string(check.initial));
    if (check.deregister_after > Duration::zero()) {
        json.key("DeregisterCriticalServiceAfter");
        json.string(core::format_go_duration(check.deregister_after));
    }
    json.end_object();
}

}  // namespace

std::string check_id(std::string_view service_id) {
    return fmt::format("service:{}", service_id);
}

std::string registration_body(const ServiceConfig& config) {
    std::string out;
    wire::JsonWriter json(out);
    json.begin_object();
    json.key("ID").string(config.id).key("Name").string(config.name);
    write_service(json, config);
    if (config.check.kind != HealthCheck::Kind::none) write_check(json, config);
    json.end_object();
    return out;
}

std::string catalog_registration_body(
    const ServiceConfig& config, const CatalogPlace& place, WallTime until
) {
    std::string out;
    wire::JsonWriter json(out);
    json.begin_object();
    json.key("Node").string(place.node).key("Address").string(place.address);
    // What tools that watch external nodes look for: this one needs nobody's probes.
    json.key("NodeMeta").begin_object();
    json.key("external-node").string("true").key("external-probe").string("false");
    json.end_object();
    json.key("Service").begin_object();
    json.key("ID").string(config.id).key("Service").string(config.name);
    write_service(json, config);
    json.end_object();
    // Also without one: a check of an earlier registration must not stay as it was.
    if (config.check.kind == HealthCheck::Kind::none) {
        write_catalog_check(json, config.id, Health::passing, "", place, std::nullopt);
    } else {
        write_catalog_check(json, config.id, config.check.initial, "", place, until);
    }
    json.end_object();
    return out;
}

std::string catalog_heartbeat_body(
    std::string_view service_id,
    Health health,
    std::string_view note,
    const CatalogPlace& place,
    WallTime until
) {
    std::string out;
    wire::JsonWriter json(out);
    json.begin_object();
    json.key("Node").string(place.node).key("Address").string(place.address);
    json.key("SkipNodeUpdate").boolean(true);
    write_catalog_check(json, service_id, health, note, place, until);
    json.end_object();
    return out;
}

std::string catalog_deregistration_body(std::string_view service_id, const CatalogPlace& place) {
    std::string out;
    wire::JsonWriter json(out);
    json.begin_object();
    json.key("Node").string(place.node).key("ServiceID").string(service_id);
    json.end_object();
    return out;
}

Result<std::optional<Metadata>> parse_node_service(
    std::string_view body, std::string_view service_id
) {
    dom::parser parser;
    dom::element answer;
    std::optional<Metadata> found;
    const auto problem = parser.parse(body.data(), body.size()).get(answer);
    if (problem != simdjson::SUCCESS)
        return malformed_answer(body, simdjson::error_message(problem));
    if (answer.is_null()) return found;  // an unknown node
    dom::object services;
    if (answer.at_key("Services").get(services) != simdjson::SUCCESS) {
        return malformed_answer(body, "a node without Services");
    }
    dom::object service;
    if (services.at_key(service_id).get(service) != simdjson::SUCCESS) return found;
    read_metadata(service, found.emplace());
    return found;
}

Result<Metadata> parse_agent_service(std::string_view body) {
    dom::parser parser;
    dom::object service;
    const auto problem = parser.parse(body.data(), body.size()).get(service);
    if (problem != simdjson::SUCCESS)
        return malformed_answer(body, simdjson::error_message(problem));
    Metadata found;
    read_metadata(service, found);
    return found;
}

std::string heartbeat_body(Health health, std::string_view note) {
    std::string out;
    wire::JsonWriter json(out);
    json.begin_object();
    json.key("Status").string(to_string(health)).key("Output").string(note);
    json.end_object();
    return out;
}

Result<std::vector<ServiceEndpoint>> parse_health(std::string_view body, WallTime now) {
    dom::parser parser;
    dom::array instances;
    const auto problem = parser.parse(body.data(), body.size()).get(instances);
    if (problem != simdjson::SUCCESS)
        return malformed_answer(body, simdjson::error_message(problem));
    std::vector<ServiceEndpoint> endpoints;
    for (const dom::element instance : instances) {
        dom::object fields;
        dom::object service;
        if (instance.get(fields) != simdjson::SUCCESS ||
            fields.at_key("Service").get(service) != simdjson::SUCCESS) {
            return malformed_answer(body, "an instance without a Service");
        }
        ServiceEndpoint endpoint;
        if (read_endpoint(fields, service, now, endpoint)) endpoints.push_back(std::move(endpoint));
    }
    order_endpoints(endpoints);
    return endpoints;
}

void order_endpoints(std::vector<ServiceEndpoint>& endpoints) {
    sort_endpoints(endpoints);
    make_ids_unique(endpoints);
    // The same id on the same node twice is the registry's defect: the first one counts.
    const auto same_id = [](const ServiceEndpoint& a, const ServiceEndpoint& b) {
        return a.id == b.id;
    };
    endpoints.erase(std::unique(endpoints.begin(), endpoints.end(), same_id), endpoints.end());
}

InstanceReader::InstanceReader() : parser_(std::make_unique<dom::parser>()) {}

InstanceReader::~InstanceReader() = default;

Result<HealthInstance> InstanceReader::read(std::string_view text, WallTime now) {
    dom::object fields;
    dom::object service;
    const auto problem = parser_->parse(text.data(), text.size()).get(fields);
    if (problem != simdjson::SUCCESS) {
        return malformed_answer(text, simdjson::error_message(problem));
    }
    if (fields.at_key("Service").get(service) != simdjson::SUCCESS) {
        return malformed_answer(text, "an instance without a Service");
    }
    HealthInstance out;
    out.is_callable = read_endpoint(fields, service, now, out.endpoint);
    out.is_renewed = is_renewed(fields);
    return out;
}

Result<std::vector<ServiceSummary>> parse_services(std::string_view body) {
    dom::parser parser;
    dom::object services;
    const auto problem = parser.parse(body.data(), body.size()).get(services);
    if (problem != simdjson::SUCCESS)
        return malformed_answer(body, simdjson::error_message(problem));
    std::vector<ServiceSummary> summaries;
    for (const auto& [name, unused] : services) {
        ServiceSummary summary{.name = std::string(name), .tags = {}};
        read_tags(services, name, summary.tags);
        std::sort(summary.tags.begin(), summary.tags.end());
        const auto end = std::unique(summary.tags.begin(), summary.tags.end());
        summary.tags.erase(end, summary.tags.end());
        summaries.push_back(std::move(summary));
    }
    const auto by_name = [](const auto& a, const auto& b) { return a.name < b.name; };
    std::sort(summaries.begin(), summaries.end(), by_name);
    return summaries;
}

Result<std::uint64_t> parse_index(const http::Response& response) {
    const std::string_view text = response.header("X-Consul-Index");
    const auto index = core::parse_number<std::uint64_t>(text);
    if (!index) {
        return Error{
            .code = Code::invalid,
            .what =
                fmt::format("the answer has no usable X-Consul-Index (\"{}\")", shown(text, 40)),
            .source = Source::registry,
            .retryable = true
        };
    }
    return std::max<std::uint64_t>(*index, 1);
}

bool is_stale(const http::Response& response, Duration last_contact_max) noexcept {
    if (core::equals_ignoring_case(response.header("X-Consul-KnownLeader"), "false")) return true;
    const auto last = core::parse_number<std::uint64_t>(response.header("X-Consul-LastContact"));
    const auto max_ms = std::chrono::ceil<std::chrono::milliseconds>(last_contact_max).count();
    return last && *last > static_cast<std::uint64_t>(max_ms);
}

bool may_be_filtered(const http::Response& response, bool has_token) noexcept {
    const auto says = [&](std::string_view name, std::string_view value) {
        return core::equals_ignoring_case(response.header(name), value);
    };
    // Consul 1.11 tells those who show a token; anonymous callers it tells nothing.
    return says("X-Consul-Results-Filtered-By-ACLs", "true") ||
           (!has_token && says("X-Consul-Default-ACL-Policy", "deny"));
}

Error refusal(const http::Response& response) {
    const std::string_view body = response.body;
    const auto says = [&](std::string_view words) {
        return body.find(words) != std::string_view::npos;
    };
    Error error{
        .code = Code::invalid,
        .what = fmt::format("{} {}", response.status, shown(body)),
        .source = Source::registry
    };
    // Some versions say 500 where others say 403 or 404; the words are the same.
    const bool is_server_error = response.status >= 500;
    if (response.status == 403 ||
        (is_server_error && (says("ACL not found") || says("Permission denied")))) {
        error.code = Code::denied;
    } else if (response.status == 404 ||
               (is_server_error && (says("does not have associated TTL") || says("Unknown check") ||
                                    says("Missing service registration")))) {
        error.code = Code::not_found;
    } else if (response.status == 429 || is_server_error) {
        error.code = Code::unavailable;
        error.retryable = true;
    }
    return error;
}

}  // namespace datapunk::mesh::registry::consul
