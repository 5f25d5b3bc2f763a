#pragma once

// LeasedWindow: one process' part of a sliding window that many processes share: together they
// begin no more than `calls` in any interval of length `per`. Somebody keeps for all what has begun
// and what each has in hand; a process takes some of what is left in advance and spends it without
// asking anybody.
//
//   calls, any thread:   try_take(now)                               no wait, no lock
//   the exchange, about ten times a second:
//        ask(now) ──► wanted, held, spent ──► granted(tokens, processes, now)
//                                        └──► failed(now): no answer, or none yet
//        give_up() ─► held 0                  once nobody wants it any more
//
// * The keeper hands out what is neither held by anybody nor begun within `per`. A call is held
//   until it is told as begun, and counts from when it is told: so it is never counted too little.
// * `held` and `spent` are told as they are, not as differences: an answer or a question that was
//   lost, or a keeper that has forgotten everything, is put right with the next question.
// * Wanted: what was asked for lately (refused or not), three exchanges ahead; at least its part of
//   a sixteenth of `calls`, one if four fall to each process. Where there are more processes than
//   that, the first call after idleness may be refused until the next exchange.
// * While nobody answers each keeps to `calls` divided by the processes that there were, in any
//   `per`, counting what it began before.
//
// Invariant: as long as the keeper answers no interval of length `per` has more than `calls` in all
// processes together. In the `per` after it went away at most `calls` more, less one part.
// Pure: the exchange is redis::SliceExchange, or a test.
//
// Threads: any may take; one at a time asks, and tells what came; one at a time reconfigures. ~30
// ns. Source: as LeasedSlice, over SlidingWindow.

#include <datapunk/mesh/time.h>

#include <atomic>
#include <cstdint>
#include <optional>

#include "resilience/demand.h"
#include "resilience/sliding_window.h"

namespace datapunk::mesh::resilience {

// Of all processes together.
struct WindowConfig {
    std::uint32_t calls = 1;  // 1..1000000 in any interval of length
    Duration per{};           // at least kPerMin
    friend bool operator==(const WindowConfig&, const WindowConfig&) = default;
};

class LeasedWindow {
  public:
    // Shorter ones are over before what is leased has been used.
    static constexpr Duration kPerMin = std::chrono::seconds(1);

    explicit LeasedWindow(const WindowConfig& config) noexcept;

    [[nodiscard]] bool try_take(Instant now) noexcept;
    // How long from `now` until it is worth asking again.
    Duration retry_in(Instant now) const noexcept;

    // Left in hand; negative if more has begun alone than was held.
    std::int64_t held() const noexcept { return held_.load(std::memory_order_relaxed); }

    // Nobody has answered yet, or lately.
    bool is_alone() const noexcept { return is_alone_.load(std::memory_order_relaxed); }

    bool is_exchanged() const noexcept { return is_exchanged_.load(std::memory_order_relaxed); }

    WindowConfig config() const noexcept {
        return {.calls = begun_.calls(), .per = per_.load(std::memory_order_relaxed)};
    }

    // Goes on with what has begun.
    void reconfigure(const WindowConfig& config, Instant now) noexcept;
    // What has begun here, under this rule or another.
    const SlidingWindow& begun() const noexcept { return begun_; }
    // Before it is shared between threads.
    SlidingWindow& begun() noexcept { return begun_; }

    // --- the exchange
    struct Ask {
        std::int64_t wanted = 0;
        std::int64_t held = 0;     // once it is asked
        std::uint64_t spent = 0;   // of all time
        std::uint64_t recent = 0;  // of these at most so many within `per`
        bool is_empty = false;     // nothing is new: need not be sent
    };

    Ask ask(Instant now) noexcept;
    // `processes`: that share it at present, this one too.
    void granted(std::int64_t tokens, std::int64_t processes, Instant now) noexcept;
    void failed(Instant now) noexcept;
    Ask give_up(Instant now) noexcept;

  private:
    std::uint64_t part() const noexcept;
    bool is_alone(Instant now) const noexcept;
    bool is_forgotten(Instant now) const noexcept;
    std::int64_t goal() const noexcept;
    Ask told(std::int64_t held, Instant now) noexcept;

    std::atomic<Duration> per_;
    SlidingWindow begun_;
    std::atomic<std::int64_t> held_{0};
    std::atomic<std::uint64_t> demanded_{0};
    std::atomic<bool> is_alone_{true};
    std::atomic<bool> is_exchanged_{false};
    std::atomic<bool> is_settled_{false};  // answered once, or not for long
    std::atomic<Instant> answered_at_{Instant::min()};
    std::atomic<std::int64_t> processes_{1};

    // The exchange's.
    Demand demand_;
    std::optional<Instant> failed_at_;   // first
    std::int64_t received_ = 0;          // of all time, less what was given back
    std::optional<std::uint64_t> told_;  // spent, when last answered
    std::uint64_t asked_ = 0;            // spent, when last asked
};

}  // namespace datapunk::mesh::resilience
