#pragma once

// UpstreamServices: what all workers share about the services, by name: policies, the count of
// connections, TLS. The table is built before the workers start and then only read; the policies
// inside take updates from the control loop while workers pick (policy/service_policies.h).

#include <map>
#include <memory>
#include <string>

#include "policy/service_policies.h"
#include "proxy/upstream_pool.h"

namespace datapunk::mesh::proxy {

class UpstreamServices {
  public:
    policy::ServicePolicies& add(
        std::unique_ptr<policy::ServicePolicies> service, UpstreamTls tls = {}
    ) {
        Entry& entry = services_[service->name()];
        entry.connections.max = service->policy().limits.connections;
        entry.tls = std::move(tls);
        entry.policies = std::move(service);
        return *entry.policies;
    }

    policy::ServicePolicies* find(std::string_view name) const noexcept {
        const auto at = services_.find(name);
        return at == services_.end() ? nullptr : at->second.policies.get();
    }

    // Of a service that is in here. Thread-safe.
    ConnectionQuota& connections_of(const policy::ServicePolicies& service) {
        return services_.find(service.name())->second.connections;
    }

    // Likewise.
    const UpstreamTls& tls_of(const policy::ServicePolicies& service) const {
        return services_.find(service.name())->second.tls;
    }

    template <class Visit>
    void for_each(Visit visit) const {
        for (const auto& [name, entry] : services_) visit(*entry.policies);
    }

  private:
    struct Entry {
        std::unique_ptr<policy::ServicePolicies> policies;
        ConnectionQuota connections;
        UpstreamTls tls;
    };

    std::map<std::string, Entry, std::less<>> services_;
};

}  // namespace datapunk::mesh::proxy
