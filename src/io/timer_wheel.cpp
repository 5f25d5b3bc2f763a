#include "io/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace datapunk::mesh::io {

namespace {
constexpr Duration kTick = std::chrono::milliseconds(1);
}

TimerWheel::TimerWheel(Instant now) noexcept : origin_(now) {}

// Rounded up: a timer never fires early.
std::uint64_t TimerWheel::tick_of(Instant at) const noexcept {
    if (at <= origin_) return 0;
    const Duration after = at - origin_ - Duration(1);
    return static_cast<std::uint64_t>(after / kTick) + 1;
}

void TimerWheel::arm(Timer& timer, Instant due) noexcept {
    timer.unlink();
    if (due == kNever) return;
    timer.due_ = due;
    place(timer);
}

void TimerWheel::place(Timer& timer) noexcept {
    constexpr std::uint64_t kSpan = std::uint64_t{1} << (kBits * kLevels);
    // Past deadlines fire at the next tick; those beyond the wheel are placed again when met.
    const std::uint64_t due = std::clamp(tick_of(timer.due_), tick_ + 1, tick_ + kSpan - 1);
    const std::uint64_t differs = due ^ tick_;
    const unsigned level =
        std::min(kLevels - 1, static_cast<unsigned>(std::bit_width(differs) - 1) / kBits);
    const auto slot = static_cast<unsigned>(due >> (kBits * level)) & (kSlots - 1);
    levels_[level].slots[slot].push_back(timer);
    levels_[level].maybe[slot / 64] |= std::uint64_t{1} << (slot % 64);
}

void TimerWheel::cascade(unsigned level) {
    const auto slot = static_cast<unsigned>(tick_ >> (kBits * level)) & (kSlots - 1);
    if (slot == 0 && level + 1 < kLevels) cascade(level + 1);
    core::IntrusiveList<Timer> moving;
    moving.splice_back(levels_[level].slots[slot]);
    levels_[level].maybe[slot / 64] &= ~(std::uint64_t{1} << (slot % 64));
    while (Timer* timer = moving.pop_front()) {
        if (tick_of(timer->due_) <= tick_) {
            levels_[0].slots[tick_ & (kSlots - 1)].push_back(*timer);
        } else {
            place(*timer);
        }
    }
}

void TimerWheel::advance(Instant now) {
    const std::uint64_t target =
        now <= origin_ ? 0 : static_cast<std::uint64_t>((now - origin_) / kTick);
    while (tick_ < target) {
        // Skip empty stretches: nothing can be due before next().
        const Instant soonest = next();
        tick_ =
            std::max(tick_ + 1, soonest == kNever ? target : std::min(tick_of(soonest), target));
        const auto slot = static_cast<unsigned>(tick_) & (kSlots - 1);
        if (slot == 0) cascade(1);
        core::IntrusiveList<Timer> due;
        due.splice_back(levels_[0].slots[slot]);
        levels_[0].maybe[slot / 64] &= ~(std::uint64_t{1} << (slot % 64));
        while (Timer* timer = due.pop_front()) {
            if (tick_of(timer->due_) > tick_) {
                place(*timer);  // it was beyond the wheel's span
            } else {
                timer->fire_(*timer);
            }
        }
    }
}

unsigned TimerWheel::first_used(Level& level, unsigned from) noexcept {
    for (unsigned slot = from; slot < kSlots;) {
        std::uint64_t& word = level.maybe[slot / 64];
        const std::uint64_t rest = word >> (slot % 64);
        if (rest == 0) {
            slot = (slot / 64 + 1) * 64;
            continue;
        }
        slot += static_cast<unsigned>(std::countr_zero(rest));
        if (!level.slots[slot].empty()) return slot;
        word &= ~(std::uint64_t{1} << (slot % 64));
        ++slot;
    }
    return kSlots;
}

Instant TimerWheel::next() const noexcept {
    // A lower level's timers are all due before a higher level's first cascade.
    for (unsigned level = 0; level < kLevels; ++level) {
        const unsigned shift = kBits * level;
        const std::uint64_t position = tick_ >> shift;
        const auto here = static_cast<unsigned>(position) & (kSlots - 1);
        const unsigned slot = first_used(levels_[level], here + 1);
        if (slot == kSlots) continue;
        const std::uint64_t tick = (position - here + slot) << shift;
        return origin_ + kTick * static_cast<std::int64_t>(tick);
    }
    // Only timers that wrap around the top level can be left: look again when it turns.
    if (first_used(levels_[kLevels - 1], 0) == kSlots) return kNever;
    const std::uint64_t turn = ((tick_ >> (kBits * kLevels)) + 1) << (kBits * kLevels);
    return origin_ + kTick * static_cast<std::int64_t>(turn);
}

}  // namespace datapunk::mesh::io
