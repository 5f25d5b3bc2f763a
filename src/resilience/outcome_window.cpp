#include "resilience/outcome_window.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

namespace datapunk::mesh::resilience {

namespace {

constexpr std::uint32_t kCallsPerWord = 32;  // two bits each
constexpr std::uint64_t kFailed = 1;
constexpr std::uint64_t kSlow = 2;
constexpr std::uint64_t kEachFailed = 0x5555555555555555U;
constexpr std::uint64_t kEachSlow = 0xaaaaaaaaaaaaaaaaU;

}  // namespace

OutcomeWindow::OutcomeWindow(const CircuitBreakerConfig& config)
    : ring_calls_(
          config.enabled && config.window_time == Duration::zero() ? config.window_calls : 0
      ),
      ring_((ring_calls_ + kCallsPerWord - 1) / kCallsPerWord) {
    if (!config.enabled || ring_calls_ != 0) return;
    slice_ = std::max(config.window_time / kSlices, Duration(1));
    slices_.resize(kSlices);
    newest_ = std::numeric_limits<std::int64_t>::min() / 2;  // before any clock
}

void OutcomeWindow::reconfigure(const CircuitBreakerConfig& config, Instant now) {
    OutcomeWindow fresh(config);
    if (fresh.ring_calls_ == ring_calls_ && fresh.slice_ == slice_) return;
    if (fresh.ring_calls_ != 0 && ring_calls_ != 0) fresh.copy_ring(*this);
    if (fresh.slice_ != Duration::zero() && slice_ != Duration::zero()) {
        advance(now);
        fresh.advance(now);
        fresh.copy_slices(*this);
    }
    *this = std::move(fresh);
}

// Oldest first, so that the newest are those that stay.
void OutcomeWindow::copy_ring(const OutcomeWindow& from) noexcept {
    const std::uint32_t oldest = from.sum_.calls < from.ring_calls_ ? 0 : from.ring_at_;
    for (std::uint32_t i = 0; i < from.sum_.calls; ++i) {
        const std::uint32_t at = (oldest + i) % from.ring_calls_;
        const std::uint64_t bits = from.ring_[at / kCallsPerWord] >> at % kCallsPerWord * 2;
        add_to_ring((bits & kFailed) != 0, (bits & kSlow) != 0);
    }
}

// Each slice goes where its middle is.
void OutcomeWindow::copy_slices(const OutcomeWindow& from) noexcept {
    for (std::int64_t old = from.newest_ - kSlices + 1; old <= from.newest_; ++old) {
        const Sum& sum = from.slices_[static_cast<std::size_t>(old % kSlices + kSlices) % kSlices];
        const Duration middle = old * from.slice_ + from.slice_ / 2;
        const std::int64_t number = std::min(slice_of(Instant(middle)), newest_);
        if (number <= newest_ - kSlices) continue;
        Sum& slice = slices_[static_cast<std::size_t>(number % kSlices + kSlices) % kSlices];
        for (Sum* one : {&slice, &sum_}) {
            one->calls += sum.calls;
            one->failures += sum.failures;
            one->slow += sum.slow;
        }
    }
}

std::int64_t OutcomeWindow::slice_of(Instant at) const noexcept {
    const std::int64_t ns = at.time_since_epoch().count();
    const std::int64_t width = slice_.count();
    return ns / width - (ns % width < 0 ? 1 : 0);
}

void OutcomeWindow::drop(Sum& slice) noexcept {
    sum_.calls -= slice.calls;
    sum_.failures -= slice.failures;
    sum_.slow -= slice.slow;
    slice = {};
}

void OutcomeWindow::advance(Instant now) noexcept {
    if (slice_ == Duration::zero()) return;
    const std::int64_t number = slice_of(now);
    if (number <= newest_) return;
    const std::int64_t passed = std::min(number - newest_, kSlices);
    for (std::int64_t i = 0; i < passed; ++i) {
        drop(slices_[static_cast<std::size_t>((number - i) % kSlices + kSlices) % kSlices]);
    }
    newest_ = number;
}

void OutcomeWindow::add(bool failed, bool slow, Instant at) noexcept {
    if (ring_calls_ != 0) return add_to_ring(failed, slow);
    if (slice_ == Duration::zero()) return;
    advance(at);
    const std::int64_t number = slice_of(at);
    if (number <= newest_ - kSlices) return;
    Sum& slice = slices_[static_cast<std::size_t>(number % kSlices + kSlices) % kSlices];
    // A window that has counted four billion calls has seen enough of this slice.
    if (sum_.calls == std::numeric_limits<std::uint32_t>::max()) return;
    for (Sum* one : {&slice, &sum_}) {
        ++one->calls;
        one->failures += failed ? 1 : 0;
        one->slow += slow ? 1 : 0;
    }
}

void OutcomeWindow::add_to_ring(bool failed, bool slow) noexcept {
    std::uint64_t& word = ring_[ring_at_ / kCallsPerWord];
    const std::uint32_t shift = ring_at_ % kCallsPerWord * 2;
    if (sum_.calls < ring_calls_) {
        ++sum_.calls;
    } else {
        const std::uint64_t old = word >> shift;
        sum_.failures -= (old & kFailed) != 0 ? 1 : 0;
        sum_.slow -= (old & kSlow) != 0 ? 1 : 0;
    }
    const std::uint64_t bits = (failed ? kFailed : 0) | (slow ? kSlow : 0);
    word = (word & ~((kFailed | kSlow) << shift)) | bits << shift;
    sum_.failures += failed ? 1 : 0;
    sum_.slow += slow ? 1 : 0;
    if (++ring_at_ == ring_calls_) ring_at_ = 0;
}

void OutcomeWindow::add_successes(std::uint32_t calls, Instant at) noexcept {
    if (calls == 0) return;
    if (ring_calls_ != 0) return add_successes_to_ring(calls);
    if (slice_ == Duration::zero()) return;
    advance(at);
    const std::int64_t number = slice_of(at);
    if (number <= newest_ - kSlices) return;
    calls = std::min(calls, std::numeric_limits<std::uint32_t>::max() - sum_.calls);
    slices_[static_cast<std::size_t>(number % kSlices + kSlices) % kSlices].calls += calls;
    sum_.calls += calls;
}

// As many of them at once as lie in one word of the ring.
void OutcomeWindow::add_successes_to_ring(std::uint32_t calls) noexcept {
    while (calls > 0) {
        const std::uint32_t first = ring_at_ % kCallsPerWord;
        std::uint32_t some = std::min({calls, kCallsPerWord - first, ring_calls_ - ring_at_});
        std::uint64_t& word = ring_[ring_at_ / kCallsPerWord];
        const bool is_full = sum_.calls == ring_calls_;
        if (!is_full) some = std::min(some, ring_calls_ - sum_.calls);
        const std::uint64_t mask = (~std::uint64_t{0} >> (kCallsPerWord - some) * 2) << first * 2;
        if (is_full) {
            const std::uint64_t old = word & mask;
            sum_.failures -= static_cast<std::uint32_t>(std::popcount(old & kEachFailed));
            sum_.slow -= static_cast<std::uint32_t>(std::popcount(old & kEachSlow));
        } else {
            sum_.calls += some;
        }
        word &= ~mask;
        ring_at_ = ring_at_ + some == ring_calls_ ? 0 : ring_at_ + some;
        calls -= some;
    }
}

void OutcomeWindow::clear() noexcept {
    ring_at_ = 0;
    std::fill(slices_.begin(), slices_.end(), Sum{});
    sum_ = {};
}

}  // namespace datapunk::mesh::resilience
