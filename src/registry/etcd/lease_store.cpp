#include "registry/etcd/lease_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "registry/etcd/messages.h"

namespace datapunk::mesh::registry::etcd {

namespace {

constexpr int kTriesMax = 8;  // of a swap that others keep winning
constexpr Duration kRetryMax = std::chrono::seconds(2);

Error problem_of(std::string_view id, std::string_view why, Code code) {
    return store_problem("etcd", id, why, code);
}

}  // namespace

LeaseStore::LeaseStore(EtcdClient& client, std::function<void()> on_lost)
    : client_(client),
      on_lost_(std::move(on_lost)),
      granted_(client.loop()),
      changed_(client.loop()) {}

io::Task<Result<LeaseStore::Found>> LeaseStore::find(std::string id, Instant deadline) {
    const std::string body = range_body({.key = claim_key(client_.config().prefix, id)});
    auto answer = co_await client_.ask("/v3/kv/range", body, deadline);
    if (!answer) co_return std::move(answer).error();
    auto range = parse_range(*answer);
    if (!range) co_return std::move(range).error();
    Found found;
    if (range->kvs.empty()) co_return found;
    found.mod_revision = range->kvs[0].mod_revision;
    found.claim = parse_claim(range->kvs[0].value);
    if (!found.claim) found.claim.emplace();  // somebody's, whoever wrote that
    co_return found;
}

io::Task<Result<std::string>> LeaseStore::lease(Instant deadline) {
    while (lease_.empty() && is_granting_) {
        const bool ended = co_await granted_.wait(deadline);
        if (!ended) co_return problem_of("lease", "not granted in time", Code::timeout);
    }
    if (!lease_.empty()) co_return lease_;

    struct Granting {
        explicit Granting(LeaseStore& of) : all(of) { all.is_granting_ = true; }

        Granting(const Granting&) = delete;
        Granting& operator=(const Granting&) = delete;

        ~Granting() {
            all.is_granting_ = false;
            all.granted_.set();
            all.granted_.clear();
        }

        LeaseStore& all;
    } const granting(*this);

    using std::chrono::seconds;
    const auto ttl = std::chrono::duration_cast<seconds>(client_.config().lease_ttl).count();
    const std::string body = grant_body(static_cast<std::uint64_t>(ttl));
    auto answer = co_await client_.ask("/v3/lease/grant", body, deadline);
    if (!answer) co_return std::move(answer).error();
    auto granted = parse_grant(*answer);
    if (!granted) co_return std::move(granted).error();
    lease_ = granted->id;
    failing_.reset();
    renew_at_ = client_.loop().now() + client_.config().lease_ttl / 3;
    changed_.set();
    if (!is_keeping_) {
        is_keeping_ = true;
        tasks_.spawn(keep());
    }
    co_return lease_;
}

io::Task<Result<std::uint64_t>> LeaseStore::write(
    InstanceRecord record, bool takes_over, Instant deadline
) {
    const std::string& prefix = client_.config().prefix;
    const std::string id = record.endpoint.id;
    const std::string service = record.endpoint.service;
    for (int tries = 0; tries < kTriesMax; ++tries) {
        auto lease_id = co_await lease(deadline);
        if (!lease_id) co_return std::move(lease_id).error();
        auto found = co_await find(id, deadline);
        if (!found) co_return std::move(found).error();
        const std::optional<Claim>& claim = found->claim;
        const Contention place = contention(claim, record);
        if (place.is_others && !takes_over) co_return problem_of(id, kTaken, Code::conflict);
        record.generation = place.generation;
        const Claim ours{service, record.owner, record.generation};
        Swap swap{.key = claim_key(prefix, id), .mod_revision = found->mod_revision};
        swap.puts.push_back({swap.key, to_json(ours), *lease_id});
        swap.puts.push_back({instance_key(prefix, service, id), to_json(record), *lease_id});
        if (claim && !claim->service.empty() && claim->service != service) {
            swap.deletes.push_back(instance_key(prefix, claim->service, id));
        }
        const std::string body = swap_body(swap);
        auto answer = co_await client_.ask("/v3/kv/txn", body, deadline);
        if (!answer && answer.error().code == Code::not_found) {  // the lease, that is
            if (lease_ == *lease_id) lose_lease();
            continue;
        }
        if (!answer) co_return std::move(answer).error();
        auto swapped = parse_swap(*answer);
        if (!swapped) co_return std::move(swapped).error();
        if (swapped->succeeded) co_return record.generation;
    }
    co_return problem_of(id, "others keep changing it", Code::unavailable);
}

io::Task<Result<>> LeaseStore::erase(std::string id, std::string owner, Instant deadline) {
    const std::string& prefix = client_.config().prefix;
    for (int tries = 0; tries < kTriesMax; ++tries) {
        auto found = co_await find(id, deadline);
        if (!found) co_return std::move(found).error();
        if (const auto why = not_to_erase(found->claim, owner)) {
            co_return problem_of(id, *why, Code::not_found);
        }
        Swap swap{.key = claim_key(prefix, id), .mod_revision = found->mod_revision};
        swap.deletes.push_back(swap.key);
        swap.deletes.push_back(instance_key(prefix, found->claim->service, id));
        const std::string body = swap_body(swap);
        auto answer = co_await client_.ask("/v3/kv/txn", body, deadline);
        if (!answer) co_return std::move(answer).error();
        auto swapped = parse_swap(*answer);
        if (!swapped) co_return std::move(swapped).error();
        if (swapped->succeeded) co_return Ok{};
    }
    co_return problem_of(id, "others keep changing it", Code::unavailable);
}

// Nothing hangs on it any more; if this fails, it runs out by itself.
io::Task<void> LeaseStore::let_go(Instant deadline) {
    if (lease_.empty()) co_return;
    const std::string body = lease_body(lease_);
    lease_.clear();
    renew_at_ = kNever;
    failing_.reset();
    auto done = co_await client_.ask("/v3/lease/revoke", body, deadline);
    if (!done) client_.log().debug("cannot revoke a lease", {{"error", done.error().what}});
}

io::Task<Result<std::optional<Metadata>>> LeaseStore::metadata_of(
    std::string id, Instant deadline
) {
    std::optional<Metadata> metadata;
    auto found = co_await find(id, deadline);
    if (!found) co_return std::move(found).error();
    if (!found->claim) co_return metadata;
    const std::string service = found->claim->service;
    const std::string key = instance_key(client_.config().prefix, service, id);
    const std::string body = range_body({.key = key});
    auto answer = co_await client_.ask("/v3/kv/range", body, deadline);
    if (!answer) co_return std::move(answer).error();
    auto range = parse_range(*answer);
    if (!range) co_return std::move(range).error();
    if (range->kvs.empty()) co_return metadata;
    metadata = metadata_of_record(range->kvs[0].value, service, id);
    co_return metadata;
}

void LeaseStore::lose_lease() {
    client_.log().warn("an etcd lease is over, registering again", {{"lease", lease_}});
    lease_.clear();
    renew_at_ = kNever;
    on_lost_();
}

io::Task<void> LeaseStore::keep() {
    io::Loop& loop = client_.loop();
    for (;;) {
        changed_.clear();
        if (renew_at_ > loop.now()) co_await changed_.wait(renew_at_);
        if (loop.now() >= renew_at_) co_await renew();
    }
}

io::Task<void> LeaseStore::renew() {
    io::Loop& loop = client_.loop();
    const std::string renewed = lease_;
    const double factor = 0.9 + 0.2 * loop.rng().unit();  // many processes, not in step
    const auto third =
        std::chrono::duration_cast<Duration>(client_.config().lease_ttl / 3 * factor);
    renew_at_ = loop.now() + third;
    const Instant deadline = loop.now() + client_.config().request_timeout;
    const std::string body = lease_body(renewed);
    auto answer = co_await client_.ask("/v3/lease/keepalive", body, deadline);
    auto now = answer ? parse_keepalive(*answer) : Result<LeaseAnswer>(answer.error());
    if (lease_ != renewed) co_return;  // let go meanwhile
    if (!now) {
        if (!failing_) {
            client_.log().warn("cannot renew an etcd lease", {{"error", now.error().what}});
        }
        failing_ = now.error();
        renew_at_ = loop.now() + std::min(third / 3, kRetryMax);
        co_return;
    }
    if (failing_) client_.log().info("etcd answers again", {{"lease", renewed}});
    failing_.reset();
    if (now->ttl_s == 0) lose_lease();
}

}  // namespace datapunk::mesh::registry::etcd
