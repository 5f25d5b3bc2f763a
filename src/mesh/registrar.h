#pragma once

// Registrar: keeps this process's services announced in a registry.
//
//   announce ─► ready ─► validate ─► registry ─► health check ─► balancer ─► metrics ─► kept
//               (waits)                 │ written and read back      │ a step fails: it and those
//                                       ◄────────────────────────────┘ before it are undone, in
//                                                                      reverse; error
//   kept ─► renewed (ttl: a heartbeat every ttl/3), made again when the registry lost it;
//           its check is run here if the registry cannot (self_checker.h)
//   withdraw ─► drain (critical, for drain_delay) ─► deregister ─► gone
//
// * The steps are a saga (saga.h). While the registry is down a step is tried again until the
//   deadline. Undoing a replacement announces the earlier registration again.
// * Operations on one id happen one after the other, in the order in which they came (id_turns.h).
//   An announcement that is under way gives up when another operation on its id arrives.
// * What could not be undone, or was cancelled half-way, is owed: removed as soon as the registry
//   answers, unless it has become somebody else's meanwhile.
// * The id that another live process has registered is that one's: the last writer has it. We say
//   so, renew nothing, do not deregister it, and take it again only when it has gone.
// * What an earlier run of the same owner left behind is removed once after the start
//   (ownership.h).
// * A kept registration survives outages of the registry. The same id again replaces: the old
//   ticket is then worth nothing.
//
// One loop's object.

#include <datapunk/mesh/registration.h>
#include <datapunk/mesh/result.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/log.h"
#include "io/loop.h"
#include "io/task.h"
#include "mesh/id_turns.h"
#include "mesh/ownership.h"
#include "mesh/saga.h"
#include "metrics/metric_registry.h"
#include "registry/backend.h"
#include "registry/self_checker.h"

namespace datapunk::mesh::internal {

struct RegistrationEntry;

// Runs what may take its time on another thread; empty: here and now. May be called there, too.
using Elsewhere = std::function<void(std::function<void()>)>;

struct RegistrarParts {
    io::Loop& loop;
    registry::Backend& backend;
    core::Logger log;
    metrics::MetricRegistry& metrics;
    Duration timeout;        // of one request of a keeper
    Duration drain_delay{};  // between "critical" and the deregistration
    // The balancer's step: when it has succeeded, callers in this process see the service.
    std::function<io::Task<Result<>>(ServiceConfig, Instant deadline)> on_announced{};
    // Told of every withdrawal that the registry has confirmed.
    std::function<io::Task<void>(ServiceConfig)> on_withdrawn{};
    // Marks what is announced, and removes what an earlier run of the same owner left.
    Ownership who{};
    // For checks that the registry cannot run. Without a network such registrations are refused;
    // without processes those whose check is a program.
    io::Network* network = nullptr;
    io::Processes* processes = nullptr;
    Elsewhere elsewhere{};
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
    // The same, and tells the registry now. Ok also if that has to wait for the registry.
    io::Task<Result<>> report(Ticket ticket, Health health, std::string note, Instant deadline);
    // Whether the id is announced from here, or something is under way that may change that.
    bool is_busy_with(const std::string& id) const;
    // Null: over.
    const ServiceConfig* config_of(Ticket ticket) const;
    // Stays in the registry, is not kept any more.
    void forget(Ticket ticket);

    std::size_t size() const noexcept { return kept_.size(); }

    // What the registry may still have although nobody wants it.
    std::size_t owed() const noexcept { return owed_.size(); }

  private:
    class UnderWay;
    using EntryPtr = std::shared_ptr<RegistrationEntry>;
    using Try = std::function<io::Task<Result<>>()>;

    std::vector<SagaStep> steps_of(const EntryPtr& entry);
    io::Task<Result<>> await_ready(EntryPtr entry);
    Result<> start_ready_check(const RegistrationEntry& entry, std::string key);
    void ask_whether_ready(const EntryPtr& entry);
    io::Task<Result<>> validate(EntryPtr entry);
    Result<> prepare_check(RegistrationEntry& entry) const;
    // What a check that runs here came to.
    void on_checked(const std::string& id, Health health, std::string note);
    io::Task<Result<>> write_and_read_back(EntryPtr entry, Instant deadline);
    io::Task<Result<>> unwrite(EntryPtr entry);
    io::Task<Result<>> report_health(EntryPtr entry, Instant deadline);
    io::Task<Result<>> tell_balancer(EntryPtr entry, Instant deadline);
    io::Task<void> untell_balancer(EntryPtr entry);
    io::Task<Result<>> show(EntryPtr entry);
    io::Task<Result<>> hide(EntryPtr entry);

    io::Task<Result<>> patiently(EntryPtr entry, Instant deadline, Try attempt);
    io::Task<Result<>> write(EntryPtr entry, Instant deadline);
    io::Task<Result<>> read_back(EntryPtr entry, Instant deadline);
    io::Task<Result<>> rewrite(EntryPtr entry, Instant deadline);

    void keep_from_now_on(const EntryPtr& entry);
    io::Task<void> keep(EntryPtr entry);
    io::Task<void> renew(EntryPtr entry);
    io::Task<Result<>> renew_in_turn(EntryPtr entry, Instant deadline);

    io::Task<Result<>> remove(std::string id, Instant deadline);
    // Whether the id is in the registry as another process's. An error: it does not say.
    io::Task<Result<bool>> is_taken(std::string id, Instant deadline);
    void note_displaced(const EntryPtr& entry, bool is_displaced);
    io::Task<void> drain(EntryPtr entry, Instant deadline);
    io::Task<Result<>> withdraw_kept(EntryPtr entry, Instant deadline);
    io::Task<void> withdraw_quietly(std::string id, Instant deadline);

    io::Task<void> reap();
    io::Task<Result<>> reap_once();
    io::Task<Result<>> reap_service(std::string service);
    io::Task<Result<std::vector<std::string>>> orphans_of(std::string service);

    void owe(const EntryPtr& entry);
    io::Task<void> pay_debts();
    io::Task<void> pay(EntryPtr entry);
    io::Task<Result<bool>> is_somebody_elses(EntryPtr entry, Instant deadline);

    EntryPtr kept(const std::string& id) const;
    EntryPtr find(Ticket ticket) const;
    void interrupt(const std::string& id);
    io::Task<void> drop(EntryPtr entry);
    void count(std::string_view operation, const Result<>& result);
    void show_size();
    Duration jittered(Duration time);

    RegistrarParts parts_;
    IdTurns turns_;
    std::map<std::string, EntryPtr, std::less<>> kept_;  // by id
    std::unordered_map<Ticket, EntryPtr> by_ticket_;     // of kept_
    std::map<std::string, EntryPtr> under_way_;          // announcements that have their turn
    std::map<std::string, EntryPtr> getting_ready_;      // by id and ticket
    std::map<std::string, EntryPtr> owed_;
    io::Event owes_;  // set while it does
    Ticket next_ticket_ = 1;
    metrics::Gauge active_;
    std::unique_ptr<registry::SelfChecker> checker_;        // null: no network
    std::unique_ptr<registry::SelfChecker> ready_checker_;  // of what is not announced yet
    io::TaskGroup keepers_;                                 // last: destroyed first
};

}  // namespace datapunk::mesh::internal
