#include "mesh/registrar.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "metrics/names.h"

namespace datapunk::mesh::internal {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Whether the registry still has it: soon enough after a registry lost its data, and next to
// nothing for a registry with thousands of services.
constexpr Duration kReadBackInterval = seconds(15);
// After a failure: when the registry comes back, callers should find us soon.
constexpr Duration kRetryInterval = seconds(2);
// Between tries while somebody waits; full jitter.
constexpr Duration kBackoffFirst = milliseconds(50);
constexpr Duration kBackoffMax = seconds(1);
// Withdrawing is tried so often; what stays behind then is the registry's to time out.
constexpr int kWithdrawTries = 3;

bool may_pass(const Error& error) {
    return error.retryable || error.code == Code::unavailable || error.code == Code::timeout;
}

Duration backoff(int tries, core::Rng& rng) {
    const Duration most =
        std::min(kBackoffMax, kBackoffFirst * (Duration::rep{1} << std::min(tries, 10)));
    return Duration(
        static_cast<Duration::rep>(rng.below(static_cast<std::uint64_t>(most.count()) + 1))
    );
}

}  // namespace

struct Registrar::Entry {
    Entry(ServiceConfig the_config, Ticket the_ticket, io::Loop& loop)
        : config(std::move(the_config)), ticket(the_ticket), changed(loop), ended(loop) {}

    bool is_ttl() const { return config.check.kind == HealthCheck::Kind::ttl; }

    void leave() {
        is_leaving = true;
        changed.set();
    }

    const ServiceConfig config;
    const Ticket ticket;
    Health health = Health::passing;
    std::string note;
    bool is_leaving = false;
    bool is_kept = false;
    bool is_lost = false;  // the registry does not have it
    bool is_failing = false;
    Instant next_heartbeat = kNever;
    Instant next_read_back = kNever;
    io::Event changed;  // health, or leaving
    io::Event ended;    // nobody works on it any more
};

Registrar::Registrar(RegistrarParts parts)
    : parts_(std::move(parts)),
      active_(parts_.metrics.gauge(metrics::names::kRegistrationsActive, {})) {}

io::Task<Result<Registrar::Ticket>> Registrar::announce(ServiceConfig config, Instant deadline) {
    const auto at = entries_.find(config.id);
    if (at != entries_.end()) {
        EntryPtr old = at->second;
        auto replaced = co_await replace(old, deadline);
        if (!replaced) co_return std::move(replaced).error();
    } else if (entries_.size() >= kRegistrationsMax) {
        co_return Error{
            .code = Code::exhausted,
            .what = fmt::format("{}: {} registrations already", config.id, kRegistrationsMax)
        };
    }
    const auto entry = std::make_shared<Entry>(std::move(config), next_ticket_++, parts_.loop);
    entries_[entry->config.id] = entry;

    struct End {  // also when this task is destroyed
        Entry& entry;

        ~End() {
            if (!entry.is_kept) entry.ended.set();
        }
    } const end{*entry};

    auto done = co_await register_patiently(entry, deadline);
    count("register", done);
    if (!done) {
        const Instant undo_deadline = parts_.loop.now() + parts_.timeout;
        const std::string id = entry->config.id;
        // A request that timed out may have worked.
        if (!entry->is_leaving) {
            auto undone = co_await remove(id, undo_deadline);
            if (!undone) {
                parts_.log.warn(
                    "cannot take back a registration", {{"error", undone.error().what}}
                );
            }
        }
        drop(entry);
        co_return std::move(done).error();
    }
    entry->is_kept = true;
    const Instant now = parts_.loop.now();
    entry->next_read_back = now + jittered(kReadBackInterval);
    if (entry->is_ttl()) entry->next_heartbeat = now + entry->config.check.ttl / 3;
    keepers_.spawn(keep(entry));
    show_size();
    co_return entry->ticket;
}

io::Task<Result<>> Registrar::replace(EntryPtr old, Instant deadline) {
    old->leave();
    auto ended = co_await old->ended.wait(deadline);
    if (!ended) {
        co_return Error{
            .code = Code::timeout,
            .what = fmt::format("{}: an earlier registration is still under way", old->config.id),
            .retryable = true
        };
    }
    const auto at = entries_.find(old->config.id);
    if (at != entries_.end() && at->second == old) entries_.erase(at);
    co_return Ok{};
}

io::Task<Result<>> Registrar::register_patiently(EntryPtr entry, Instant deadline) {
    for (int tries = 0;; ++tries) {
        auto done = co_await write(entry, deadline);
        if (done) done = co_await read_back(entry, deadline);
        if (entry->is_leaving) {
            co_return Error{
                .code = Code::aborted,
                .what = fmt::format("{}: withdrawn before it was announced", entry->config.id)
            };
        }
        if (done || !may_pass(done.error())) co_return done;
        const Instant again = parts_.loop.now() + backoff(tries, parts_.loop.rng());
        if (again >= deadline) {
            Error error = std::move(done).error();
            error.what =
                fmt::format("register {}: {} ({} tries)", entry->config.id, error.what, tries + 1);
            co_return error;
        }
        co_await entry->changed.wait(again);
    }
}

io::Task<Result<>> Registrar::write(EntryPtr entry, Instant deadline) {
    ServiceConfig config = entry->config;
    auto done = co_await parts_.backend.register_service(std::move(config), deadline);
    if (!done || !entry->is_ttl()) co_return done;
    // Such a check starts critical; nobody should have to wait for the first beat.
    std::string id = entry->config.id;
    std::string note = entry->note;
    auto beat =
        co_await parts_.backend.heartbeat(std::move(id), entry->health, std::move(note), deadline);
    co_return beat;
}

io::Task<Result<>> Registrar::read_back(EntryPtr entry, Instant deadline) {
    std::string id = entry->config.id;
    auto has = co_await parts_.backend.has_service(std::move(id), deadline);
    if (!has) co_return std::move(has).error();
    if (!*has) {
        co_return Error{
            .code = Code::unavailable,
            .what =
                fmt::format("{}: the registry accepted it but does not have it", entry->config.id),
            .source = Source::registry,
            .retryable = true
        };
    }
    co_return Ok{};
}

io::Task<void> Registrar::keep(EntryPtr entry) {
    while (!entry->is_leaving) {
        const Instant next = std::min(entry->next_heartbeat, entry->next_read_back);
        auto is_changed = co_await entry->changed.wait(next);
        if (entry->is_leaving) break;
        if (is_changed) {
            entry->changed.clear();
            if (entry->is_ttl()) entry->next_heartbeat = parts_.loop.now();
        }
        co_await renew(entry);
    }
    entry->ended.set();
}

io::Task<void> Registrar::renew(EntryPtr entry) {
    const Instant deadline = parts_.loop.now() + parts_.timeout;
    Result<> done = Ok{};
    if (parts_.loop.now() >= entry->next_heartbeat) {
        std::string id = entry->config.id;
        std::string note = entry->note;
        done = co_await parts_.backend.heartbeat(
            std::move(id), entry->health, std::move(note), deadline
        );
        entry->is_lost = !done && done.error().code == Code::not_found;
    }
    if (!entry->is_lost && parts_.loop.now() >= entry->next_read_back) {
        std::string id = entry->config.id;
        auto has = co_await parts_.backend.has_service(std::move(id), deadline);
        entry->is_lost = has && !*has;
        if (!has) done = std::move(has).error();
    }
    if (entry->is_lost && !entry->is_leaving) {
        done = co_await write(entry, deadline);
        count("register_again", done);
        if (done) {
            entry->is_lost = false;
            parts_.log.warn(
                "the registry had lost a registration, made again", {{"id", entry->config.id}}
            );
        }
    }
    const Instant now = parts_.loop.now();
    const Duration beat = entry->config.check.ttl / 3;
    if (entry->is_ttl() && now >= entry->next_heartbeat) {
        entry->next_heartbeat = now + (done ? beat : std::min(beat, kRetryInterval));
    }
    if (!done) {
        entry->next_read_back = now + jittered(kRetryInterval);
    } else if (now >= entry->next_read_back) {
        entry->next_read_back = now + jittered(kReadBackInterval);
    }
    // Once per outage, not once per try.
    if (!done && !entry->is_failing) {
        parts_.log.warn(
            "cannot renew a registration", {{"id", entry->config.id}, {"error", done.error().what}}
        );
    }
    entry->is_failing = !done;
}

io::Task<Result<>> Registrar::withdraw(Ticket ticket, Instant deadline) {
    const EntryPtr entry = find(ticket);
    if (entry == nullptr) co_return Ok{};
    entry->leave();
    // A request of the keeper that is under way must not arrive after ours.
    co_await entry->ended.wait(deadline);
    std::string id = entry->config.id;
    auto done = co_await remove(id, deadline);
    count("deregister", done);
    // Somebody may have registered the id anew meanwhile.
    if (done && find(ticket) != nullptr) drop(entry);
    co_return done;
}

io::Task<Result<>> Registrar::withdraw_id(std::string id, Instant deadline) {
    const auto at = entries_.find(id);
    if (at != entries_.end()) {
        const Ticket ticket = at->second->ticket;
        auto done = co_await withdraw(ticket, deadline);
        co_return done;
    }
    auto done = co_await parts_.backend.deregister_service(std::move(id), deadline);
    count("deregister", done);
    co_return done;
}

io::Task<Result<>> Registrar::remove(std::string id, Instant deadline) {
    for (int tries = 0;; ++tries) {
        std::string asked = id;
        auto done = co_await parts_.backend.deregister_service(std::move(asked), deadline);
        if (!done && done.error().code == Code::not_found) done = Ok{};
        if (done || !may_pass(done.error()) || tries + 1 >= kWithdrawTries) co_return done;
        const Instant again = parts_.loop.now() + backoff(tries, parts_.loop.rng());
        if (again >= deadline) co_return done;
        co_await io::sleep_until(parts_.loop, again);
    }
}

io::Task<void> Registrar::withdraw_quietly(Ticket ticket, Instant deadline) {
    auto done = co_await withdraw(ticket, deadline);
    if (!done) {
        parts_.log.warn("cannot deregister a service", {{"error", done.error().what}});
    }
}

io::Task<void> Registrar::withdraw_all(Instant deadline) {
    io::TaskGroup all;
    std::vector<Ticket> tickets;
    for (const auto& [id, entry] : entries_) tickets.push_back(entry->ticket);
    for (const Ticket ticket : tickets) all.spawn(withdraw_quietly(ticket, deadline));
    while (!all.empty() && parts_.loop.now() < deadline) {
        co_await io::sleep_for(parts_.loop, milliseconds(1));
    }
}

Result<> Registrar::set_health(Ticket ticket, Health health, std::string note) {
    const EntryPtr entry = find(ticket);
    if (entry == nullptr || entry->is_leaving) {
        return Error{.code = Code::not_found, .what = "this registration is over"};
    }
    if (!entry->is_ttl()) {
        return Error{
            .code = Code::invalid,
            .what = fmt::format(
                "{}: its health is found out by its check; only one of kind ttl is told",
                entry->config.id
            )
        };
    }
    entry->health = health;
    entry->note = std::move(note);
    entry->changed.set();
    return Ok{};
}

void Registrar::forget(Ticket ticket) {
    const EntryPtr entry = find(ticket);
    if (entry == nullptr) return;
    entry->leave();
    entries_.erase(entry->config.id);
    show_size();
}

Registrar::EntryPtr Registrar::find(Ticket ticket) const {
    for (const auto& [id, entry] : entries_) {
        if (entry->ticket == ticket) return entry;
    }
    return nullptr;
}

void Registrar::drop(const EntryPtr& entry) {
    const auto at = entries_.find(entry->config.id);
    if (at == entries_.end() || at->second != entry) return;
    const EntryPtr kept = entry;  // `entry` may be the map's own
    entries_.erase(at);
    show_size();
    if (parts_.on_withdrawn) parts_.on_withdrawn(kept->config);
}

void Registrar::count(std::string_view operation, const Result<>& result) {
    parts_.metrics
        .counter(metrics::names::kRegistrations, {operation, result ? "success" : "failure"})
        .add();
}

void Registrar::show_size() {
    active_.set(static_cast<double>(entries_.size()));
}

Duration Registrar::jittered(Duration time) {
    const double factor = 0.8 + 0.4 * parts_.loop.rng().unit();
    return std::chrono::duration_cast<Duration>(
        std::chrono::duration<double, std::nano>(static_cast<double>(time.count()) * factor)
    );
}

}  // namespace datapunk::mesh::internal
