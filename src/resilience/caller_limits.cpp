#include "resilience/caller_limits.h"

#include <algorithm>

#include "core/assert.h"

namespace datapunk::mesh::resilience {

namespace {

// Of the callers that were here longest ago, so many are asked whether they can go.
constexpr int kAskedMax = 8;

}  // namespace

CallerLimits::CallerLimits(
    const RateLimitConfig& rate, std::uint32_t requests, std::uint32_t callers
)
    : rate_(rate), requests_(requests), callers_(callers) {
    for (std::uint32_t i = 0; i < kShared; ++i) entries_.emplace_back(rate_);
}

CallerLimits::Decision CallerLimits::begin(std::uint64_t caller, Instant now, Duration patience) {
    const std::uint32_t at = find_or_make(caller, now);
    Entry& entry = entries_[at];
    if (requests_ > 0 && entry.held >= requests_) {
        return {.refusal = Refusal::requests, .in_flight = entry.held};
    }
    const RateDecision rate = entry.rate.acquire(now, patience);
    if (!rate.is_admitted) {
        return {.refusal = Refusal::rate, .wait = rate.wait, .in_flight = entry.held};
    }
    return {.wait = rate.wait, .entry = at, .in_flight = entry.held++};
}

void CallerLimits::release(std::uint32_t entry) noexcept {
    MESH_ASSERT(entry < entries_.size() && entries_[entry].held > 0);
    --entries_[entry].held;
}

std::uint32_t CallerLimits::find_or_make(std::uint64_t caller, Instant now) {
    if (const auto found = by_key_.find(caller); found != by_key_.end()) {
        const std::uint32_t at = found->second;
        if (at != newest_) {
            unlink(at);
            link_newest(at);
        }
        return at;
    }
    const std::uint32_t at = make_room(now);
    if (at == kNone) return static_cast<std::uint32_t>(caller % kShared);
    entries_[at].key = caller;
    by_key_.emplace(caller, at);
    link_newest(at);
    return at;
}

// A free entry, or kNone.
std::uint32_t CallerLimits::make_room(Instant now) {
    if (by_key_.size() < callers_) {
        entries_.emplace_back(rate_);
        return static_cast<std::uint32_t>(entries_.size() - 1);
    }
    for (int asked = 0; oldest_ != kNone && asked < kAskedMax; ++asked) {
        const std::uint32_t at = oldest_;
        const Entry& entry = entries_[at];
        unlink(at);
        if (entry.held == 0 && entry.rate.is_at_rest(now)) {
            by_key_.erase(entry.key);
            return at;
        }
        link_newest(at);  // out of the way of whoever looks next
    }
    return kNone;
}

void CallerLimits::unlink(std::uint32_t entry) noexcept {
    const Entry& one = entries_[entry];
    (one.newer == kNone ? newest_ : entries_[one.newer].older) = one.older;
    (one.older == kNone ? oldest_ : entries_[one.older].newer) = one.newer;
}

void CallerLimits::link_newest(std::uint32_t entry) noexcept {
    Entry& one = entries_[entry];
    one.newer = kNone;
    one.older = newest_;
    (newest_ == kNone ? oldest_ : entries_[newest_].newer) = entry;
    newest_ = entry;
}

}  // namespace datapunk::mesh::resilience
