#include "discovery/set_codec.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "core/hash.h"
#include "wire/json_writer.h"

namespace datapunk::mesh::discovery {

namespace dom = simdjson::dom;

namespace {

constexpr std::uint64_t kVersion = 1;
constexpr std::size_t kNameBytesMax = 253;   // DNS allows no longer ones
constexpr std::size_t kTextBytesMax = 4096;  // of an id, a tag, a metadata value
constexpr std::size_t kPairsMax = 256;       // tags, or metadata, of one endpoint
constexpr std::uint64_t kAgeMaxMs = 366ULL * 24 * 3600 * 1000;

void write_endpoint(wire::JsonWriter& json, const ServiceEndpoint& one) {
    json.begin_object().key("id").string(one.id).key("host").string(one.host);
    json.key("port").number(one.port).key("weight").number(one.weight);
    if (!one.tags.empty()) {
        json.key("tags").begin_array();
        for (const std::string& tag : one.tags) json.string(tag);
        json.end_array();
    }
    if (!one.metadata.empty()) {
        json.key("meta").begin_object();
        for (const auto& [key, value] : one.metadata) json.key(key).string(value);
        json.end_object();
    }
    if (!one.node.empty()) json.key("node").string(one.node);
    json.key("health").string(to_string(one.health)).end_object();
}

void write_set(wire::JsonWriter& json, const EndpointSet& set, Duration age) {
    const auto age_ms = std::chrono::floor<std::chrono::milliseconds>(age).count();
    json.begin_object().key("v").number(kVersion).key("service").string(set.service);
    json.key("index").number(set.index);
    json.key("age_ms").number(std::max<std::int64_t>(age_ms, 0));
    json.key("endpoints").begin_array();
    for (const ServiceEndpoint& one : set.endpoints) write_endpoint(json, one);
    json.end_array().end_object();
}

Error damaged(std::string_view why) {
    return {.code = Code::invalid, .what = fmt::format("not a set of endpoints: {}", why)};
}

// Reads one object's members; the first that is wrong stays as the reason.
class Fields {
  public:
    explicit Fields(dom::object object) : object_(object) {}

    std::string text(std::string_view key, std::size_t bytes_max, bool is_required) {
        dom::element element;
        if (object_.at_key(key).get(element) != simdjson::SUCCESS) {
            if (is_required) fail(key, "is missing");
            return {};
        }
        std::string_view text;
        if (element.get(text) != simdjson::SUCCESS) {
            fail(key, "is not a text");
        } else if (text.size() > bytes_max || (is_required && text.empty())) {
            fail(key, "is empty or too long");
        }
        return std::string(text);
    }

    std::uint64_t number(std::string_view key, std::uint64_t least, std::uint64_t most) {
        std::uint64_t value = 0;
        if (object_.at_key(key).get(value) != simdjson::SUCCESS || value < least || value > most) {
            fail(key, "is not a number in its range");
        }
        return value;
    }

    dom::array array(std::string_view key, bool is_required) {
        dom::array found;
        dom::element element;
        if (object_.at_key(key).get(element) != simdjson::SUCCESS) {
            if (is_required) fail(key, "is missing");
            return found;
        }
        if (element.get(found) != simdjson::SUCCESS) fail(key, "is not a list");
        has_array_ = problem_.empty();
        return found;
    }

    bool has_array() const noexcept { return has_array_; }

    void fail(std::string_view key, std::string_view why) {
        if (problem_.empty()) problem_ = fmt::format("{} {}", key, why);
    }

    const std::string& problem() const noexcept { return problem_; }

    dom::object object() const { return object_; }

  private:
    dom::object object_;
    bool has_array_ = false;
    std::string problem_;
};

void read_tags(Fields& fields, std::vector<std::string>& out) {
    const dom::array tags = fields.array("tags", false);
    if (!fields.has_array()) return;
    for (const dom::element tag : tags) {
        std::string_view text;
        const bool good = tag.get(text) == simdjson::SUCCESS && text.size() <= kTextBytesMax;
        if (!good || out.size() == kPairsMax)
            return fields.fail("tags", "are not as they should be");
        out.emplace_back(text);
    }
}

void read_metadata(Fields& fields, Metadata& out) {
    dom::element element;
    if (fields.object().at_key("meta").get(element) != simdjson::SUCCESS) return;
    dom::object pairs;
    if (element.get(pairs) != simdjson::SUCCESS) return fields.fail("meta", "is not an object");
    for (const auto& [key, value] : pairs) {
        std::string_view text;
        const bool good = value.get(text) == simdjson::SUCCESS && text.size() <= kTextBytesMax &&
                          key.size() <= kTextBytesMax;
        if (!good || out.size() == kPairsMax) return fields.fail("meta", "is not as it should be");
        out.emplace(std::string(key), std::string(text));
    }
}

void read_health(Fields& fields, Health& out) {
    const std::string text = fields.text("health", kTextBytesMax, true);
    for (const Health health : {Health::passing, Health::warning, Health::critical}) {
        if (text == to_string(health)) {
            out = health;
            return;
        }
    }
    fields.fail("health", "is none that there is");
}

Result<ServiceEndpoint> read_endpoint(const dom::element& element, const std::string& service) {
    dom::object object;
    if (element.get(object) != simdjson::SUCCESS) return damaged("an endpoint is no object");
    Fields fields(object);
    ServiceEndpoint out;
    out.service = service;
    out.id = fields.text("id", kTextBytesMax, true);
    out.host = fields.text("host", kNameBytesMax, true);
    out.port = static_cast<std::uint16_t>(fields.number("port", 1, 65535));
    out.weight = static_cast<std::uint32_t>(fields.number("weight", 1, 65535));
    out.node = fields.text("node", kTextBytesMax, false);
    read_tags(fields, out.tags);
    read_metadata(fields, out.metadata);
    read_health(fields, out.health);
    if (!fields.problem().empty()) return damaged(fields.problem());
    return out;
}

Result<AgedSet> read_set(const dom::element& element) {
    dom::object object;
    if (element.get(object) != simdjson::SUCCESS) return damaged("it is no object");
    Fields fields(object);
    (void)fields.number("v", kVersion, kVersion);
    auto set = std::make_shared<EndpointSet>();
    set->service = fields.text("service", kNameBytesMax, true);
    set->index = fields.number("index", 0, UINT64_MAX);
    const std::uint64_t age_ms = fields.number("age_ms", 0, kAgeMaxMs);
    const dom::array endpoints = fields.array("endpoints", true);
    if (!fields.problem().empty()) return damaged(fields.problem());
    for (const dom::element one : endpoints) {
        auto endpoint = read_endpoint(one, set->service);
        if (!endpoint) return std::move(endpoint).error();
        set->endpoints.push_back(*std::move(endpoint));
    }
    const auto by_id = [](const auto& a, const auto& b) { return a.id < b.id; };
    const auto same_id = [](const auto& a, const auto& b) { return a.id == b.id; };
    std::sort(set->endpoints.begin(), set->endpoints.end(), by_id);
    const auto twice = std::adjacent_find(set->endpoints.begin(), set->endpoints.end(), same_id);
    if (twice != set->endpoints.end()) return damaged("an id is there twice");
    if (set->endpoints.empty()) return damaged("it is empty");
    return AgedSet{.set = std::move(set), .age = std::chrono::milliseconds(age_ms)};
}

std::uint64_t mixed(std::uint64_t seed, std::string_view text) {
    return core::hash64(text, seed);
}

std::uint64_t mixed(std::uint64_t seed, std::uint64_t number) {
    std::array<char, 8> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<char>((number >> (8 * i)) & 0xffU);
    }
    return core::hash64(std::string_view(bytes.data(), bytes.size()), seed);
}

}  // namespace

std::string encode_set(const EndpointSet& set, Duration age) {
    std::string out;
    wire::JsonWriter json(out);
    write_set(json, set, age);
    return out;
}

std::string encode_sets(const std::vector<AgedSet>& sets) {
    std::string out;
    wire::JsonWriter json(out);
    json.begin_object().key("v").number(kVersion).key("sets").begin_array();
    for (const AgedSet& one : sets) write_set(json, *one.set, one.age);
    json.end_array().end_object();
    return out;
}

Result<AgedSet> decode_set(std::string_view json) {
    dom::parser parser;
    dom::element root;
    if (const auto error = parser.parse(json.data(), json.size()).get(root)) {
        return damaged(simdjson::error_message(error));
    }
    return read_set(root);
}

Result<std::vector<AgedSet>> decode_sets(std::string_view json) {
    dom::parser parser;
    dom::element root;
    if (const auto error = parser.parse(json.data(), json.size()).get(root)) {
        return damaged(simdjson::error_message(error));
    }
    dom::object object;
    if (root.get(object) != simdjson::SUCCESS) return damaged("it is no object");
    Fields fields(object);
    (void)fields.number("v", kVersion, kVersion);
    const dom::array sets = fields.array("sets", true);
    if (!fields.problem().empty()) return damaged(fields.problem());
    std::vector<AgedSet> out;
    for (const dom::element one : sets) {
        auto set = read_set(one);
        if (!set) return std::move(set).error();
        out.push_back(*std::move(set));
    }
    return out;
}

std::uint64_t content_hash(const std::vector<ServiceEndpoint>& endpoints) {
    std::uint64_t hash = mixed(kVersion, endpoints.size());
    for (const ServiceEndpoint& one : endpoints) {
        hash = mixed(hash, one.id);
        hash = mixed(hash, one.host);
        hash = mixed(hash, one.node);
        const auto numbers = (std::uint64_t{one.port} << 48U) | (std::uint64_t{one.weight} << 8U) |
                             static_cast<std::uint64_t>(one.health);
        hash = mixed(hash, numbers);
        hash = mixed(hash, (one.tags.size() << 32U) | one.metadata.size());
        for (const std::string& tag : one.tags) hash = mixed(hash, tag);
        for (const auto& [key, value] : one.metadata) hash = mixed(mixed(hash, key), value);
    }
    return hash;
}

}  // namespace datapunk::mesh::discovery
