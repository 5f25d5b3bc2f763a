#include "policy/call_limits.h"

#include <algorithm>
#include <mutex>

#include "core/hash.h"

namespace datapunk::mesh::policy {

CallLimits::CallLimits(
    const RateLimitConfig& rate, const CallersConfig& callers, std::uint64_t seed, bool is_shared
)
    : seed_(seed), rate_(rate, is_shared) {
    if (callers.rate.calls == 0 && callers.requests == 0) return;
    shards_ = std::make_unique<std::array<std::unique_ptr<Shard>, kShards>>();
    for (auto& shard : *shards_) shard = std::make_unique<Shard>(callers);
}

std::uint64_t CallLimits::caller_key(CallerKind kind, std::string_view who) const noexcept {
    const std::uint64_t key = core::hash64(who, seed_ + static_cast<std::uint64_t>(kind));
    return key == 0 ? 1 : key;
}

CallLimits::Decision CallLimits::begin(
    std::uint64_t caller, Instant now, Duration patience, CallerPlace& place
) {
    using Refusal = resilience::CallerLimits::Refusal;
    CallerPlace taken;
    Duration wait{};
    if (caller != 0 && shards_ != nullptr) {
        const auto number = static_cast<std::uint32_t>((caller >> 32U) % kShards);
        Shard& shard = *(*shards_)[number];
        const std::lock_guard guard(shard.lock);
        const auto own = shard.limits.begin(caller, now, patience);
        if (own.refusal == Refusal::requests) {
            return {.verdict = Verdict::caller_limit, .in_flight = own.in_flight};
        }
        if (own.refusal == Refusal::rate) {
            return {.verdict = Verdict::caller_rate, .wait = own.wait};
        }
        taken = CallerPlace(*this, number, own.entry);
        ++shard.held;
        wait = own.wait;
    }
    const resilience::RateDecision all = rate_.acquire(now, patience);
    if (!all.is_admitted) return {.verdict = Verdict::rate_limit, .wait = all.wait};
    place = std::move(taken);
    return {.wait = std::max(wait, all.wait)};
}

void CallLimits::release(std::uint32_t shard, std::uint32_t entry) noexcept {
    Shard& its = *(*shards_)[shard];
    const std::lock_guard guard(its.lock);
    its.limits.release(entry);
    --its.held;
}

bool CallLimits::is_idle() const noexcept {
    if (shards_ == nullptr) return true;
    return std::all_of(shards_->begin(), shards_->end(), [](const auto& shard) {
        const std::lock_guard guard(shard->lock);
        return shard->held == 0;
    });
}

std::size_t CallLimits::callers() const noexcept {
    std::size_t sum = 0;
    if (shards_ == nullptr) return sum;
    for (const auto& shard : *shards_) {
        const std::lock_guard guard(shard->lock);
        sum += shard->limits.size();
    }
    return sum;
}

}  // namespace datapunk::mesh::policy
