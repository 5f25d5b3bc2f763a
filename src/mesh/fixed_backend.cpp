#include "mesh/fixed_backend.h"

#include <datapunk/mesh/registration.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace datapunk::mesh::internal {

namespace {

constexpr std::uint64_t kIndex = 1;  // the first and last

Error refusal() {
    return {
        .code = Code::denied,
        .what = "the services of this mesh are fixed: there is no registry to write to",
        .source = Source::registry
    };
}

Result<> check_endpoint(const ServiceEndpoint& endpoint) {
    // The same rules as for a registration.
    const ServiceConfig as_config{
        .name = endpoint.service,
        .id = endpoint.id,
        .host = endpoint.host,
        .port = endpoint.port,
        .weight = endpoint.weight,
        .tags = endpoint.tags,
        .meta = endpoint.metadata,
        .check = {.kind = HealthCheck::Kind::none},
    };
    auto verdict = mesh::checked(as_config);
    if (!verdict) return std::move(verdict).error();
    return Ok{};
}

}  // namespace

Result<FixedBackend::Services> FixedBackend::checked(Services services) {
    for (auto& [name, endpoints] : services) {
        if (auto verdict = check_service_name(name); !verdict) return std::move(verdict).error();
        std::set<std::string> ids;
        for (ServiceEndpoint& endpoint : endpoints) {
            if (endpoint.service.empty()) endpoint.service = name;
            if (endpoint.id.empty()) {
                endpoint.id = fmt::format("{}-{}-{}", name, endpoint.host, endpoint.port);
            }
            if (auto verdict = check_endpoint(endpoint); !verdict) {
                return std::move(verdict).error();
            }
            if (!ids.insert(endpoint.id).second) {
                return Error{
                    .code = Code::invalid,
                    .what = fmt::format("{}: two endpoints have the id \"{}\"", name, endpoint.id)
                };
            }
        }
        std::sort(endpoints.begin(), endpoints.end(), [](const auto& a, const auto& b) {
            return a.id < b.id;
        });
    }
    return services;
}

FixedBackend::FixedBackend(io::Loop& loop, Services services)
    : loop_(loop), services_(std::move(services)) {}

io::Task<Result<>> FixedBackend::register_service(ServiceConfig, Instant) {
    co_return refusal();
}

io::Task<Result<>> FixedBackend::deregister_service(std::string, Instant) {
    co_return refusal();
}

io::Task<Result<bool>> FixedBackend::has_service(std::string, Instant) {
    co_return false;
}

io::Task<Result<>> FixedBackend::heartbeat(std::string, Health, std::string, Instant) {
    co_return refusal();
}

io::Task<Result<registry::Answer>> FixedBackend::wait(
    std::string service, std::uint64_t after, Duration longest, Instant deadline
) {
    if (after >= kIndex) {
        const Instant end = std::min(deadline, loop_.now() + longest);
        co_await io::sleep_until(loop_, end);
    }
    registry::Answer answer{.index = kIndex};
    const auto at = services_.find(service);
    if (at != services_.end()) answer.endpoints = at->second;
    co_return answer;
}

io::Task<Result<std::vector<registry::ServiceSummary>>> FixedBackend::services(Instant) {
    std::vector<registry::ServiceSummary> all;
    for (const auto& [name, endpoints] : services_) {
        std::set<std::string> tags;
        for (const ServiceEndpoint& endpoint : endpoints) {
            tags.insert(endpoint.tags.begin(), endpoint.tags.end());
        }
        all.push_back({.name = name, .tags = {tags.begin(), tags.end()}});
    }
    co_return all;
}

}  // namespace datapunk::mesh::internal
