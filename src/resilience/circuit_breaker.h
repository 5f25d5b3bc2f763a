#pragma once

// CircuitBreaker: stops calls to something that keeps failing, then lets a few probes through.
//
//            failure_rate of the last window_calls (>= min_calls), or `consecutive` in a row
//   closed ───────────────────────────────────────────────────────────────────────────────► open
//     ▲                                                                                    │  ▲
//     │ half_open_probes successes                             open_for elapsed, next call │  │
//     └───────────────────────────────── half_open ◄───────────────────────────────────────┘  │
//                                            └──────────────── any probe fails ───────────────┘
//
// * open_for doubles with every trip up to open_max, and starts over once the breaker has stayed
//   closed for open_max.
// * half_open admits at most half_open_probes calls at a time. A cancelled probe gives its slot
//   back and counts as nothing. Probes that never report cannot wedge the breaker: when every slot
//   is taken and none was handed out for open_for, all of them are given up as lost.
// * A Permit belongs to the state in which it was given: the late result of a call that began
//   before a trip, or of a probe given up as lost, is not counted.
// * Disabled: admits everything, remembers nothing.
//
// Thread rule: one owner. Cost: a few ns a call; window_calls bits of memory, allocated once.
// Source: Nygard, Release It!, 2nd ed., 5.2; the window is Hystrix's, the doubling brpc's.

#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace datapunk::mesh::resilience {

// The numbers are the values of the state gauge.
enum class BreakerState : std::uint8_t { closed = 0, half_open = 1, open = 2 };

enum class BreakerReason : std::uint8_t {
    failure_rate,      // closed -> open
    consecutive,       // closed -> open
    waited,            // open -> half_open
    probe_failed,      // half_open -> open
    probes_succeeded,  // half_open -> closed
    forced,            // an operator said so
};

std::string_view to_string(BreakerState state) noexcept;
std::string_view to_string(BreakerReason reason) noexcept;

// What a method changed, for events and metrics. from == to: nothing.
struct BreakerTransition {
    BreakerState from = BreakerState::closed;
    BreakerState to = BreakerState::closed;
    BreakerReason reason = BreakerReason::forced;
    std::uint32_t failures = 0;  // in the window, or in a row, or of probes
    std::uint32_t calls = 0;     // those failures are out of so many
    Instant next_probe_at;       // to == open: when probes begin

    explicit operator bool() const noexcept { return from != to; }

    friend bool operator==(const BreakerTransition&, const BreakerTransition&) = default;
};

class CircuitBreaker {
  public:
    // Given per admitted call; hand it back exactly once, with the outcome.
    struct Permit {
        bool admitted = false;
        std::uint32_t era = 0;

        explicit operator bool() const noexcept { return admitted; }
    };

    // `config` has passed check(ServicePolicy).
    explicit CircuitBreaker(const CircuitBreakerConfig& config);

    // May a call go out at `now`? `changed`, here and below, is written if the state changed.
    [[nodiscard]] Permit try_acquire(Instant now, BreakerTransition* changed = nullptr) noexcept;
    void on_success(Permit permit, Instant now, BreakerTransition* changed = nullptr) noexcept;
    void on_failure(Permit permit, Instant now, BreakerTransition* changed = nullptr) noexcept;
    void on_cancelled(Permit permit) noexcept;

    // Would try_acquire admit a call at `now`? Changes nothing: for picking among endpoints.
    bool admits(Instant now) const noexcept;
    // As a caller would find it: open whose time is over reads half_open.
    BreakerState state(Instant now) const noexcept;
    // When an open breaker first admits a call; kNever if forced open; Instant::min() if not open.
    Instant next_probe_at() const noexcept;

    // An operator's word beats every measurement until release(), which starts afresh, closed.
    void force_open(Instant now, BreakerTransition* changed = nullptr) noexcept;
    void force_closed(Instant now, BreakerTransition* changed = nullptr) noexcept;
    void release(Instant now, BreakerTransition* changed = nullptr) noexcept;

    bool is_forced() const noexcept { return forced_; }

    std::uint32_t window_failures() const noexcept { return window_failures_; }

    std::uint32_t window_filled() const noexcept { return window_filled_; }

  private:
    bool counts(Permit permit) const noexcept;
    void remember(bool failed) noexcept;
    void enter(BreakerState to, Instant now) noexcept;
    void trip(BreakerReason reason, Instant now, BreakerTransition* changed) noexcept;
    void force(BreakerState to, bool forced, Instant now, BreakerTransition* changed) noexcept;
    bool probes_lost(Instant now) const noexcept;

    CircuitBreakerConfig config_;
    BreakerState state_ = BreakerState::closed;
    bool forced_ = false;
    std::uint32_t era_ = 1;              // counts state changes; a Permit of another era is stale
    std::vector<std::uint64_t> window_;  // ring of bits, 1 = failed
    std::uint32_t window_at_ = 0;
    std::uint32_t window_filled_ = 0;
    std::uint32_t window_failures_ = 0;
    std::uint32_t in_a_row_ = 0;
    std::uint32_t probes_out_ = 0;
    std::uint32_t probe_successes_ = 0;
    Duration open_for_;      // of the next trip
    Instant open_until_;     // while open
    Instant closed_since_;   // while closed
    Instant last_probe_at_;  // while half_open
};

}  // namespace datapunk::mesh::resilience
