#include "server/acl/acl_rules.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "server/acl/hcl.h"

namespace datapunk::mesh::server {

namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, kResources> kNames = {
    "acl",
    "agent",
    "event",
    "key",
    "keyring",
    "mesh",
    "node",
    "operator",
    "peering",
    "query",
    "service",
    "session",
};

bool has_names(Resource resource) {
    return resource != Resource::acl && resource != Resource::keyring &&
           resource != Resource::mesh && resource != Resource::operators &&
           resource != Resource::peering;
}

Error refused(std::string what) {
    return {.code = Code::invalid, .what = std::move(what), .source = Source::downstream};
}

std::optional<Grant> parse_grant(std::string_view text, Resource resource) {
    if (text == "read") return Grant::read;
    if (text == "write") return Grant::write;
    if (text == "deny") return Grant::deny;
    if (text == "list" && resource == Resource::key) return Grant::list;
    return std::nullopt;
}

Grant stronger(Grant a, Grant b) {
    return std::max(a, b);
}

void put(std::map<std::string, Grant, std::less<>>& rules, const std::string& name, Grant grant) {
    const auto [at, is_new] = rules.emplace(name, grant);
    if (!is_new) at->second = stronger(at->second, grant);
}

// {"policy": "write"} of one name.
Result<Grant> read_rule(const Json& rule, Resource resource, std::string_view key) {
    const auto bad = [&] {
        return refused(fmt::format(
            "Invalid {} policy: {}", key, rule.dump(-1, ' ', true, Json::error_handler_t::replace)
        ));
    };
    if (!rule.is_object()) return bad();
    std::optional<Grant> grant;
    for (const auto& [name, value] : rule.items()) {
        if (name == "policy" && value.is_string()) {
            grant = parse_grant(value.get_ref<const std::string&>(), resource);
        } else if (name == "intentions" && resource == Resource::service && value.is_string()) {
            // There are no intentions here; but what Consul refuses is refused.
            const auto& text = value.get_ref<const std::string&>();
            if (!text.empty() && !parse_grant(text, resource)) {
                return refused(fmt::format("Invalid {} intentions policy: {}", key, text));
            }
        } else {
            return refused(fmt::format(
                "Failed to parse ACL rules: \"{}\" in a rule for {} is not supported by this "
                "registry",
                name,
                key
            ));
        }
    }
    if (!grant) return bad();
    return *grant;
}

// "service" or "service_prefix" -> the resource, and whether it is the prefixes'.
std::optional<std::pair<Resource, bool>> find_resource(std::string_view key) {
    constexpr std::string_view kSuffix = "_prefix";
    const bool is_prefix = key.ends_with(kSuffix);
    if (is_prefix) key.remove_suffix(kSuffix.size());
    for (std::size_t i = 0; i < kResources; ++i) {
        const auto resource = static_cast<Resource>(i);
        if (kNames[i] == key && (!is_prefix || has_names(resource))) {
            return std::pair{resource, is_prefix};
        }
    }
    return std::nullopt;
}

std::optional<Error> read_named(
    const Json& rules, Resource resource, bool is_prefix, std::string_view key, AclRules& out
) {
    if (rules.is_array()) {  // [{"a": {…}}, {"b": {…}}]
        for (const Json& part : rules) {
            if (auto error = read_named(part, resource, is_prefix, key, out)) return error;
        }
        return std::nullopt;
    }
    if (!rules.is_object()) {
        return refused(fmt::format("Failed to parse ACL rules: {} must name what it is for", key));
    }
    for (const auto& [name, rule] : rules.items()) {
        // HCL gives a list where a name may come several times.
        const Json list = rule.is_array() ? rule : Json::array({rule});
        for (const Json& one : list) {
            auto grant = read_rule(one, resource, key);
            if (!grant) return std::move(grant).error();
            ResourceRules& target = out.of(resource);
            put(is_prefix ? target.prefix : target.exact, name, *grant);
        }
    }
    return std::nullopt;
}

Result<AclRules> read_rules(const Json& document) {
    AclRules out;
    if (!document.is_object()) return refused("Failed to parse ACL rules: object expected");
    for (const auto& [key, value] : document.items()) {
        const auto found = find_resource(key);
        if (!found) {
            return refused(fmt::format(
                "Failed to parse ACL rules: \"{}\" is no resource of this registry", key
            ));
        }
        const auto [resource, is_prefix] = *found;
        if (has_names(resource)) {
            if (auto error = read_named(value, resource, is_prefix, key, out)) {
                return *std::move(error);
            }
            continue;
        }
        const auto grant = value.is_string()
                               ? parse_grant(value.get_ref<const std::string&>(), resource)
                               : std::nullopt;
        if (!grant) {
            return refused(fmt::format(
                "Invalid {} policy: {}",
                key,
                value.dump(-1, ' ', true, Json::error_handler_t::replace)
            ));
        }
        out.of(resource).all = grant;
    }
    return out;
}

}  // namespace

std::string_view to_string(Resource resource) noexcept {
    return kNames[static_cast<std::size_t>(resource)];
}

void AclRules::add(const AclRules& other) {
    for (std::size_t i = 0; i < kResources; ++i) {
        ResourceRules& mine = by_resource[i];
        const ResourceRules& theirs = other.by_resource[i];
        for (const auto& [name, grant] : theirs.exact) put(mine.exact, name, grant);
        for (const auto& [name, grant] : theirs.prefix) put(mine.prefix, name, grant);
        if (theirs.all) mine.all = mine.all ? stronger(*mine.all, *theirs.all) : theirs.all;
    }
}

Result<AclRules> parse_acl_rules(std::string_view text) {
    if (text.size() > kRulesBytesMax) {
        return refused(
            fmt::format("Failed to parse ACL rules: longer than {} bytes", kRulesBytesMax)
        );
    }
    auto document = parse_hcl(text);
    if (!document) return refused("Failed to parse ACL rules: " + document.error().what);
    return read_rules(*document);
}

}  // namespace datapunk::mesh::server
