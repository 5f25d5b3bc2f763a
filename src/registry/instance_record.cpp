#include "registry/instance_record.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "wire/json_writer.h"

namespace datapunk::mesh::registry {

namespace dom = simdjson::dom;

namespace {

// Far above what checked() lets through (64 pairs of 640 bytes, 64 tags of 255), so that a foreign
// value cannot fill our memory.
constexpr std::size_t kRecordBytesMax = 256UL * 1024;

Error malformed(std::string_view why) {
    return {
        .code = Code::invalid,
        .what = fmt::format("not an instance record: {}", why),
        .source = Source::registry
    };
}

bool is_printable(std::string_view text) {
    return std::none_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
}

// Missing is fine; what is there must be text.
bool read_text(const dom::object& object, std::string_view key, std::string& out) {
    dom::element element;
    if (object.at_key(key).get(element) != simdjson::SUCCESS) return true;
    std::string_view text;
    if (element.get(text) != simdjson::SUCCESS) return false;
    out = text;
    return true;
}

bool read_number(const dom::object& object, std::string_view key, std::uint64_t& out) {
    dom::element element;
    if (object.at_key(key).get(element) != simdjson::SUCCESS) return true;
    return element.get(out) == simdjson::SUCCESS;
}

bool read_tags(const dom::object& object, std::vector<std::string>& out) {
    dom::element element;
    if (object.at_key("tags").get(element) != simdjson::SUCCESS) return true;
    dom::array tags;
    if (element.get(tags) != simdjson::SUCCESS) return false;
    for (const dom::element tag : tags) {
        std::string_view text;
        if (tag.get(text) != simdjson::SUCCESS) return false;
        out.emplace_back(text);
    }
    return true;
}

bool read_metadata(const dom::object& object, Metadata& out) {
    dom::element element;
    if (object.at_key("meta").get(element) != simdjson::SUCCESS) return true;
    dom::object meta;
    if (element.get(meta) != simdjson::SUCCESS) return false;
    for (const auto& [key, value] : meta) {
        std::string_view text;
        if (value.get(text) != simdjson::SUCCESS) return false;
        out.emplace(std::string(key), std::string(text));
    }
    return true;
}

bool read_health(const dom::object& object, Health& out) {
    std::string text = "passing";
    if (!read_text(object, "health", text)) return false;
    for (const Health health : {Health::passing, Health::warning, Health::critical}) {
        if (text == to_string(health)) {
            out = health;
            return true;
        }
    }
    return false;
}

}  // namespace

Contention contention(const std::optional<Claim>& claim, const InstanceRecord& record) {
    Contention out{.is_others = claim && claim->owner != record.owner};
    out.generation = out.is_others ? claim->generation + 1 : record.generation;
    out.generation = std::max<std::uint64_t>(out.generation, 1);
    return out;
}

std::optional<std::string_view> not_to_erase(
    const std::optional<Claim>& claim, std::string_view owner
) {
    if (!claim) return "not registered";
    if (!owner.empty() && claim->owner != owner) return kTaken;
    return std::nullopt;
}

Metadata metadata_of_record(std::string_view bytes, std::string service, std::string id) {
    auto record = parse_record(bytes, std::move(service), std::move(id));
    return record ? std::move(record->endpoint.metadata) : Metadata();
}

Error store_problem(std::string_view store, std::string_view id, std::string_view why, Code code) {
    return {
        .code = code,
        .what = fmt::format("{}: {}: {}", store, id, why),
        .source = Source::registry,
        .retryable = code == Code::unavailable
    };
}

InstanceRecord fresh_record(const ServiceConfig& config, std::string node, std::string owner) {
    InstanceRecord record;
    record.owner = std::move(owner);
    ServiceEndpoint& endpoint = record.endpoint;
    endpoint.id = config.id;
    endpoint.service = config.name;
    endpoint.host = config.host;
    endpoint.port = config.port;
    endpoint.weight = config.weight;
    endpoint.tags = config.tags;
    endpoint.metadata = config.meta;
    endpoint.node = std::move(node);
    const bool is_checked = config.check.kind != HealthCheck::Kind::none;
    endpoint.health = is_checked ? Health::critical : Health::passing;
    return record;
}

std::string to_json(const InstanceRecord& record) {
    const ServiceEndpoint& endpoint = record.endpoint;
    std::string out;
    wire::JsonWriter json(out);
    json.begin_object();
    json.key("host").string(endpoint.host).key("port").number(endpoint.port);
    json.key("weight").number(endpoint.weight);
    json.key("tags").begin_array();
    for (const std::string& tag : endpoint.tags) json.string(tag);
    json.end_array();
    json.key("meta").begin_object();
    for (const auto& [key, value] : endpoint.metadata) json.key(key).string(value);
    json.end_object();
    json.key("health").string(to_string(endpoint.health)).key("note").string(record.note);
    json.key("node").string(endpoint.node);
    json.key("owner").string(record.owner).key("generation").number(record.generation);
    json.end_object();
    return out;
}

Result<InstanceRecord> parse_record(std::string_view bytes, std::string service, std::string id) {
    if (bytes.size() > kRecordBytesMax) {
        return malformed(fmt::format("{} bytes, at most {}", bytes.size(), kRecordBytesMax));
    }
    dom::parser parser;
    dom::object object;
    const auto problem = parser.parse(bytes.data(), bytes.size()).get(object);
    if (problem != simdjson::SUCCESS) return malformed(simdjson::error_message(problem));
    InstanceRecord record;
    ServiceEndpoint& endpoint = record.endpoint;
    endpoint.id = std::move(id);
    endpoint.service = std::move(service);
    std::uint64_t port = 0;
    std::uint64_t weight = 1;
    const bool is_typed =
        read_text(object, "host", endpoint.host) && read_number(object, "port", port) &&
        read_number(object, "weight", weight) && read_tags(object, endpoint.tags) &&
        read_metadata(object, endpoint.metadata) && read_text(object, "note", record.note) &&
        read_text(object, "node", endpoint.node) && read_text(object, "owner", record.owner) &&
        read_number(object, "generation", record.generation);
    if (!is_typed) return malformed("a field has the wrong type");
    if (!read_health(object, endpoint.health)) {
        return malformed("health must be passing, warning or critical");
    }
    if (endpoint.host.empty() || endpoint.host.size() > 253 || !is_printable(endpoint.host) ||
        endpoint.host.find(' ') != std::string::npos) {
        return malformed("host must be an address or a host name");
    }
    if (port < 1 || port > 65535) return malformed("port must be 1..65535");
    if (weight < 1 || weight > 65535) return malformed("weight must be 1..65535");
    endpoint.port = static_cast<std::uint16_t>(port);
    endpoint.weight = static_cast<std::uint32_t>(weight);
    return record;
}

std::string to_json(const Claim& claim) {
    std::string out;
    wire::JsonWriter json(out);
    json.begin_object().key("service").string(claim.service).key("owner").string(claim.owner);
    json.key("generation").number(claim.generation).end_object();
    return out;
}

std::optional<Claim> parse_claim(std::string_view bytes) {
    dom::parser parser;
    dom::object object;
    std::string_view service;
    std::string_view owner;
    Claim claim;
    if (parser.parse(bytes.data(), bytes.size()).get(object) != simdjson::SUCCESS ||
        object.at_key("service").get(service) != simdjson::SUCCESS ||
        object.at_key("owner").get(owner) != simdjson::SUCCESS ||
        object.at_key("generation").get(claim.generation) != simdjson::SUCCESS) {
        return std::nullopt;
    }
    claim.service = service;
    claim.owner = owner;
    return claim;
}

std::vector<ServiceSummary> summarise(const std::vector<ServiceEndpoint>& endpoints) {
    std::map<std::string_view, std::set<std::string_view>> tags;
    for (const ServiceEndpoint& endpoint : endpoints) {
        tags[endpoint.service].insert(endpoint.tags.begin(), endpoint.tags.end());
    }
    std::vector<ServiceSummary> out;
    for (const auto& [name, its] : tags) {
        out.push_back({.name = std::string(name), .tags = {its.begin(), its.end()}});
    }
    return out;
}

}  // namespace datapunk::mesh::registry
