#pragma once

// Registrar: keeps this process's services announced in a registry.
//
//   announce ─► register ─► read back ─► kept ─────────────► withdraw ─► deregister ─► gone
//      │           │ error      │ not there  ▲ │ the registry lost it: register again
//      │           ▼            ▼            └─┘ ttl: a heartbeat every ttl/3
//      │        deregister (nothing stays behind), error
//      └─ the registry is down: tried again until the deadline, then the error
//
// A kept registration survives outages of the registry: its keeper goes on asking and makes it
// again. The same id again replaces: the old ticket is then worth nothing. What a cancelled task
// may have left in the registry is withdrawn by withdraw_all().
//
// One loop's object.

#include <datapunk/mesh/registration.h>
#include <datapunk/mesh/result.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/log.h"
#include "io/loop.h"
#include "io/task.h"
#include "metrics/metric_registry.h"
#include "registry/backend.h"

namespace datapunk::mesh::internal {

struct RegistrarParts {
    io::Loop& loop;
    registry::Backend& backend;
    core::Logger log;
    metrics::MetricRegistry& metrics;
    Duration timeout;  // of one request of a keeper
    // Told of every withdrawal that the registry has confirmed.
    std::function<void(const ServiceConfig&)> on_withdrawn;
};

class Registrar {
  public:
    using Ticket = std::uint64_t;

    // A process announces a handful; more is a leak.
    static constexpr std::size_t kRegistrationsMax = 1000;

    explicit Registrar(RegistrarParts parts);

    // `config` is checked.
    io::Task<Result<Ticket>> announce(ServiceConfig config, Instant deadline);
    // Ok if it has gone already. Fails if the registry did not confirm; may be tried again.
    io::Task<Result<>> withdraw(Ticket ticket, Instant deadline);
    // Also one that this process did not announce.
    io::Task<Result<>> withdraw_id(std::string id, Instant deadline);
    io::Task<void> withdraw_all(Instant deadline);

    Result<> set_health(Ticket ticket, Health health, std::string note);
    // Stays in the registry, is not kept any more.
    void forget(Ticket ticket);

    std::size_t size() const noexcept { return entries_.size(); }

  private:
    struct Entry;
    using EntryPtr = std::shared_ptr<Entry>;

    io::Task<Result<>> replace(EntryPtr old, Instant deadline);
    io::Task<Result<>> register_patiently(EntryPtr entry, Instant deadline);
    io::Task<Result<>> write(EntryPtr entry, Instant deadline);
    io::Task<Result<>> read_back(EntryPtr entry, Instant deadline);
    io::Task<void> keep(EntryPtr entry);
    io::Task<void> renew(EntryPtr entry);
    io::Task<Result<>> remove(std::string id, Instant deadline);
    io::Task<void> withdraw_quietly(Ticket ticket, Instant deadline);

    EntryPtr find(Ticket ticket) const;
    void drop(const EntryPtr& entry);
    void count(std::string_view operation, const Result<>& result);
    void show_size();
    Duration jittered(Duration time);

    RegistrarParts parts_;
    std::map<std::string, EntryPtr, std::less<>> entries_;  // by id
    Ticket next_ticket_ = 1;
    metrics::Gauge active_;
    io::TaskGroup keepers_;  // last: destroyed first
};

}  // namespace datapunk::mesh::internal
