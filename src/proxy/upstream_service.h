#pragma once

// UpstreamService: what all workers share about one service: its policies. UpstreamServices: all of
// them by name. The table is built before the workers start and then only read; the policies inside
// take updates from the control loop while workers pick (policy/service_policies.h).

#include <map>
#include <memory>
#include <string>

#include "policy/service_policies.h"

namespace datapunk::mesh::proxy {

class UpstreamServices {
  public:
    policy::ServicePolicies& add(std::unique_ptr<policy::ServicePolicies> service) {
        const std::string name(service->name());
        return *(services_[name] = std::move(service));
    }

    policy::ServicePolicies* find(std::string_view name) const noexcept {
        const auto at = services_.find(name);
        return at == services_.end() ? nullptr : at->second.get();
    }

    template <class Visit>
    void for_each(Visit visit) const {
        for (const auto& [name, service] : services_) visit(*service);
    }

  private:
    std::map<std::string, std::unique_ptr<policy::ServicePolicies>, std::less<>> services_;
};

}  // namespace datapunk::mesh::proxy
