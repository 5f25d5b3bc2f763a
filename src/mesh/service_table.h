#pragma once

// ServiceTable: the services in use, by name. Looking one up takes no lock: readers follow a
// published immutable index under an epoch guard; adding one publishes a new index, O(n), which is
// rare. Services are never removed: handles and leases point at them until the mesh goes.
//
// Threads: any. find(): ~20 ns.

#include <datapunk/mesh/policy.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/epoch.h"
#include "core/hash.h"
#include "mesh/service_state.h"

namespace datapunk::mesh::internal {

class ServiceTable {
  public:
    ServiceTable() = default;
    ~ServiceTable();
    ServiceTable(const ServiceTable&) = delete;
    ServiceTable& operator=(const ServiceTable&) = delete;

    ServiceState* find(std::string_view name) const noexcept;

    // `make` is called if the name is new. Second: whether it was.
    template <class Make>
    std::pair<ServiceState*, bool> find_or_add(std::string_view name, const Make& make) {
        const std::lock_guard lock(mutex_);
        if (ServiceState* found = find(name)) return {found, false};
        services_.push_back(make());
        publish();
        return {services_.back().get(), true};
    }

    std::size_t size() const;

    template <class Visit>
    void for_each(const Visit& visit) const {
        const std::lock_guard lock(mutex_);
        for (const auto& service : services_) visit(*service);
    }

  private:
    // The keys live in the services. They come from this process's own code, so that the hash needs
    // no secret seed.
    struct Hash {
        std::size_t operator()(std::string_view name) const noexcept { return core::hash64(name); }
    };

    using Index = std::unordered_map<std::string_view, ServiceState*, Hash>;

    void publish();

    mutable std::mutex mutex_;
    std::vector<std::unique_ptr<ServiceState>> services_;
    std::atomic<const Index*> index_{nullptr};
    core::RetiredList retired_;
};

}  // namespace datapunk::mesh::internal
