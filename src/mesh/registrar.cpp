#include "mesh/registrar.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "mesh/registration_entry.h"
#include "metrics/names.h"

namespace datapunk::mesh::internal {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Between tries while somebody waits; full jitter.
constexpr Duration kBackoffFirst = milliseconds(50);
constexpr Duration kBackoffMax = seconds(1);
// Withdrawing is tried so often while somebody waits; what stays behind then is owed.
constexpr int kWithdrawTries = 3;
// A drain may use all but one part in so many of the time that there is.
constexpr int kDrainShare = 5;

bool may_pass(const Error& error) {
    return error.retryable || error.code == Code::unavailable || error.code == Code::timeout;
}

constexpr std::size_t kMetaPairsMax = 64;  // of one registration: checked()

// The registry has said no: it has done nothing.
bool is_refusal(const Error& error) {
    return error.code == Code::invalid || error.code == Code::denied;
}

Duration backoff(int tries, core::Rng& rng) {
    const Duration most =
        std::min(kBackoffMax, kBackoffFirst * (Duration::rep{1} << std::min(tries, 10)));
    return Duration(
        static_cast<Duration::rep>(rng.below(static_cast<std::uint64_t>(most.count()) + 1))
    );
}

Error busy(const std::string& id) {
    return {
        .code = Code::timeout,
        .what = fmt::format("{}: an earlier operation on it is still under way", id),
        .retryable = true
    };
}

}  // namespace

// An announcement between its first and its last step. When it is left without having been
// finished, its task was destroyed, and what it may have written is owed.
class Registrar::UnderWay {
  public:
    UnderWay(Registrar& registrar, EntryPtr entry)
        : registrar_(registrar), entry_(std::move(entry)) {
        registrar_.under_way_[entry_->config.id] = entry_;
    }

    UnderWay(const UnderWay&) = delete;
    UnderWay& operator=(const UnderWay&) = delete;

    ~UnderWay() {
        registrar_.under_way_.erase(entry_->config.id);
        const EntryPtr old = std::exchange(entry_->replaces, nullptr);
        if (is_over_ || !entry_->may_be_there) return;
        if (old == nullptr) {
            registrar_.owe(entry_);
        } else {
            old->is_lost = true;  // its keeper makes it again
            old->changed.set();
        }
    }

    void over() { is_over_ = true; }

  private:
    Registrar& registrar_;
    EntryPtr entry_;
    bool is_over_ = false;
};

Registrar::Registrar(RegistrarParts parts)
    : parts_(std::move(parts)),
      turns_(parts_.loop),
      owes_(parts_.loop),
      active_(parts_.metrics.gauge(metrics::names::kRegistrationsActive, {})) {
    if (parts_.network != nullptr) {
        checker_ = std::make_unique<registry::SelfChecker>(
            *parts_.network,
            [this](const std::string& id, Health health, std::string note) {
                on_checked(id, health, std::move(note));
            },
            parts_.processes
        );
    }
    if (parts_.network != nullptr) {
        ready_checker_ = std::make_unique<registry::SelfChecker>(
            *parts_.network,
            [this](const std::string& id, Health health, std::string note) {
                const auto at = getting_ready_.find(id);
                if (at == getting_ready_.end()) return;
                at->second->is_ready = health != Health::critical;
                at->second->note = std::move(note);
                at->second->changed.set();
            },
            parts_.processes
        );
    }
    keepers_.spawn(pay_debts());
    if (!parts_.who.owner.empty()) keepers_.spawn(reap());
}

// --- announcing

io::Task<Result<Registrar::Ticket>> Registrar::announce(ServiceConfig config, Instant deadline) {
    std::string id = config.id;
    interrupt(id);
    if (const EntryPtr leaving = kept(id)) leaving->rushed.set();
    const auto entry =
        std::make_shared<RegistrationEntry>(std::move(config), next_ticket_++, parts_.loop);
    entry->deadline = deadline;
    // Before its turn: what is announced under the id must be renewed meanwhile.
    auto ready = co_await await_ready(entry);
    if (!ready) {
        count("register", ready);
        Error error = std::move(ready).error();
        error.what = fmt::format("register {} failed at ready: {}", id, error.what);
        co_return error;
    }
    auto turn = co_await turns_.take(id, entry->deadline);
    if (!turn) co_return busy(id);
    entry->replaces = kept(id);
    UnderWay under_way(*this, entry);
    std::vector<SagaStep> steps = steps_of(entry);
    std::string what = fmt::format("register {}", id);
    auto done = co_await run_saga(std::move(what), std::move(steps));
    count("register", done);
    if (!done) {
        // What could not be taken back is owed; may_be_there says whether there is anything.
        co_return std::move(done).error();
    }
    under_way.over();
    owed_.erase(id);
    keep_from_now_on(entry);
    co_return entry->ticket;
}

std::vector<SagaStep> Registrar::steps_of(const EntryPtr& entry) {
    return {
        {.name = "validate", .run = [this, entry] { return validate(entry); }},
        {.name = "registry",
         .run =
             [this, entry] {
                 return patiently(entry, entry->deadline, [this, entry] {
                     return write_and_read_back(entry, entry->deadline);
                 });
             },
         .undo = [this, entry] { return unwrite(entry); }},
        {.name = "health check",
         .run =
             [this, entry] {
                 return patiently(entry, entry->deadline, [this, entry] {
                     return report_health(entry, entry->deadline);
                 });
             }},
        {.name = "balancer", .run = [this, entry] { return tell_balancer(entry, entry->deadline); }
        },  // see unwrite
        {.name = "metrics",
         .run = [this, entry] { return show(entry); },
         .undo = [this, entry] { return hide(entry); }},
    };
}

io::Task<Result<>> Registrar::validate(EntryPtr entry) {
    ServiceConfig config = entry->config;
    const bool is_new = entry->replaces == nullptr && !owed_.contains(config.id);
    if (is_new && kept_.size() + owed_.size() >= kRegistrationsMax) {
        co_return Error{
            .code = Code::exhausted,
            .what = fmt::format("{} registrations already", kRegistrationsMax)
        };
    }
    const Metadata marks = parts_.who.marks();
    // One that has no room for them goes without: nobody will then take it for an orphan.
    const bool has_room = config.meta.size() + marks.size() <= kMetaPairsMax;
    for (const auto& [key, value] : marks) {
        config.meta.erase(key);
        if (has_room) config.meta.emplace(key, value);
    }
    auto good = checked(std::move(config));
    if (!good) co_return std::move(good).error();
    entry->config = *std::move(good);
    co_return prepare_check(*entry);
}

Result<> Registrar::prepare_check(RegistrationEntry& entry) const {
    entry.runs_here = registry::runs_here(entry.config.check, parts_.backend.capabilities());
    if (!entry.runs_here) return Ok{};
    if (checker_ == nullptr) {
        return Error{.code = Code::invalid, .what = "its check is not one that the registry runs"};
    }
    entry.health = entry.config.check.initial;
    return checker_->accepts(entry.config);
}

void Registrar::on_checked(const std::string& id, Health health, std::string note) {
    const EntryPtr entry = kept(id);
    if (entry == nullptr || !entry->runs_here || entry->is_leaving) return;
    const bool flips = entry->health != health;
    entry->health = health;
    entry->note = std::move(note);
    if (!flips) return;  // the next heartbeat tells what it said
    entry->next_heartbeat = parts_.loop.now();
    entry->changed.set();
}

// Until it works, cannot work, or the deadline comes.
io::Task<Result<>> Registrar::patiently(EntryPtr entry, Instant deadline, Try attempt) {
    for (int tries = 0;; ++tries) {
        auto done = co_await attempt();
        if (entry->is_leaving) {
            co_return Error{.code = Code::aborted, .what = "withdrawn before it was announced"};
        }
        if (done || !may_pass(done.error())) co_return done;
        const Duration pause =
            std::max(backoff(tries, parts_.loop.rng()), done.error().retry_after);
        const Instant again = parts_.loop.now() + pause;
        if (again >= deadline) {
            Error error = std::move(done).error();
            error.what += fmt::format(" ({} tries)", tries + 1);
            co_return error;
        }
        co_await entry->changed.wait(again);
    }
}

io::Task<Result<>> Registrar::write_and_read_back(EntryPtr entry, Instant deadline) {
    auto done = co_await write(entry, deadline);
    if (!done) co_return done;
    auto back = co_await read_back(entry, deadline);
    co_return back;
}

io::Task<Result<>> Registrar::write(EntryPtr entry, Instant deadline) {
    ServiceConfig config = registry::as_announced(entry->config, parts_.backend.capabilities());
    const bool may_have_been_there = std::exchange(entry->may_be_there, true);
    auto done = co_await parts_.backend.register_service(std::move(config), deadline);
    if (!done && is_refusal(done.error())) entry->may_be_there = may_have_been_there;
    co_return done;
}

io::Task<Result<>> Registrar::read_back(EntryPtr entry, Instant deadline) {
    std::string id = entry->config.id;
    auto has = co_await parts_.backend.has_service(std::move(id), deadline);
    if (!has) co_return std::move(has).error();
    if (!*has) {
        co_return Error{
            .code = Code::unavailable,
            .what = "the registry accepted it but does not have it",
            .source = Source::registry,
            .retryable = true
        };
    }
    co_return Ok{};
}

io::Task<Result<>> Registrar::unwrite(EntryPtr entry) {
    if (!entry->may_be_there) co_return Ok{};
    const Instant deadline = parts_.loop.now() + parts_.timeout;
    const EntryPtr old = entry->replaces;
    Result<> done = Ok{};
    if (old != nullptr) {
        old->is_lost = true;  // its keeper goes on trying
        done = co_await rewrite(old, deadline);
    } else {
        std::string id = entry->config.id;
        done = co_await remove(std::move(id), deadline);
    }
    if (!done) co_return done;
    entry->may_be_there = false;
    co_await untell_balancer(entry);
    co_return done;
}

io::Task<Result<>> Registrar::report_health(EntryPtr entry, Instant deadline) {
    // A ttl check starts critical; nobody should have to wait for the first beat.
    if (!entry->is_ttl()) co_return Ok{};
    std::string id = entry->config.id;
    std::string note = entry->note;
    auto beat =
        co_await parts_.backend.heartbeat(std::move(id), entry->health, std::move(note), deadline);
    co_return beat;
}

io::Task<Result<>> Registrar::tell_balancer(EntryPtr entry, Instant deadline) {
    entry->is_told = true;
    if (!parts_.on_announced) co_return Ok{};
    ServiceConfig config = entry->config;
    auto told = co_await parts_.on_announced(std::move(config), deadline);
    co_return told;
}

// After the registry, not before: whoever waits to see it gone would wait in vain.
io::Task<void> Registrar::untell_balancer(EntryPtr entry) {
    const bool was_told = std::exchange(entry->is_told, false);
    if (!was_told) co_return;
    const EntryPtr old = entry->replaces;
    const bool is_gone = old == nullptr || old->config.name != entry->config.name;
    if (is_gone && parts_.on_withdrawn) {
        ServiceConfig config = entry->config;
        co_await parts_.on_withdrawn(std::move(config));
    }
    if (old != nullptr && parts_.on_announced) {
        ServiceConfig config = old->config;
        const Instant deadline = parts_.loop.now() + parts_.timeout;
        auto told = co_await parts_.on_announced(std::move(config), deadline);
        static_cast<void>(told);  // discovery hears of it in any case
    }
}

io::Task<Result<>> Registrar::show(EntryPtr entry) {
    if (entry->is_leaving) {
        co_return Error{.code = Code::aborted, .what = "withdrawn before it was announced"};
    }
    entry->is_shown = true;
    show_size();
    co_return Ok{};
}

io::Task<Result<>> Registrar::hide(EntryPtr entry) {
    entry->is_shown = false;
    show_size();
    co_return Ok{};
}

// --- withdrawing

io::Task<Result<>> Registrar::withdraw(Ticket ticket, Instant deadline) {
    const EntryPtr entry = find(ticket);
    if (entry == nullptr) co_return Ok{};
    entry->leave();
    std::string id = entry->config.id;
    interrupt(id);
    auto turn = co_await turns_.take(id, deadline);
    if (!turn) co_return busy(id);
    // Replaced or withdrawn while we waited: then it is not ours any more.
    if (find(ticket) == nullptr) co_return Ok{};
    auto done = co_await withdraw_kept(entry, deadline);
    co_return done;
}

io::Task<Result<>> Registrar::withdraw_id(std::string id, Instant deadline) {
    interrupt(id);
    auto turn = co_await turns_.take(id, deadline);
    if (!turn) co_return busy(id);
    if (const EntryPtr entry = kept(id)) {
        entry->leave();
        auto done = co_await withdraw_kept(entry, deadline);
        co_return done;
    }
    std::string asked = id;
    auto done = co_await parts_.backend.deregister_service(std::move(asked), deadline);
    count("deregister", done);
    if (done || done.error().code == Code::not_found) owed_.erase(id);
    co_return done;
}

io::Task<Result<>> Registrar::withdraw_kept(EntryPtr entry, Instant deadline) {
    std::string id = entry->config.id;
    auto taken = co_await is_taken(id, deadline);
    const bool is_others = taken ? *taken : entry->is_displaced;
    if (is_others) note_displaced(entry, true);
    Result<> done = Ok{};
    if (!is_others) {
        co_await drain(entry, deadline);
        done = co_await remove(std::move(id), deadline);
    }
    count("deregister", done);
    if (done) co_await drop(entry);
    co_return done;
}

io::Task<Result<bool>> Registrar::is_taken(std::string id, Instant deadline) {
    if (parts_.who.owner.empty()) co_return false;
    auto found = co_await parts_.backend.metadata_of(std::move(id), deadline);
    if (!found) co_return std::move(found).error();
    co_return found->has_value() && parts_.who.is_another(**found);
}

// Callers hear that it leaves, while it still answers them.
io::Task<void> Registrar::drain(EntryPtr entry, Instant deadline) {
    io::Loop& loop = parts_.loop;
    const Instant begun = loop.now();
    if (parts_.drain_delay <= Duration::zero() || deadline <= begun) co_return;
    if (turns_.length(entry->config.id) > 1) co_return;  // somebody wants the id
    entry->rushed.clear();
    std::string id = entry->config.id;
    ServiceConfig config = registry::as_leaving(entry->config);
    auto told = co_await parts_.backend.register_service(std::move(config), deadline);
    // Consul keeps the status of a check that it had.
    if (told) {
        std::string note = "it is about to leave";
        auto beaten = co_await parts_.backend.heartbeat(
            std::move(id), Health::critical, std::move(note), deadline
        );
        told = std::move(beaten);
    }
    if (!told) {
        // Nobody has heard of it: then there is nothing to wait for.
        parts_.log.info(
            "deregistering without a drain",
            {{"id", entry->config.id}, {"error", told.error().what}}
        );
        co_return;
    }
    // Some of the time is for the deregistration itself.
    const Instant latest = begun + (deadline - begun) / kDrainShare * (kDrainShare - 1);
    co_await entry->rushed.wait(std::min(loop.now() + parts_.drain_delay, latest));
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

io::Task<void> Registrar::withdraw_quietly(std::string id, Instant deadline) {
    auto done = co_await withdraw_id(std::move(id), deadline);
    if (!done && done.error().code != Code::not_found) {
        parts_.log.warn("cannot deregister a service", {{"error", done.error().what}});
    }
}

io::Task<void> Registrar::withdraw_all(Instant deadline) {
    io::TaskGroup all;
    std::vector<std::string> ids;
    for (const auto& [key, entry] : getting_ready_) entry->leave();
    for (const auto& [id, entry] : kept_) ids.push_back(id);
    for (const auto& [id, entry] : under_way_) {
        if (!kept_.contains(id)) ids.push_back(id);
    }
    for (const auto& [id, entry] : owed_) ids.push_back(id);
    for (const std::string& id : ids) all.spawn(withdraw_quietly(id, deadline));
    while (!all.empty() && parts_.loop.now() < deadline) {
        co_await io::sleep_for(parts_.loop, milliseconds(1));
    }
}

// --- the rest

Result<> Registrar::set_health(Ticket ticket, Health health, std::string note) {
    const EntryPtr entry = find(ticket);
    if (entry == nullptr || entry->is_leaving) {
        return Error{.code = Code::not_found, .what = "this registration is over"};
    }
    if (entry->is_displaced) {
        return Error{
            .code = Code::conflict,
            .what = fmt::format("{}: another process has registered this id", entry->config.id)
        };
    }
    if (!entry->is_ttl() || entry->runs_here) {
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
    entry->next_heartbeat = parts_.loop.now();
    entry->changed.set();
    return Ok{};
}

io::Task<Result<>> Registrar::report(
    Ticket ticket, Health health, std::string note, Instant deadline
) {
    auto noted = set_health(ticket, health, std::move(note));
    const EntryPtr entry = find(ticket);
    if (!noted || entry == nullptr) co_return noted;
    entry->changed.clear();  // not the keeper, but we
    std::string id = entry->config.id;
    auto turn = co_await turns_.take(std::move(id), deadline);
    if (entry->is_leaving || find(ticket) == nullptr) co_return Ok{};
    Result<> told = Ok{};
    if (turn) told = co_await report_health(entry, deadline);
    if (turn && told) {
        entry->next_heartbeat = parts_.loop.now() + entry->config.check.ttl / 3;
    } else {
        entry->changed.set();
    }
    co_return Ok{};
}

bool Registrar::is_busy_with(const std::string& id) const {
    return kept_.contains(id) || turns_.length(id) > 0;
}

const ServiceConfig* Registrar::config_of(Ticket ticket) const {
    const EntryPtr entry = find(ticket);
    return entry == nullptr ? nullptr : &entry->config;
}

void Registrar::forget(Ticket ticket) {
    const EntryPtr entry = find(ticket);
    if (entry == nullptr) return;
    entry->leave();
    by_ticket_.erase(ticket);
    kept_.erase(entry->config.id);
    if (checker_ != nullptr) checker_->stop(entry->config.id);
    show_size();
}

Registrar::EntryPtr Registrar::kept(const std::string& id) const {
    const auto at = kept_.find(id);
    return at == kept_.end() ? nullptr : at->second;
}

Registrar::EntryPtr Registrar::find(Ticket ticket) const {
    const auto at = by_ticket_.find(ticket);
    return at == by_ticket_.end() ? nullptr : at->second;
}

void Registrar::interrupt(const std::string& id) {
    const auto at = under_way_.find(id);
    if (at != under_way_.end()) at->second->leave();
    for (const auto& [key, entry] : getting_ready_) {
        if (entry->config.id == id) entry->leave();
    }
}

io::Task<void> Registrar::drop(EntryPtr entry) {
    const auto at = kept_.find(entry->config.id);
    if (at == kept_.end() || at->second != entry) co_return;
    if (checker_ != nullptr) checker_->stop(entry->config.id);
    by_ticket_.erase(entry->ticket);
    kept_.erase(at);
    owed_.erase(entry->config.id);
    show_size();
    if (!parts_.on_withdrawn) co_return;
    ServiceConfig config = entry->config;
    co_await parts_.on_withdrawn(std::move(config));
}

void Registrar::count(std::string_view operation, const Result<>& result) {
    parts_.metrics
        .counter(metrics::names::kRegistrations, {operation, result ? "success" : "failure"})
        .add();
}

void Registrar::show_size() {
    std::size_t shown = kept_.size();
    for (const auto& [id, entry] : under_way_) {
        if (entry->is_shown && !kept_.contains(id)) ++shown;
    }
    active_.set(static_cast<double>(shown));
}

Duration Registrar::jittered(Duration time) {
    const double factor = 0.8 + 0.4 * parts_.loop.rng().unit();
    return std::chrono::duration_cast<Duration>(
        std::chrono::duration<double, std::nano>(static_cast<double>(time.count()) * factor)
    );
}

}  // namespace datapunk::mesh::internal
