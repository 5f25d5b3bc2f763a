#include "registry/held_registrations.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace datapunk::mesh::registry {

namespace {

// Between tries of what could not be written; full jitter.
constexpr Duration kRetryMax = std::chrono::seconds(2);

Error problem_of(std::string_view id, std::string_view why, Code code) {
    return {.code = code, .what = fmt::format("{}: {}", id, why), .source = Source::registry};
}

}  // namespace

struct HeldRegistrations::Entry {
    Entry(std::string id, io::Loop& loop) : freed(loop) { record.endpoint.id = std::move(id); }

    InstanceRecord record;
    Duration ttl{};              // zero: health does not run out
    Instant expires = kNever;    // then it is critical
    bool is_registered = false;  // was there once
    bool is_leaving = false;     // must go; what is left of it is erased
    bool is_dirty = false;       // the store does not have it as it is here
    bool is_replaced = false;    // another process holds the id now
    bool is_busy = false;
    io::Event freed;
};

// While it lives, nobody else writes the entry.
class HeldRegistrations::Turn {
  public:
    explicit Turn(EntryPtr entry) : entry_(std::move(entry)) { entry_->is_busy = true; }

    Turn(Turn&&) = default;
    Turn& operator=(Turn&&) = delete;

    ~Turn() {
        if (entry_ == nullptr) return;
        entry_->is_busy = false;
        entry_->freed.set();
        entry_->freed.clear();
    }

  private:
    EntryPtr entry_;
};

HeldRegistrations::HeldRegistrations(
    io::Loop& loop, RecordStore& store, std::string node, Duration retry_timeout, core::Logger log
)
    : loop_(loop),
      store_(store),
      node_(std::move(node)),
      owner_(fmt::format("{}#{:016x}", node_, loop.rng()())),
      retry_timeout_(retry_timeout),
      log_(std::move(log)),
      changed_(loop) {}

io::Task<Result<HeldRegistrations::Turn>> HeldRegistrations::take_turn(
    EntryPtr entry, Instant deadline
) {
    while (entry->is_busy) {
        const bool freed = co_await entry->freed.wait(deadline);
        if (!freed) co_return problem_of(entry->record.endpoint.id, "busy", Code::timeout);
    }
    co_return Turn(entry);
}

void HeldRegistrations::mark_dirty(Entry& entry) {
    entry.is_dirty = true;
    retry_at_ = loop_.now();
    changed_.set();
}

void HeldRegistrations::forget(const EntryPtr& entry) {
    const auto at = entries_.find(entry->record.endpoint.id);
    if (at != entries_.end() && at->second == entry) entries_.erase(at);
}

void HeldRegistrations::lost_all() {
    ++losses_;
    for (const auto& [id, entry] : entries_) mark_dirty(*entry);
}

io::Task<Result<>> HeldRegistrations::write(EntryPtr entry, bool takes_over, Instant deadline) {
    InstanceRecord written = entry->record;
    const std::uint64_t losses = losses_;
    auto done = co_await store_.write(written, takes_over, deadline);
    if (!done) {
        entry->is_replaced = done.error().code == Code::conflict;
        co_return std::move(done).error();
    }
    written.generation = *done;
    entry->record.generation = *done;
    entry->is_replaced = false;
    entry->is_dirty = false;
    // It may have changed meanwhile, or all may have been lost.
    if (entry->record != written || losses_ != losses) mark_dirty(*entry);
    co_return Ok{};
}

io::Task<Result<>> HeldRegistrations::put(ServiceConfig config, Instant deadline) {
    EntryPtr& known = entries_[config.id];
    if (known == nullptr) known = std::make_shared<Entry>(config.id, loop_);
    const EntryPtr entry = known;
    auto turn = co_await take_turn(entry, deadline);
    if (!turn) co_return std::move(turn).error();
    entries_[config.id] = entry;  // somebody may have removed it while we waited
    const bool is_ttl = config.check.kind == HealthCheck::Kind::ttl;
    const std::uint64_t generation = entry->record.generation;
    entry->record = fresh_record(config, node_, owner_);
    entry->record.generation = generation;
    entry->ttl = is_ttl ? config.check.ttl : Duration::zero();
    entry->expires = is_ttl ? loop_.now() + entry->ttl : kNever;
    entry->is_leaving = false;
    auto done = co_await write(entry, true, deadline);
    if (!done) {
        // The request may have worked all the same: the caller takes it back.
        if (entry->is_registered) {
            mark_dirty(*entry);
        } else {
            forget(entry);
        }
        co_return std::move(done);
    }
    entry->is_registered = true;
    if (!is_keeping_) {
        is_keeping_ = true;
        tasks_.spawn(keep());
    }
    changed_.set();
    co_return Ok{};
}

io::Task<Result<>> HeldRegistrations::remove(std::string id, Instant deadline) {
    const auto at = entries_.find(id);
    if (at == entries_.end()) {
        const std::string anybody;
        auto done = co_await store_.erase(id, anybody, deadline);
        co_return std::move(done);
    }
    const EntryPtr entry = at->second;
    entry->is_leaving = true;
    auto turn = co_await take_turn(entry, deadline);
    if (!turn) co_return std::move(turn).error();
    entry->is_leaving = true;  // a put that was before us has thought otherwise
    auto done = co_await store_.erase(id, owner_, deadline);
    const bool is_gone = done || done.error().code == Code::not_found;
    if (!is_gone) {
        mark_dirty(*entry);  // the keeper goes on trying: the lease lives
        co_return std::move(done);
    }
    forget(entry);
    if (entries_.empty()) co_await store_.let_go(deadline);
    co_return std::move(done);
}

io::Task<Result<>> HeldRegistrations::beat(
    std::string id, Health health, std::string note, Instant deadline
) {
    const auto at = entries_.find(id);
    if (at == entries_.end() || !at->second->is_registered || at->second->is_leaving) {
        co_return problem_of(id, "not registered by this process", Code::not_found);
    }
    const EntryPtr entry = at->second;
    auto turn = co_await take_turn(entry, deadline);
    if (!turn) co_return std::move(turn).error();
    if (entry->ttl > Duration::zero()) entry->expires = loop_.now() + entry->ttl;
    changed_.set();
    // A note alone is not worth a write that wakes everybody.
    if (entry->record.endpoint.health != health) {
        entry->record.endpoint.health = health;
        entry->record.note = std::move(note);
        mark_dirty(*entry);
    }
    if (entry->is_dirty) {
        auto done = co_await write(entry, false, deadline);
        co_return std::move(done);
    }
    if (auto failing = store_.failing()) co_return *std::move(failing);
    if (entry->is_replaced) {
        co_return problem_of(id, "another process has registered it", Code::conflict);
    }
    co_return Ok{};
}

Instant HeldRegistrations::next_event() const {
    Instant next = kNever;
    for (const auto& [id, entry] : entries_) {
        next = std::min(next, entry->expires);
        if (entry->is_dirty) next = std::min(next, retry_at_);
    }
    return next;
}

void HeldRegistrations::note_expired() {
    for (const auto& [id, entry] : entries_) {
        if (entry->expires > loop_.now()) continue;
        entry->expires = kNever;
        if (entry->record.endpoint.health == Health::critical) continue;
        entry->record.endpoint.health = Health::critical;
        entry->record.note = "no heartbeat came in time";
        mark_dirty(*entry);
    }
}

io::Task<void> HeldRegistrations::keep() {
    for (;;) {
        changed_.clear();
        const Instant next = next_event();
        if (next > loop_.now()) co_await changed_.wait(next);
        note_expired();
        if (loop_.now() < retry_at_) continue;
        const auto most = static_cast<std::uint64_t>(kRetryMax.count());
        const Duration pause(static_cast<Duration::rep>(loop_.rng().below(most) + 1));
        retry_at_ = loop_.now() + pause;  // for what is not done, or busy
        std::vector<EntryPtr> dirty;
        for (const auto& [id, entry] : entries_) {
            if (entry->is_dirty && entry->is_registered && !entry->is_busy) dirty.push_back(entry);
        }
        for (const EntryPtr& entry : dirty) co_await refresh(entry);
    }
}

// Brings the store up to date with the entry.
io::Task<void> HeldRegistrations::refresh(EntryPtr entry) {
    const Instant deadline = loop_.now() + retry_timeout_;
    auto turn = co_await take_turn(entry, deadline);
    if (!turn || !entry->is_dirty) co_return;
    const std::string id = entry->record.endpoint.id;
    if (entry->is_leaving) {
        auto gone = co_await store_.erase(id, owner_, deadline);
        const bool is_gone = gone || gone.error().code == Code::not_found;
        if (is_gone && entry->is_leaving) forget(entry);
        if (entries_.empty()) co_await store_.let_go(deadline);
        co_return;
    }
    auto done = co_await write(entry, false, deadline);
    if (done) co_return;
    if (entry->is_replaced) {
        entry->is_dirty = false;
        log_.warn("another process has registered our id", {{"id", id}});
        co_return;
    }
    log_.debug("cannot write a registration", {{"id", id}, {"error", done.error().what}});
}

}  // namespace datapunk::mesh::registry
