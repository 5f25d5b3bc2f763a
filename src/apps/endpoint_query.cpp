#include "apps/endpoint_query.h"

#include <fmt/format.h>

#include <utility>

#include "wire/url.h"

namespace datapunk::mesh::apps {

namespace {

Error wrong(std::string what) {
    return {.code = Code::invalid, .what = std::move(what), .source = Source::downstream};
}

// False: no such key.
bool set(EndpointQuery& out, const std::string& key, std::string value) {
    DiscoveryFilter& filter = out.filter;
    if (key == "tag") {
        filter.tags.push_back(std::move(value));
    } else if (key == "capability") {
        filter.capabilities.push_back(std::move(value));
    } else if (key == "service") {
        out.service = std::move(value);
    } else if (key == "version") {
        filter.version = std::move(value);
    } else if (key == "environment") {
        filter.environment = std::move(value);
    } else if (key == "region") {
        filter.region = std::move(value);
    } else if (key == "zone") {
        filter.zone = std::move(value);
    } else {
        return false;
    }
    return true;
}

}  // namespace

Result<EndpointQuery> parse_endpoint_query(std::string_view query) {
    auto parsed = wire::Query::parse(query);
    if (!parsed) return std::move(parsed).error();
    EndpointQuery out;
    for (const auto& [key, value, has_value] : parsed->parameters()) {
        if (key == "healthy") {
            if (!value.empty() && value != "true" && value != "1") {
                return wrong("healthy stands alone, or is true");
            }
            out.filter.healthy = true;
        } else if (key == "meta") {
            const std::size_t equals = value.find('=');
            if (equals == std::string::npos) return wrong("meta must be KEY=VALUE");
            const auto [at, is_new] =
                out.filter.metadata.emplace(value.substr(0, equals), value.substr(equals + 1));
            if (!is_new) return wrong(fmt::format("meta {} is there twice", at->first));
        } else if (!has_value || value.empty()) {
            return wrong(fmt::format("{} needs a value", key.substr(0, 40)));
        } else if (!set(out, key, value)) {
            return wrong(fmt::format("unknown key {}", key.substr(0, 40)));
        }
    }
    if (auto good = check(out.filter); !good) return std::move(good).error();
    return out;
}

std::vector<policy::ServiceView> select(
    std::vector<policy::ServiceView> views,
    const EndpointQuery& query,
    const std::function<EndpointSetPtr(std::string_view service)>& known
) {
    if (!query.service.empty()) {
        std::erase_if(views, [&](const auto& view) { return view.service != query.service; });
    }
    if (query.filter.empty()) return views;
    for (policy::ServiceView& view : views) {
        const EndpointSetPtr set = known(view.service);
        std::erase_if(view.endpoints, [&](const policy::EndpointView& endpoint) {
            const ServiceEndpoint* found = set == nullptr ? nullptr : set->find(endpoint.id);
            if (found != nullptr) return !query.filter.matches(*found);
            return !query.filter.matches({.id = endpoint.id, .health = endpoint.health});
        });
    }
    return views;
}

}  // namespace datapunk::mesh::apps
