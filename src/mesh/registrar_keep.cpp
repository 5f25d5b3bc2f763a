// The registrar's other half: keeping what is announced, and removing what is owed.

#include <algorithm>
#include <utility>

#include "mesh/registration_entry.h"
#include "metrics/names.h"

namespace datapunk::mesh::internal {

namespace {

using std::chrono::seconds;

// Whether the registry still has it: soon enough after a registry lost its data, and next to
// nothing for a registry with thousands of services.
constexpr Duration kReadBackInterval = seconds(15);
// After a failure: when the registry comes back, callers should find us soon.
constexpr Duration kRetryInterval = seconds(2);
// Between tries to remove what is owed: nobody waits for it, but callers may be sent there.
constexpr Duration kDebtInterval = seconds(2);

}  // namespace

// --- keeping

void Registrar::keep_from_now_on(const EntryPtr& entry) {
    const std::string& id = entry->config.id;
    if (const EntryPtr old = kept(id)) {
        old->leave();
        by_ticket_.erase(old->ticket);
    }
    entry->replaces = nullptr;
    kept_[id] = entry;
    by_ticket_[entry->ticket] = entry;
    const Instant now = parts_.loop.now();
    entry->next_read_back = now + jittered(kReadBackInterval);
    if (entry->is_ttl()) entry->next_heartbeat = now + entry->config.check.ttl / 3;
    entry->changed.clear();
    if (checker_ != nullptr) checker_->stop(id);                 // of what was replaced
    if (entry->runs_here) (void)checker_->start(entry->config);  // accepted by prepare_check()
    keepers_.spawn(keep(entry));
    show_size();
}

io::Task<void> Registrar::keep(EntryPtr entry) {
    while (!entry->is_leaving) {
        const Instant next = std::min(entry->next_heartbeat, entry->next_read_back);
        const bool is_changed = co_await entry->changed.wait(next);
        if (entry->is_leaving) break;
        if (is_changed) entry->changed.clear();
        co_await renew(entry);
    }
}

io::Task<void> Registrar::renew(EntryPtr entry) {
    const Instant deadline = parts_.loop.now() + parts_.timeout;
    std::string id = entry->config.id;
    auto turn = co_await turns_.take(std::move(id), deadline);
    if (entry->is_leaving) co_return;
    Result<> done = Ok{};
    if (turn) {
        done = co_await renew_in_turn(entry, deadline);
    } else {
        done = Error{.code = Code::timeout, .what = "another operation on its id hangs"};
    }
    const Instant now = parts_.loop.now();
    const Duration beat = entry->config.check.ttl / 3;
    // What the registry asks for is respected, but not at the price of the registration.
    const Duration wanted = done ? Duration::zero() : done.error().retry_after;
    const Duration pause = std::max(kRetryInterval, std::min(wanted, kReadBackInterval));
    if (entry->is_ttl() && now >= entry->next_heartbeat) {
        entry->next_heartbeat = now + (done ? beat : std::min(beat, pause));
    }
    if (!done) {
        entry->next_read_back = now + jittered(pause);
    } else if (now >= entry->next_read_back) {
        entry->next_read_back = now + jittered(kReadBackInterval);
    }
    // Once per outage, not once per try.
    if (!done && !entry->is_failing) {
        parts_.log.warn(
            "cannot renew a registration", {{"id", entry->config.id}, {"error", done.error().what}}
        );
    } else if (done && entry->is_failing) {
        parts_.log.info("a registration is renewed again", {{"id", entry->config.id}});
    }
    entry->is_failing = !done;
}

io::Task<Result<>> Registrar::renew_in_turn(EntryPtr entry, Instant deadline) {
    Result<> done = Ok{};
    const bool beats = !entry->is_lost && !entry->is_displaced;
    if (beats && parts_.loop.now() >= entry->next_heartbeat) {
        done = co_await report_health(entry, deadline);
        entry->is_lost = !done && done.error().code == Code::not_found;
        const bool is_conflict = !done && done.error().code == Code::conflict;
        if (is_conflict) {
            note_displaced(entry, true);
            done = Ok{};
        }
    }
    if (!entry->is_lost && parts_.loop.now() >= entry->next_read_back) {
        std::string id = entry->config.id;
        auto found = co_await parts_.backend.metadata_of(std::move(id), deadline);
        if (found) {
            entry->is_lost = !*found;
            if (*found && parts_.who.is_another(**found)) note_displaced(entry, true);
            if (*found && parts_.who.is_this(**found)) note_displaced(entry, false);
        } else {
            done = std::move(found).error();
        }
    }
    if (entry->is_lost && !entry->is_leaving) {
        done = co_await rewrite(entry, deadline);
        count("register_again", done);
        if (done) {
            parts_.log.warn(
                "the registry had lost a registration, made again", {{"id", entry->config.id}}
            );
        }
    }
    co_return done;
}

io::Task<Result<>> Registrar::rewrite(EntryPtr entry, Instant deadline) {
    auto done = co_await write(entry, deadline);
    if (done) done = co_await report_health(entry, deadline);
    if (!done) co_return done;
    entry->is_lost = false;
    note_displaced(entry, false);
    co_return done;
}

// The last writer has the id, as with Consul. Two that fought for it would take it from each other
// for ever, and callers would be sent here and there.
void Registrar::note_displaced(const EntryPtr& entry, bool is_displaced) {
    if (std::exchange(entry->is_displaced, is_displaced) == is_displaced) return;
    if (!is_displaced) {
        parts_.log.warn("a registration is ours again", {{"id", entry->config.id}});
        const bool is_kept = kept(entry->config.id) == entry && !entry->is_leaving;
        if (entry->runs_here && is_kept) (void)checker_->start(entry->config);
        return;
    }
    parts_.metrics.counter(metrics::names::kRegistrationConflicts, {}).add();
    parts_.log.error(
        "another live process has registered this id: it is that one's now; give each its own",
        {{"id", entry->config.id},
         {"service", entry->config.name},
         {"ours", parts_.who.incarnation},
         {"owner", parts_.who.owner}}
    );
    if (entry->runs_here) checker_->stop(entry->config.id);
}

// --- what is owed

void Registrar::owe(const EntryPtr& entry) {
    owed_[entry->config.id] = entry;
    owes_.set();
}

io::Task<void> Registrar::pay_debts() {
    for (;;) {
        co_await owes_.wait(kNever);
        std::vector<EntryPtr> all;
        for (const auto& [id, entry] : owed_) all.push_back(entry);
        for (const EntryPtr& entry : all) co_await pay(entry);
        owes_.clear();
        if (owed_.empty()) continue;
        owes_.set();
        const Duration pause = jittered(kDebtInterval);
        co_await io::sleep_for(parts_.loop, pause);
    }
}

io::Task<void> Registrar::pay(EntryPtr entry) {
    const std::string id = entry->config.id;
    const Instant deadline = parts_.loop.now() + parts_.timeout;
    auto turn = co_await turns_.take(id, deadline);
    const auto at = owed_.find(id);
    if (!turn || at == owed_.end() || at->second != entry) co_return;
    auto foreign = co_await is_somebody_elses(entry, deadline);
    if (!foreign) co_return;  // the registry does not answer
    if (!*foreign) {
        std::string asked = id;
        auto gone = co_await parts_.backend.deregister_service(std::move(asked), deadline);
        if (!gone && gone.error().code != Code::not_found) co_return;
        parts_.log.warn("removed what a failed registration had left", {{"id", id}});
    }
    owed_.erase(id);
    if (!parts_.on_withdrawn) co_return;
    ServiceConfig config = entry->config;
    co_await parts_.on_withdrawn(std::move(config));
}

// Another process may have announced the id since.
io::Task<Result<bool>> Registrar::is_somebody_elses(EntryPtr entry, Instant deadline) {
    const Metadata marks = parts_.who.marks();
    if (marks.empty()) co_return false;
    std::string name = entry->config.name;
    auto answer = co_await parts_.backend.wait(std::move(name), 0, Duration::zero(), deadline);
    if (!answer) co_return std::move(answer).error();
    for (const ServiceEndpoint& endpoint : answer->endpoints) {
        if (endpoint.id != entry->config.id) continue;
        const bool is_ours = std::all_of(marks.begin(), marks.end(), [&](const auto& mark) {
            const auto at = endpoint.metadata.find(mark.first);
            return at != endpoint.metadata.end() && at->second == mark.second;
        });
        co_return !is_ours;
    }
    co_return false;
}

}  // namespace datapunk::mesh::internal
