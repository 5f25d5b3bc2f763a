#include "resilience/sliding_window.h"

#include <algorithm>

namespace datapunk::mesh::resilience {

SlidingWindow::SlidingWindow(std::uint32_t calls, Duration per) noexcept
    : calls_(std::clamp<std::uint32_t>(calls, 1, 1'000'000)),
      // Rounded up, so that 16 of them are never shorter than `per`.
      slice_ns_((static_cast<std::uint64_t>(per.count()) + kSlices - 2) / (kSlices - 1)) {}

// Numbers from kSlices on, so that a slice without a number is older than all.
std::uint64_t SlidingWindow::slice_at(Instant now) const noexcept {
    const auto ns = std::max<std::int64_t>(0, now.time_since_epoch().count());
    return static_cast<std::uint64_t>(ns) / slice_ns_ + kSlices;
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

bool SlidingWindow::try_acquire(Instant now) noexcept {
    const std::uint64_t slice = slice_at(now);
    if (sum(slice) >= calls_) return false;
    auto& entry = counts_[slice % kSlices];
    std::uint64_t word = entry.load();
    std::uint64_t counted = 0;
    do {
        const bool is_over = (word >> kCountBits) < slice;
        counted = (is_over ? slice << kCountBits : word) + 1;
    } while (!entry.compare_exchange_weak(word, counted));
    if (sum(slice) <= calls_) return true;
    // Another thread was as fast. If the slice has been taken for a later one by now, the count is
    // gone with it.
    word = entry.load();
    while ((word >> kCountBits) == (counted >> kCountBits)) {
        if (entry.compare_exchange_weak(word, word - 1)) break;
    }
    return false;
}

Duration SlidingWindow::retry_in(Instant now) const noexcept {
    const std::uint64_t slice = slice_at(now);
    std::uint64_t left = sum(slice);
    std::uint64_t oldest = slice + 1 - kSlices;
    for (; left >= calls_ && oldest <= slice; ++oldest) {
        const std::uint64_t word = counts_[oldest % kSlices].load();
        if ((word >> kCountBits) == oldest) left -= std::min(left, word & kCountMask);
    }
    if (oldest == slice + 1 - kSlices) return Duration::zero();
    // Slice `oldest - 1` has to be over for so long that it no longer counts.
    const std::uint64_t free_at = (oldest - 1) * slice_ns_;
    const auto then = Instant(Duration(static_cast<std::int64_t>(free_at)));
    return std::max(Duration::zero(), then - now);
}

}  // namespace datapunk::mesh::resilience
