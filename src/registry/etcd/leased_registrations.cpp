#include "registry/etcd/leased_registrations.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "registry/etcd/messages.h"
#include "registry/instance_record.h"

namespace datapunk::mesh::registry::etcd {

namespace {

constexpr int kTriesMax = 8;  // of a swap that others keep winning
constexpr Duration kRetryMax = std::chrono::seconds(2);

Error lost(std::string_view id, std::string_view why, Code code) {
    return {.code = code, .what = fmt::format("etcd: {}: {}", id, why), .source = Source::registry};
}

bool is_lease_gone(const Error& error) {
    return error.code == Code::not_found;
}

}  // namespace

struct LeasedRegistrations::Entry {
    Entry(InstanceRecord the_record, Duration the_ttl, io::Loop& loop)
        : record(std::move(the_record)), ttl(the_ttl), freed(loop) {}

    InstanceRecord record;
    Duration ttl;              // zero: health does not run out
    Instant expires = kNever;  // then it is critical
    bool is_registered = false;
    bool is_leaving = false;   // must go; what is left of it is deleted
    bool is_dirty = false;     // etcd does not have it as it is here
    bool is_replaced = false;  // another process holds the id now
    bool is_busy = false;
    io::Event freed;
};

// While it lives, nobody else writes the entry.
class LeasedRegistrations::Turn {
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

LeasedRegistrations::LeasedRegistrations(EtcdClient& client)
    : client_(client),
      owner_(fmt::format("{}#{:016x}", client.config().node, client.loop().rng()())),
      granted_(client.loop()),
      changed_(client.loop()) {}

io::Task<Result<LeasedRegistrations::Turn>> LeasedRegistrations::take_turn(
    EntryPtr entry, Instant deadline
) {
    while (entry->is_busy) {
        const bool freed = co_await entry->freed.wait(deadline);
        if (!freed) co_return lost(entry->record.endpoint.id, "busy", Code::timeout);
    }
    co_return Turn(entry);
}

io::Task<Result<LeasedRegistrations::Found>> LeasedRegistrations::find(
    std::string id, Instant deadline
) {
    const std::string body = range_body({.key = claim_key(client_.config().prefix, id)});
    auto answer = co_await client_.ask("/v3/kv/range", body, deadline);
    if (!answer) co_return std::move(answer).error();
    auto range = parse_range(*answer);
    if (!range) co_return std::move(range).error();
    Found found;
    if (range->kvs.empty()) co_return found;
    found.mod_revision = range->kvs[0].mod_revision;
    found.claim = parse_claim(range->kvs[0].value);
    if (!found.claim) found.claim.emplace();
    co_return found;
}

io::Task<Result<std::string>> LeasedRegistrations::lease(Instant deadline) {
    while (lease_.empty() && is_granting_) {
        const bool ended = co_await granted_.wait(deadline);
        if (!ended) co_return lost("lease", "not granted in time", Code::timeout);
    }
    if (!lease_.empty()) co_return lease_;

    struct Granting {
        explicit Granting(LeasedRegistrations& of) : all(of) { all.is_granting_ = true; }

        Granting(const Granting&) = delete;
        Granting& operator=(const Granting&) = delete;

        ~Granting() {
            all.is_granting_ = false;
            all.granted_.set();
            all.granted_.clear();
        }

        LeasedRegistrations& all;
    } const granting(*this);

    using std::chrono::seconds;
    const auto ttl = std::chrono::duration_cast<seconds>(client_.config().lease_ttl).count();
    const std::string body = grant_body(static_cast<std::uint64_t>(ttl));
    auto answer = co_await client_.ask("/v3/lease/grant", body, deadline);
    if (!answer) co_return std::move(answer).error();
    auto granted = parse_grant(*answer);
    if (!granted) co_return std::move(granted).error();
    lease_ = granted->id;
    renew_at_ = client_.loop().now() + client_.config().lease_ttl / 3;
    changed_.set();
    co_return lease_;
}

io::Task<Result<>> LeasedRegistrations::write(EntryPtr entry, bool takes_over, Instant deadline) {
    const std::string& prefix = client_.config().prefix;
    const std::string id = entry->record.endpoint.id;
    const std::string service = entry->record.endpoint.service;
    for (int tries = 0; tries < kTriesMax; ++tries) {
        auto lease_id = co_await lease(deadline);
        if (!lease_id) co_return std::move(lease_id).error();
        auto found = co_await find(id, deadline);
        if (!found) co_return std::move(found).error();
        const std::optional<Claim>& claim = found->claim;
        const bool is_others = claim && claim->owner != owner_;
        if (is_others && !takes_over) {
            entry->is_replaced = true;
            co_return lost(id, "another process has registered it", Code::conflict);
        }
        if (is_others) entry->record.generation = claim->generation + 1;
        if (entry->record.generation == 0) entry->record.generation = 1;
        const InstanceRecord written = entry->record;
        const Claim ours{service, owner_, written.generation};
        Swap swap{.key = claim_key(prefix, id), .mod_revision = found->mod_revision};
        swap.puts.push_back({swap.key, to_json(ours), *lease_id});
        swap.puts.push_back({instance_key(prefix, service, id), to_json(written), *lease_id});
        if (claim && !claim->service.empty() && claim->service != service) {
            swap.deletes.push_back(instance_key(prefix, claim->service, id));
        }
        auto answer = co_await client_.ask("/v3/kv/txn", swap_body(swap), deadline);
        if (!answer && is_lease_gone(answer.error())) {
            if (lease_ == *lease_id) lose_lease();
            continue;
        }
        if (!answer) co_return std::move(answer).error();
        auto swapped = parse_swap(*answer);
        if (!swapped) co_return std::move(swapped).error();
        if (!swapped->succeeded) continue;
        entry->is_replaced = false;
        entry->is_dirty = false;
        // It may have changed meanwhile, or the lease may have ended.
        if (entry->record != written || lease_ != *lease_id) mark_dirty(*entry);
        co_return Ok{};
    }
    co_return lost(id, "others keep changing it", Code::unavailable);
}

io::Task<Result<>> LeasedRegistrations::put(ServiceConfig config, Instant deadline) {
    const std::string id = config.id;
    const bool is_ttl = config.check.kind == HealthCheck::Kind::ttl;
    const Duration ttl = is_ttl ? config.check.ttl : Duration::zero();
    InstanceRecord record = fresh_record(config, client_.config().node, owner_);
    EntryPtr& known = entries_[id];
    if (known == nullptr) {
        known = std::make_shared<Entry>(InstanceRecord{}, ttl, client_.loop());
        known->record.endpoint.id = id;
    }
    const EntryPtr entry = known;
    auto turn = co_await take_turn(entry, deadline);
    if (!turn) co_return std::move(turn).error();
    entries_[id] = entry;  // somebody may have removed it while we waited
    record.generation = entry->record.generation;
    entry->record = std::move(record);
    entry->ttl = ttl;
    entry->expires = is_ttl ? client_.loop().now() + ttl : kNever;
    entry->is_leaving = false;
    auto done = co_await write(entry, true, deadline);
    if (!done) {
        // The request may have worked all the same: the caller takes it back.
        if (entry->is_registered) mark_dirty(*entry);
        if (!entry->is_registered) entries_.erase(id);
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

io::Task<Result<>> LeasedRegistrations::erase(std::string id, bool is_ours, Instant deadline) {
    const std::string& prefix = client_.config().prefix;
    for (int tries = 0; tries < kTriesMax; ++tries) {
        auto found = co_await find(id, deadline);
        if (!found) co_return std::move(found).error();
        if (!found->claim) co_return lost(id, "not registered", Code::not_found);
        if (is_ours && found->claim->owner != owner_) {
            co_return lost(id, "another process has registered it", Code::not_found);
        }
        Swap swap{.key = claim_key(prefix, id), .mod_revision = found->mod_revision};
        swap.deletes.push_back(swap.key);
        swap.deletes.push_back(instance_key(prefix, found->claim->service, id));
        auto answer = co_await client_.ask("/v3/kv/txn", swap_body(swap), deadline);
        if (!answer) co_return std::move(answer).error();
        auto swapped = parse_swap(*answer);
        if (!swapped) co_return std::move(swapped).error();
        if (swapped->succeeded) co_return Ok{};
    }
    co_return lost(id, "others keep changing it", Code::unavailable);
}

io::Task<Result<>> LeasedRegistrations::remove(std::string id, Instant deadline) {
    const auto at = entries_.find(id);
    if (at == entries_.end()) {
        auto done = co_await erase(id, false, deadline);
        co_return std::move(done);
    }
    const EntryPtr entry = at->second;
    entry->is_leaving = true;
    auto turn = co_await take_turn(entry, deadline);
    if (!turn) co_return std::move(turn).error();
    auto done = co_await erase(id, true, deadline);
    const bool is_gone = done || done.error().code == Code::not_found;
    if (!is_gone) {
        mark_dirty(*entry);  // the keeper goes on trying: the lease lives
        co_return std::move(done);
    }
    const auto now_at = entries_.find(id);
    if (entry->is_leaving && now_at != entries_.end() && now_at->second == entry) {
        entries_.erase(now_at);
    }
    if (entries_.empty()) co_await revoke(deadline);
    co_return std::move(done);
}

// Nothing hangs on it any more; if this fails, it runs out by itself.
io::Task<void> LeasedRegistrations::revoke(Instant deadline) {
    if (lease_.empty()) co_return;
    const std::string body = lease_body(lease_);
    lease_.clear();
    renew_at_ = kNever;
    auto done = co_await client_.ask("/v3/lease/revoke", body, deadline);
    if (!done) client_.log().debug("cannot revoke a lease", {{"error", done.error().what}});
}

io::Task<Result<bool>> LeasedRegistrations::has(std::string id, Instant deadline) {
    auto found = co_await find(id, deadline);
    if (!found) co_return std::move(found).error();
    if (!found->claim) co_return false;
    const std::string key = instance_key(client_.config().prefix, found->claim->service, id);
    const std::string body = range_body({.key = key, .keys_only = true});
    auto answer = co_await client_.ask("/v3/kv/range", body, deadline);
    if (!answer) co_return std::move(answer).error();
    auto range = parse_range(*answer);
    if (!range) co_return std::move(range).error();
    co_return range->count > 0;
}

io::Task<Result<>> LeasedRegistrations::beat(
    std::string id, Health health, std::string note, Instant deadline
) {
    const auto at = entries_.find(id);
    if (at == entries_.end() || !at->second->is_registered || at->second->is_leaving) {
        co_return lost(id, "not registered by this process", Code::not_found);
    }
    const EntryPtr entry = at->second;
    auto turn = co_await take_turn(entry, deadline);
    if (!turn) co_return std::move(turn).error();
    if (entry->ttl > Duration::zero()) entry->expires = client_.loop().now() + entry->ttl;
    changed_.set();
    const bool is_news = entry->record.endpoint.health != health;
    // A note alone is not worth a write that wakes everybody.
    if (is_news) {
        entry->record.endpoint.health = health;
        entry->record.note = std::move(note);
        mark_dirty(*entry);
    }
    if (!entry->is_dirty) {
        if (failing_) co_return *failing_;
        if (entry->is_replaced) {
            co_return lost(id, "another process has registered it", Code::conflict);
        }
        co_return Ok{};
    }
    auto done = co_await write(entry, false, deadline);
    co_return std::move(done);
}

Instant LeasedRegistrations::next_event() const {
    Instant next = renew_at_;
    for (const auto& [id, entry] : entries_) {
        next = std::min(next, entry->expires);
        if (entry->is_dirty) next = std::min(next, retry_at_);
    }
    return next;
}

void LeasedRegistrations::note_expired() {
    const Instant now = client_.loop().now();
    for (const auto& [id, entry] : entries_) {
        if (entry->expires > now) continue;
        entry->expires = kNever;
        if (entry->record.endpoint.health == Health::critical) continue;
        entry->record.endpoint.health = Health::critical;
        entry->record.note = "no heartbeat came in time";
        mark_dirty(*entry);
    }
}

void LeasedRegistrations::lose_lease() {
    client_.log().warn("an etcd lease is over, registering again", {{"lease", lease_}});
    lease_.clear();
    renew_at_ = kNever;
    for (const auto& [id, entry] : entries_) mark_dirty(*entry);
}

void LeasedRegistrations::mark_dirty(Entry& entry) {
    entry.is_dirty = true;
    retry_at_ = client_.loop().now();
    changed_.set();
}

io::Task<void> LeasedRegistrations::keep() {
    io::Loop& loop = client_.loop();
    for (;;) {
        changed_.clear();
        const Instant next = next_event();
        if (next > loop.now()) co_await changed_.wait(next);
        note_expired();
        if (loop.now() >= renew_at_) co_await renew();
        if (loop.now() < retry_at_) continue;
        const Duration pause(static_cast<Duration::rep>(
            loop.rng().below(static_cast<std::uint64_t>(kRetryMax.count())) + 1
        ));
        retry_at_ = loop.now() + pause;  // for what is not done, or busy
        std::vector<EntryPtr> dirty;
        for (const auto& [id, entry] : entries_) {
            if (entry->is_dirty && entry->is_registered && !entry->is_busy) dirty.push_back(entry);
        }
        for (const EntryPtr& entry : dirty) co_await refresh(entry);
    }
}

io::Task<void> LeasedRegistrations::renew() {
    io::Loop& loop = client_.loop();
    const Duration ttl = client_.config().lease_ttl;
    const std::string renewed = lease_;
    const double factor = 0.9 + 0.2 * loop.rng().unit();  // many processes, not in step
    const auto third = std::chrono::duration_cast<Duration>((ttl / 3) * factor);
    renew_at_ = loop.now() + third;
    const Instant deadline = loop.now() + client_.config().request_timeout;
    const std::string body = lease_body(renewed);
    auto answer = co_await client_.ask("/v3/lease/keepalive", body, deadline);
    Result<LeaseAnswer> lease_now =
        answer ? parse_keepalive(*answer) : Result<LeaseAnswer>(answer.error());
    if (!lease_now) {
        if (!failing_) {
            client_.log().warn("cannot renew an etcd lease", {{"error", lease_now.error().what}});
        }
        failing_ = lease_now.error();
        renew_at_ = loop.now() + std::min(third / 3, kRetryMax);
        co_return;
    }
    if (failing_) client_.log().info("etcd answers again", {{"lease", renewed}});
    failing_.reset();
    if (lease_now->ttl_s == 0 && lease_ == renewed) lose_lease();
}

// Brings etcd up to date with the entry.
io::Task<void> LeasedRegistrations::refresh(EntryPtr entry) {
    const Instant deadline = client_.loop().now() + 2 * client_.config().request_timeout;
    auto turn = co_await take_turn(entry, deadline);
    if (!turn || !entry->is_dirty) co_return;
    const std::string id = entry->record.endpoint.id;
    if (entry->is_leaving) {
        auto gone = co_await erase(id, true, deadline);
        if (!gone && gone.error().code != Code::not_found) co_return;
        const auto at = entries_.find(id);
        const bool is_ours = at != entries_.end() && at->second == entry && entry->is_leaving;
        if (is_ours) entries_.erase(at);
        co_return;
    }
    auto done = co_await write(entry, false, deadline);
    if (done) {
        failing_.reset();
        co_return;
    }
    if (done.error().code == Code::conflict) {
        entry->is_dirty = false;
        client_.log().warn("another process has registered our id", {{"id", id}});
        co_return;
    }
    client_.log().debug("cannot write a registration", {{"error", done.error().what}});
}

}  // namespace datapunk::mesh::registry::etcd
