#include "routing/route.h"

#include <fmt/format.h>

namespace datapunk::mesh::routing {

bool is_plain(const Route& route) noexcept {
    return !route.redirect && !route.respond && !route.rewrite && route.request_headers.empty() &&
           route.response_headers.empty() && !route.retry && !route.body_bytes_max &&
           !route.fault && !route.cors && !route.mirror && !route.fallback && !route.rate_limit;
}

RetryConfig RetryOverride::over(RetryConfig base) const {
    const auto lay = [](auto& to, const auto& from) {
        if (from) to = *from;
    };
    lay(base.attempts, attempts);
    lay(base.on, on);
    lay(base.on_grpc, on_grpc);
    lay(base.on_statuses, on_statuses);
    lay(base.on_headers, on_headers);
    lay(base.non_idempotent, non_idempotent);
    lay(base.attempt_timeout, attempt_timeout);
    lay(base.backoff, backoff);
    lay(base.retry_after_max, retry_after_max);
    return base;
}

std::string target_name(const std::string& service, const Metadata& subset) {
    std::string name = service;
    for (const auto& [key, value] : subset)
        name += fmt::format("{}{}={}", name.size() == service.size() ? '/' : ',', key, value);
    return name;
}

std::string_view service_of(std::string_view target_name) noexcept {
    return target_name.substr(0, target_name.find('/'));
}

std::string RouteTarget::name() const {
    return target_name(service, subset);
}

std::vector<RouteTarget> targets_of(const Route& route) {
    std::vector<RouteTarget> all;
    if (!route.service.empty())
        all.push_back({.key = "service", .service = route.service, .subset = route.subset});
    for (std::size_t i = 0; i < route.split.size(); ++i) {
        const WeightedService& one = route.split[i];
        all.push_back({fmt::format("split[{}].service", i), one.service, one.subset});
    }
    if (route.mirror)
        all.push_back({"mirror.service", route.mirror->service, route.mirror->subset});
    if (route.fallback && !route.fallback->service.empty())
        all.push_back({"fallback.service", route.fallback->service, route.fallback->subset});
    return all;
}

}  // namespace datapunk::mesh::routing
