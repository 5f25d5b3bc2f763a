// Agent: the services that calls go to: their policies, where their endpoints are, what is counted.

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "apps/agent.h"
#include "config/difference.h"

namespace datapunk::mesh::apps {

namespace {

EndpointSet fixed_set(const std::string& name, const config::ServiceSection& section) {
    EndpointSet set{.service = name, .index = 1, .generation = 1, .origin = Origin::fixed};
    for (const config::NetworkAddress& at : section.endpoints) {
        ServiceEndpoint& endpoint = set.endpoints.emplace_back();
        endpoint.id = fmt::format("{}-{}-{}", name, at.host, at.port);
        endpoint.service = name;
        endpoint.host = at.host;
        endpoint.port = at.port;
        const auto metadata = section.endpoint_metadata.find(config::host_port_text(at));
        if (metadata != section.endpoint_metadata.end()) endpoint.metadata = metadata->second;
    }
    std::sort(set.endpoints.begin(), set.endpoints.end(), [](const auto& a, const auto& b) {
        return a.id < b.id;
    });
    return set;
}

}  // namespace

Result<> Agent::make_services() {
    const std::set<std::string> tcp = config::tcp_services_of(config());
    for (const std::string& name : config::services_of(config())) {
        auto made = make_service(config(), name, tcp.contains(name));
        if (!made) return std::move(made).error();
        use_fixed_endpoints(config(), **made);
    }
    return Ok{};
}

// Under that configuration, or as it was if it has been here before; without endpoints.
Result<policy::ServicePolicies*> Agent::make_service(
    const config::Config& config, const std::string& name, bool speaks_tcp
) {
    proxy::UpstreamTls tls;
    if (const auto& wanted = config.tls_of(name); wanted.enabled) {
        auto contexts = certificates_.put(
            "service " + name, tls_config_of(wanted, speaks_tcp ? Alpn::none : Alpn::http1)
        );
        if (!contexts) return std::move(contexts).error();
        tls = {.contexts = *std::move(contexts), .server_name = wanted.server_name};
    }
    policy::ServicePolicies* service = services_.find_any(name);
    if (service == nullptr) {
        service = &services_.add(
            std::make_unique<policy::ServicePolicies>(name, config.policy_of(name), loop_.rng()()),
            std::move(tls)
        );
    } else {
        services_.list(name, true);
    }
    auto& collector = collectors_[name];
    collector =
        std::make_unique<policy::ServiceCollector>(metrics_, name, policy::Refusals::by_the_proxy);
    collector->begin_at(service->totals());
    return service;
}

// Also of a subset of it, which the subset's policy picks from them.
bool Agent::has_fixed_endpoints(const config::Config& config, const std::string& service) {
    const auto section = config.services.find(std::string(routing::service_of(service)));
    return section != config.services.end() && !section->second.endpoints.empty();
}

void Agent::use_fixed_endpoints(const config::Config& config, policy::ServicePolicies& service) {
    if (!has_fixed_endpoints(config, service.name())) return;
    const std::string name(routing::service_of(service.name()));
    const auto& section = config.services.find(name)->second;
    service.update(std::make_shared<const EndpointSet>(fixed_set(name, section)), loop_.now());
}

// One watch for every service that has no endpoints of its own in the configuration.
void Agent::follow_services() {
    services_.for_each([this](policy::ServicePolicies& service) {
        if (!has_fixed_endpoints(config(), service.name())) follow_service(service);
    });
}

void Agent::follow_service(policy::ServicePolicies& service) {
    if (discovery_ == nullptr || watches_.contains(service.name())) return;
    const std::string name(routing::service_of(service.name()));  // also of a subset of it
    const auto tell = [this, &service, told = std::uint64_t{0}](const EndpointChange& change
                      ) mutable {
        const std::uint64_t from = std::exchange(told, change.all->generation);
        service.update(change.all, loop_.now(), {.change = &change, .from = from});
        on_change(service, change);
    };
    auto watch = discovery_->watch(name, tell);
    if (watch) {
        watches_.emplace(service.name(), *std::move(watch));
    } else {
        log_.error("cannot watch", {{"service", service.name()}, {"why", watch.error().what}});
    }
}

void Agent::on_change(const policy::ServicePolicies& service, const EndpointChange& change) {
    const bool is_news =
        !change.added.empty() || !change.removed.empty() || !change.changed.empty();
    if (!is_news) return;  // the first answer, and nobody is there
    note_event(
        {.when = loop_.now(),
         .service = service.name(),
         .what = "endpoints changed",
         .why = fmt::format(
             "{} added, {} removed, {} changed, {} in all",
             change.added.size(),
             change.removed.size(),
             change.changed.size(),
             change.all->endpoints.size()
         )}
    );
}

void Agent::collect() {
    count_access_log();
    if (discovery_ != nullptr) discovery_collector_->update(*discovery_);
    services_.for_each([&](policy::ServicePolicies& service) {
        std::vector<policy::PolicyEvent> events = service.drain_events();
        policy::ServiceCollector& collector = *collectors_.find(service.name())->second;
        collector.count(events);
        collector.update(service, loop_.now());
        for (policy::PolicyEvent& event : events) note_event(std::move(event));
    });
}

}  // namespace datapunk::mesh::apps
