// FollowedService: what is used when the registry does not say: the shared cache, the disk
// snapshot.

#include <algorithm>
#include <utility>

#include "discovery/followed_service.h"
#include "discovery/shared_cache.h"
#include "discovery/subscriber.h"

namespace datapunk::mesh::discovery {

// At the start: whether the shared cache has a set that is as good as one of our own.
io::Task<bool> FollowedService::consult_shared() {
    const std::uint64_t invalidated = invalidated_;
    auto found = co_await context_.shared->fetch(name_);
    if (latest_ != nullptr) co_return false;
    if (!found) {
        ++context_.stats.shared_misses;
        co_return false;
    }
    const bool is_fresh = context_.config.enable_caching &&
                          found->age < context_.config.cache_ttl && invalidated == invalidated_;
    if (is_fresh) {
        ++context_.stats.shared_hits;
        adopt(*found->set, found->age, Origin::shared_cache, false);
    } else {
        keep_spare(*std::move(found));
    }
    co_return is_fresh;
}

// The registry has failed and we know nothing.
io::Task<void> FollowedService::find_fallback() {
    if (context_.shared != nullptr) {
        auto found = co_await context_.shared->fetch(name_);
        if (!found) ++context_.stats.shared_misses;
        if (found) keep_spare(*std::move(found));
    }
    use_fallback();
}

void FollowedService::keep_spare(AgedSet found) {
    if (found.age < context_.config.snapshot_max_age) spare_ = std::move(found);
}

// Of what there is, what was confirmed last.
void FollowedService::use_fallback() {
    if (has_set()) return;
    const auto on_disk = context_.snapshot.find(name_);
    const bool has_disk = on_disk != context_.snapshot.end();
    const Duration waited = now() - context_.snapshot_read;
    const bool prefers_disk = has_disk && (!spare_ || on_disk->second.age + waited < spare_->age);
    if (prefers_disk && use_snapshot()) return;
    if (spare_) {
        ++context_.stats.shared_hits;
        const AgedSet found = *std::exchange(spare_, std::nullopt);
        adopt(*found.set, found.age, Origin::shared_cache, true);
    } else if (has_disk) {
        use_snapshot();
    }
}

bool FollowedService::use_snapshot() {
    const auto found = context_.snapshot.find(name_);
    if (found == context_.snapshot.end()) return false;
    const Duration age = found->second.age + (now() - context_.snapshot_read);
    const EndpointSetPtr set = found->second.set;
    context_.snapshot.erase(found);
    if (age >= context_.config.snapshot_max_age) return false;
    ++context_.stats.snapshot_hits;
    adopt(*set, age, Origin::snapshot, true);
    return true;
}

void FollowedService::adopt(const EndpointSet& set, Duration age, Origin origin, bool is_stale) {
    auto adopted = std::make_shared<EndpointSet>(set);
    adopted->service = name_;
    adopted->generation = (latest_ == nullptr ? 0 : latest_->generation) + 1;
    adopted->learned_at = now() - age;
    adopted->origin = origin;
    adopted->stale = is_stale;
    latest_ = std::move(adopted);
    memory_ = nullptr;
    cached_view_ = nullptr;
    is_expired_ = false;
    fresh_until_ = is_stale ? Instant::min() : now() - age + jittered(context_.config.cache_ttl);
    fallback_due_.cancel();
    // What this process has learned itself stays for as long as the outage lasts.
    const bool is_borrowed = index_ == 0;
    const Instant until = latest_->learned_at + context_.config.snapshot_max_age;
    if (is_borrowed) context_.loop.timers().arm(too_old_, until);
    for (const auto& subscriber : subscribers_) context_.loop.make_ready(*subscriber);
    ++adopted_;
    round_ended_.set();
    round_ended_.clear();
    if (!is_stale) return;
    context_.log.info(
        "using what was known before",
        {{"service", name_},
         {"origin", to_string(origin)},
         {"endpoints", latest_->endpoints.size()},
         {"age_seconds", std::chrono::duration<double>(age).count()}}
    );
}

// Nobody has confirmed the adopted set for so long that it is worth nothing.
void FollowedService::expire() {
    if (latest_ == nullptr || latest_->origin == Origin::registry) return;
    ++context_.stats.expired;
    context_.log.warn(
        "what was known before is too old",
        {{"service", name_}, {"origin", to_string(latest_->origin)}}
    );
    auto none = std::make_shared<EndpointSet>();
    none->service = name_;
    none->generation = latest_->generation + 1;
    none->learned_at = latest_->learned_at;
    none->origin = latest_->origin;
    none->stale = true;
    latest_ = std::move(none);
    memory_ = nullptr;
    cached_view_ = nullptr;
    is_expired_ = true;
    for (const auto& subscriber : subscribers_) context_.loop.make_ready(*subscriber);
}

// Tells the other processes what the registry has said: when it is another set, and now and then
// that it still holds.
void FollowedService::share() {
    if (context_.shared == nullptr) return;
    const bool is_known = shared_generation_ == latest_->generation &&
                          shared_epoch_ == context_.shared->epoch() &&
                          now() - shared_at_ < context_.config.cache_ttl / 2;
    if (is_known || !context_.shared->is_up()) return;
    shared_generation_ = latest_->generation;
    shared_epoch_ = context_.shared->epoch();
    shared_at_ = now();
    context_.shared->offer(confirmed());
}

// One who is followed hears of it from the registry as well, and not all of us should ask at once.
void FollowedService::on_notice(std::uint64_t hash) {
    if (latest_ == nullptr || content_hash(latest_->endpoints) == hash) return;
    if (error_) {
        ++context_.stats.invalidations;
        learn_from_shared();
    } else if (!(is_running_ && is_followed())) {
        ++context_.stats.invalidations;
        refresh();
    }
}

void FollowedService::learn_from_shared() {
    if (!relearning_.empty()) return;
    relearning_.spawn(relearn());
}

// The registry does not answer us, but it answers somebody: what that one has learned is younger.
io::Task<void> FollowedService::relearn() {
    auto found = co_await context_.shared->fetch(name_);
    if (!found || !error_) co_return;
    const bool is_younger = has_set() ? now() - found->age > learned_at()
                                      : found->age < context_.config.snapshot_max_age;
    if (!is_younger) co_return;
    ++context_.stats.shared_hits;
    adopt(*found->set, found->age, Origin::shared_cache, true);
}

}  // namespace datapunk::mesh::discovery
