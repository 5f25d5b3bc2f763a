#pragma once

// TimerWheel: many deadlines, few of which ever fire. Hierarchical wheel (Varghese and Lauck 1987):
// four levels of 256 slots, 1 ms ticks at the bottom, 49 days at the top; later deadlines wait in
// the last slot and are looked at again. Insert and remove are O(1) and allocate nothing; a timer
// fires at most one tick late, never early. Pure: time is an argument. One loop's object.

#include <datapunk/mesh/time.h>

#include <array>
#include <cstdint>

#include "core/intrusive_list.h"

namespace datapunk::mesh::io {

// Derive or embed; destroying a timer disarms it.
class Timer : public core::ListNode {
  public:
    using Fire = void (*)(Timer&);

    explicit Timer(Fire fire) noexcept : fire_(fire) {}

    bool is_armed() const noexcept { return is_linked(); }

    void cancel() noexcept { unlink(); }

    Instant due() const noexcept { return due_; }

  private:
    friend class TimerWheel;

    Fire fire_;
    Instant due_;
};

class TimerWheel {
  public:
    explicit TimerWheel(Instant now) noexcept;

    // Arms (or re-arms) the timer. kNever disarms it.
    void arm(Timer& timer, Instant due) noexcept;

    // Fires everything due at `now`. Fired timers may arm and destroy others, or themselves.
    void advance(Instant now);

    // The first instant at which advance() may have something to do; kNever if nothing is armed.
    // May be early (a cascade), never late.
    Instant next() const noexcept;

  private:
    static constexpr unsigned kLevels = 4;
    static constexpr unsigned kBits = 8;
    static constexpr unsigned kSlots = 1U << kBits;

    struct Level {
        std::array<core::IntrusiveList<Timer>, kSlots> slots;
        // A set bit: the slot may hold timers (cancelling does not clear it).
        std::array<std::uint64_t, kSlots / 64> maybe{};
    };

    // The first slot at or after `from` that holds a timer; kSlots if none.
    static unsigned first_used(Level& level, unsigned from) noexcept;
    void place(Timer& timer) noexcept;
    std::uint64_t tick_of(Instant at) const noexcept;
    void cascade(unsigned level);

    Instant origin_;
    std::uint64_t tick_ = 0;  // everything due at or before it has fired
    mutable std::array<Level, kLevels> levels_;
};

}  // namespace datapunk::mesh::io
