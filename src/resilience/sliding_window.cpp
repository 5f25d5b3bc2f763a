#include "resilience/sliding_window.h"

#include <algorithm>
#include <cmath>

namespace datapunk::mesh::resilience {

namespace {

std::uint32_t bounded(std::uint32_t calls) noexcept {
    return std::clamp<std::uint32_t>(calls, 1, 1'000'000);
}

// Rounded up, so that 16 of them are never shorter than `per`.
std::uint64_t slice_of(Duration per) noexcept {
    constexpr std::uint64_t kParts = SlidingWindow::kSlices - 1;
    return (static_cast<std::uint64_t>(per.count()) + kParts - 1) / kParts;
}

}  // namespace

SlidingWindow::SlidingWindow(std::uint32_t calls, Duration per) noexcept
    : calls_(bounded(calls)), slice_ns_(slice_of(per)) {}

// Numbers from kSlices on, so that a slice without a number is older than all.
std::uint64_t SlidingWindow::slice_at(Instant now) const noexcept {
    const auto ns = std::max<std::int64_t>(0, now.time_since_epoch().count());
    return static_cast<std::uint64_t>(ns) / slice_ns_.load(std::memory_order_relaxed) + kSlices;
}

std::uint64_t SlidingWindow::sum(std::uint64_t slice) const noexcept {
    std::uint64_t all = 0;
    for (const auto& entry : counts_) {
        const std::uint64_t word = entry.load();
        // Those of threads that are ahead of this one's `now` count as well.
        if ((word >> kCountBits) + kSlices > slice) all += word & kCountMask;
    }
    return all;
}

bool SlidingWindow::try_acquire(Instant now, std::uint64_t calls) noexcept {
    const std::uint64_t slice = slice_at(now);
    if (sum(slice) >= calls) return false;
    auto& entry = counts_[slice % kSlices];
    const std::uint64_t counted = add(entry, slice, 1);
    if (sum(slice) <= calls) return true;
    // Another thread was as fast. If the slice has been taken for a later one by now, the count is
    // gone with it.
    std::uint64_t word = entry.load();
    while ((word >> kCountBits) == (counted >> kCountBits)) {
        if (entry.compare_exchange_weak(word, word - 1)) break;
    }
    return false;
}

std::uint64_t SlidingWindow::add(
    std::atomic<std::uint64_t>& entry, std::uint64_t slice, std::uint32_t calls
) noexcept {
    std::uint64_t word = entry.load();
    std::uint64_t counted = 0;
    do {
        const bool is_over = (word >> kCountBits) < slice;
        counted = (is_over ? slice << kCountBits : word) + calls;
    } while (!entry.compare_exchange_weak(word, counted));
    return counted;
}

void SlidingWindow::count(Instant now, std::uint32_t calls) noexcept {
    const std::uint64_t slice = slice_at(now);
    add(counts_[slice % kSlices], slice, calls);
}

double SlidingWindow::used(Instant now) const noexcept {
    return std::min(1.0, static_cast<double>(begun(now)) / static_cast<double>(calls()));
}

void SlidingWindow::set_used(double part, Instant now) noexcept {
    const double begun = std::ceil(std::clamp(part, 0.0, 1.0) * calls());
    for (auto& entry : counts_) entry.store(0);
    count(now, static_cast<std::uint32_t>(begun));
}

void SlidingWindow::go_on_from(const SlidingWindow& before, Instant now) noexcept {
    if (before.slice_ns_.load() != slice_ns_.load()) return set_used(before.used(now), now);
    for (std::size_t i = 0; i < kSlices; ++i) counts_[i].store(before.counts_[i].load());
}

void SlidingWindow::reconfigure(std::uint32_t calls, Duration per, Instant now) noexcept {
    const double part = used(now);
    calls_.store(bounded(calls), std::memory_order_relaxed);
    if (slice_of(per) == slice_ns_.load()) return;
    slice_ns_.store(slice_of(per));
    set_used(part, now);
}

Duration SlidingWindow::retry_in(Instant now, std::uint64_t calls) const noexcept {
    const std::uint64_t slice = slice_at(now);
    std::uint64_t left = sum(slice);
    std::uint64_t oldest = slice + 1 - kSlices;
    for (; left >= calls && oldest <= slice; ++oldest) {
        const std::uint64_t word = counts_[oldest % kSlices].load();
        if ((word >> kCountBits) == oldest) left -= std::min(left, word & kCountMask);
    }
    if (oldest == slice + 1 - kSlices) return Duration::zero();
    // Slice `oldest - 1` has to be over for so long that it no longer counts.
    const std::uint64_t free_at = (oldest - 1) * slice_ns_.load(std::memory_order_relaxed);
    const auto then = Instant(Duration(static_cast<std::int64_t>(free_at)));
    return std::max(Duration::zero(), then - now);
}

}  // namespace datapunk::mesh::resilience
