#include "policy/call_limits.h"

#include <algorithm>
#include <mutex>

#include "core/hash.h"

namespace datapunk::mesh::policy {
namespace {

std::shared_ptr<CallersTable> table_of(const CallersConfig& callers) {
    if (callers.rate.calls == 0 && callers.requests == 0) return nullptr;
    return std::make_shared<CallersTable>(callers);
}

}  // namespace

CallersTable::CallersTable(const CallersConfig& config) {
    for (auto& shard : shards_) shard = std::make_unique<Shard>(config);
}

resilience::CallerLimits::Decision CallersTable::begin(
    std::uint64_t caller, Instant now, Duration patience, CallerPlace& place
) {
    const auto number = static_cast<std::uint32_t>((caller >> 32U) % kShards);
    Shard& shard = *shards_[number];
    const std::lock_guard guard(shard.lock);
    const auto decided = shard.limits.begin(caller, now, patience);
    if (decided.refusal != resilience::CallerLimits::Refusal::none) return decided;
    place = CallerPlace(*this, number, decided.entry);
    ++shard.held;
    return decided;
}

void CallersTable::release(std::uint32_t shard, std::uint32_t entry) noexcept {
    Shard& its = *shards_[shard];
    const std::lock_guard guard(its.lock);
    its.limits.release(entry);
    --its.held;
}

bool CallersTable::is_idle() const noexcept {
    return std::all_of(shards_.begin(), shards_.end(), [](const auto& shard) {
        const std::lock_guard guard(shard->lock);
        return shard->held == 0;
    });
}

std::size_t CallersTable::size() const noexcept {
    std::size_t sum = 0;
    for (const auto& shard : shards_) {
        const std::lock_guard guard(shard->lock);
        sum += shard->limits.size();
    }
    return sum;
}

CallLimits::CallLimits(
    const RateLimitConfig& rate, const CallersConfig& callers, std::uint64_t seed, bool is_shared
)
    : seed_(seed),
      rate_config_(rate),
      callers_config_(callers),
      is_shared_(is_shared),
      rate_(std::make_shared<resilience::RateLimit>(rate, is_shared)),
      callers_(table_of(callers)),
      is_on_(rate_->is_on() || callers_ != nullptr) {}

CallLimits::CallLimits(const LimitsConfig& limits, const CallLimits& before, Instant now)
    : seed_(before.seed_),
      rate_config_(limits.rate),
      callers_config_(limits.callers),
      is_shared_(limits.share_rate),
      rate_(
          rate_config_ == before.rate_config_ && is_shared_ == before.is_shared_
              ? before.rate_
              : std::make_shared<resilience::RateLimit>(
                    limits.rate, limits.share_rate, before.rate_.get(), now
                )
      ),
      callers_(
          callers_config_ == before.callers_config_ ? before.callers_ : table_of(limits.callers)
      ),
      is_on_(rate_->is_on() || callers_ != nullptr) {}

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
    if (caller != 0 && callers_ != nullptr) {
        const auto own = callers_->begin(caller, now, patience, taken);
        if (own.refusal == Refusal::requests) {
            return {.verdict = Verdict::caller_limit, .in_flight = own.in_flight};
        }
        if (own.refusal == Refusal::rate) {
            return {.verdict = Verdict::caller_rate, .wait = own.wait};
        }
        wait = own.wait;
    }
    const resilience::RateDecision all = rate_->acquire(now, patience);
    if (!all.is_admitted) return {.verdict = Verdict::rate_limit, .wait = all.wait};
    place = std::move(taken);
    return {.wait = std::max(wait, all.wait)};
}

}  // namespace datapunk::mesh::policy
