#include "resilience/adaptive_throttle.h"

#include <algorithm>

namespace datapunk::mesh::resilience {

bool tells_overload(
    Outcome outcome, int status, std::optional<std::uint32_t> grpc_status
) noexcept {
    constexpr std::uint32_t kResourceExhausted = 8;
    constexpr std::uint32_t kUnavailable = 14;
    if (tells_overload(outcome)) return true;
    if (grpc_status) return *grpc_status == kResourceExhausted || *grpc_status == kUnavailable;
    return status == 429 || status == 503;
}

AdaptiveThrottle::AdaptiveThrottle(const ThrottleConfig& config) noexcept
    : config_(config), slice_(config.window / static_cast<std::int64_t>(kSlices)) {}

namespace {

// Threads' counters are read one after the other: a sum may lag a little behind another's.
std::uint64_t grown(std::uint64_t now, std::uint64_t before) noexcept {
    return now > before ? now - before : 0;
}

}  // namespace

double AdaptiveThrottle::update(const Totals& totals, Instant now) noexcept {
    const auto slice = static_cast<std::uint64_t>(
        std::max<std::int64_t>(0, now.time_since_epoch().count() / slice_.count())
    );
    if (!first_) {
        first_ = current_ = slice;
        past_.fill(totals);
    }
    // Nobody asked in the slices between: what there was counts as of the last one that was seen.
    const std::uint64_t missed = slice > current_ ? slice - current_ : 0;
    for (std::uint64_t i = 1; i <= std::min<std::uint64_t>(missed, past_.size()); ++i) {
        past_[(slice - i + 1) % past_.size()] = totals;
    }
    current_ = std::max(current_, slice);

    const std::uint64_t since = current_ < *first_ + kSlices ? *first_ : current_ - kSlices;
    const std::uint64_t half = since + (current_ - since) / 2;
    const Totals& old = at(since);
    const std::uint64_t all = grown(totals.ended, old.ended);
    const std::uint64_t ended = all - std::min(all, grown(totals.cancelled, old.cancelled));
    const std::uint64_t overloaded = std::min(ended, grown(totals.overloaded, old.overloaded));
    // Begun in the first half of the window or before it, and not ended by now: at least so many.
    std::uint64_t overdue = 0;
    if (current_ >= *first_ + kSlices) overdue = grown(at(half).begun, totals.ended);
    const auto calls = static_cast<double>(ended + overdue + grown(totals.refused, old.refused));
    const auto accepted = static_cast<double>(ended - overloaded);
    if (calls < config_.min_calls) return 0;
    const double share = (calls - config_.multiplier * accepted) / (calls + 1);
    return std::clamp(share, 0.0, config_.max_share);
}

}  // namespace datapunk::mesh::resilience
