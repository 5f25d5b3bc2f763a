#pragma once

// UpstreamServices: what all workers share about the services, by name: policies, the count of
// connections, TLS. Workers look them up while the control loop adds, lists and unlists them: an
// immutable index is published (core/epoch.h), and no entry ever goes, since exchanges, connections
// and metrics point at them. One that the configuration names no more is unlisted: nobody finds it
// any more, and when it comes back it is as it was.
//
// Threads: find(), connections_of() and tls_of() from any; the rest is the control loop's.

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/epoch.h"
#include "core/hash.h"
#include "policy/service_policies.h"
#include "proxy/upstream_pool.h"

namespace datapunk::mesh::proxy {

class UpstreamServices {
  public:
    // Listed and unlisted; each is a few KiB of memory.
    static constexpr std::size_t kServicesMax = 10'000;

    UpstreamServices() = default;
    UpstreamServices(const UpstreamServices&) = delete;
    UpstreamServices& operator=(const UpstreamServices&) = delete;

    ~UpstreamServices() { delete index_.load(); }

    // Listed. There is none of this name yet.
    policy::ServicePolicies& add(
        std::unique_ptr<policy::ServicePolicies> service, UpstreamTls tls = {}
    ) {
        auto entry = std::make_unique<Entry>();
        entry->connections.max = service->policy()->limits.connections;
        entry->tls = std::move(tls);
        entry->policies = std::move(service);
        policy::ServicePolicies& added = *entry->policies;
        Entry& placed = *services_.emplace(added.name(), std::move(entry)).first->second;
        publish(placed);
        return added;
    }

    // Whether it is found from now on. It is in here.
    void list(std::string_view name, bool is_listed) {
        services_.find(name)->second->is_listed.store(is_listed, std::memory_order_release);
    }

    policy::ServicePolicies* find(std::string_view name) const noexcept {
        const Entry* entry = entry_of(name);
        const bool is_found = entry != nullptr && entry->is_listed.load(std::memory_order_acquire);
        return is_found ? entry->policies.get() : nullptr;
    }

    // Also one that is not listed.
    policy::ServicePolicies* find_any(std::string_view name) const noexcept {
        const Entry* entry = entry_of(name);
        return entry == nullptr ? nullptr : entry->policies.get();
    }

    // Of a service that is in here, listed or not.
    ConnectionQuota& connections_of(const policy::ServicePolicies& service) const noexcept {
        return entry_of(service.name())->connections;
    }

    // Likewise.
    const UpstreamTls& tls_of(const policy::ServicePolicies& service) const noexcept {
        return entry_of(service.name())->tls;
    }

    std::size_t size() const noexcept { return services_.size(); }

    // Those that are listed, in the order of their names.
    template <class Visit>
    void for_each(Visit visit) const {
        for (const auto& [name, entry] : services_) {
            if (entry->is_listed.load(std::memory_order_relaxed)) visit(*entry->policies);
        }
    }

  private:
    struct Entry {
        std::unique_ptr<policy::ServicePolicies> policies;
        ConnectionQuota connections;
        UpstreamTls tls;
        std::atomic<bool> is_listed{true};
    };

    // Open addressing, at most half full; a new entry is written into its place, so that adding
    // many costs no more than each.
    struct Index {
        explicit Index(std::size_t slot_count) : slots(slot_count) {}

        // The names come from the configuration: the hash needs no secret seed.
        std::atomic<Entry*>& slot_of(std::string_view name) noexcept {
            std::size_t at = core::hash64(name) % slots.size();
            for (;; at = (at + 1) % slots.size()) {
                const Entry* entry = slots[at].load(std::memory_order_acquire);
                if (entry == nullptr || entry->policies->name() == name) return slots[at];
            }
        }

        std::vector<std::atomic<Entry*>> slots;
    };

    Entry* entry_of(std::string_view name) const noexcept {
        const core::EpochGuard guard;
        Index* index = index_.load(std::memory_order_acquire);
        return index == nullptr ? nullptr : index->slot_of(name).load(std::memory_order_acquire);
    }

    void publish(Entry& added) {
        Index* const index = index_.load();
        if (index != nullptr && services_.size() * 2 <= index->slots.size()) {
            index->slot_of(added.policies->name()).store(&added, std::memory_order_release);
            return;
        }
        auto larger = std::make_unique<Index>(services_.size() * 4 + 12);
        for (const auto& [name, entry] : services_) larger->slot_of(name).store(entry.get());
        index_.store(larger.release(), std::memory_order_release);
        if (index != nullptr) retired_.add([index] { delete index; });
        retired_.collect();
    }

    std::map<std::string, std::unique_ptr<Entry>, std::less<>> services_;
    std::atomic<Index*> index_{nullptr};
    core::RetiredList retired_;
};

}  // namespace datapunk::mesh::proxy
