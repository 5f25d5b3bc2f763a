#pragma once

// CircuitBreaker: stops calls to something that keeps failing, then lets a few probes through.
//
//            one of the rules: `consecutive` in a row; failure_count in the window; failure_rate or
//            slow_rate of the window, once min_calls are in it
//   closed ───────────────────────────────────────────────────────────────────────────────► open
//     ▲ ▲                                                                                  │  ▲
//     │ │ half_open_probes successes                           open_for elapsed, next call │  │
//     │ └─────────────────────────────── half_open ◄───────────────────────────────────────┘  │
//     │ no ramp                            │  └──────────────── any probe fails ──────────────┤
//     │                                    ▼ the same, with a ramp                            │
//     └───── ramp elapsed ────── half_open, ramping ─── one of the rules ─────────────────────┘
//
// * open_for doubles with every trip up to open_max, and starts over once the breaker has stayed
//   closed for open_max.
// * half_open admits at most half_open_probes calls at a time. A cancelled probe gives its slot
//   back and counts as nothing. Probes that never report cannot wedge it: when every slot
//   is taken and none was handed out for open_for, all of them are given up as lost.
// * A slow probe is a failed one, if slow_call is set.
// * Ramping, of n calls asked for while the share is s, s x n are admitted (to within one): the
//   share grows from ramp_from to 1 in a straight line. No luck is needed: each call adds the share
//   to a credit, and is admitted when the credit reaches one. The rules of the closed state hold.
// * A Permit belongs to the state in which it was given: the late result of a call that began
//   before a trip, or of a probe given up as lost, is not counted.
// * Disabled: admits everything, remembers nothing; it can still be forced.
//
// Thread rule: one owner. Cost: a few ns a call; the memory of an OutcomeWindow, allocated once.
// Source: Nygard, Release It!, 2nd ed., 5.2; resilience4j (slow calls, time windows); the doubling
// is brpc's.

#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string_view>

#include "resilience/outcome_window.h"

namespace datapunk::mesh::resilience {

// The numbers are the values of the state gauge.
enum class BreakerState : std::uint8_t { closed = 0, half_open = 1, open = 2 };

enum class BreakerReason : std::uint8_t {
    failure_rate,      // closed or ramping -> open; as the next three
    consecutive,       //
    failure_count,     //
    slow_rate,         //
    waited,            // open -> half_open
    probe_failed,      // half_open -> open
    probes_succeeded,  // half_open -> closed
    ramped,            // ramping -> closed
    told,              // closed -> half_open: others found it failing
    forced,            // an operator said so
    configured,        // switched on or off by a change of its configuration
};

std::string_view to_string(BreakerState state) noexcept;
std::string_view to_string(BreakerReason reason) noexcept;

// What a method changed, for events and metrics. from == to: nothing.
struct BreakerTransition {
    BreakerState from = BreakerState::closed;
    BreakerState to = BreakerState::closed;
    BreakerReason reason = BreakerReason::forced;
    std::uint32_t failures = 0;  // in the window, or in a row, or of probes; slow calls if those
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

    // Other rules from now on. State, window and the length of the next trip stay, cut to what the
    // new rules allow; switched on or off it begins afresh. An operator's word stays, unless it was
    // the configuration's.
    void reconfigure(
        const CircuitBreakerConfig& config, Instant now, BreakerTransition* changed = nullptr
    );

    // May a call go out at `now`? `changed`, here and below, is written if the state changed.
    [[nodiscard]] Permit try_acquire(Instant now, BreakerTransition* changed = nullptr) noexcept;
    void on_success(
        Permit permit, Instant now, BreakerTransition* changed = nullptr, bool slow = false
    ) noexcept;
    // As many on_success(permit, at) while nobody cares what each of them changed.
    void on_successes(Permit permit, std::uint32_t calls, Instant at) noexcept;
    void on_failure(
        Permit permit, Instant now, BreakerTransition* changed = nullptr, bool slow = false
    ) noexcept;
    void on_cancelled(Permit permit) noexcept;

    // Would try_acquire admit a call at `now`? Changes nothing: for picking among endpoints.
    bool admits(Instant now) const noexcept;
    // As a caller would find it: open whose time is over reads half_open.
    BreakerState state(Instant now) const noexcept;
    // When an open breaker first admits a call; kNever if forced open; Instant::min() if not open.
    Instant next_probe_at() const noexcept;

    bool is_ramping(Instant now) const noexcept {
        return state_ == BreakerState::half_open && ramp_since_ != kNever && now < ramp_end();
    }

    // The era of every permit while it is closed; 0 = ask try_acquire().
    std::uint32_t closed_era() const noexcept { return state_ == BreakerState::closed ? era_ : 0; }

    // Of the calls asked for: 1 closed, 0 open or probing.
    double admitted_share(Instant now) const noexcept;

    // Others found it failing: what is trusted becomes half-open and is probed first.
    void distrust(Instant now, BreakerTransition* changed = nullptr) noexcept;

    // An operator's word beats every measurement until `none`, which starts afresh, closed.
    void force(BreakerForce how, Instant now, BreakerTransition* changed = nullptr) noexcept;

    BreakerForce forced() const noexcept { return forced_; }

    const OutcomeWindow& window() const noexcept { return window_; }

    // No failure and no slow call is remembered. Meaningful while closed.
    bool is_clean(Instant now) noexcept {
        window_.advance(now);
        return window_.failures() == 0 && window_.slow() == 0 && in_a_row_ == 0;
    }

  private:
    bool counts(Permit permit) const noexcept;
    void enter(BreakerState to, Instant now) noexcept;
    void begin_ramp(Instant now) noexcept;
    void end_ramp(BreakerTransition* changed) noexcept;
    void judge(bool failed, bool slow, Instant now, BreakerTransition* changed) noexcept;
    void trip(BreakerTransition what, Instant now, BreakerTransition* changed) noexcept;
    bool probes_lost(Instant now) const noexcept;
    Instant ramp_end() const noexcept;

    CircuitBreakerConfig config_;
    BreakerState state_ = BreakerState::closed;
    BreakerForce forced_ = BreakerForce::none;
    std::uint32_t era_ = 1;  // counts state changes; a Permit of another era is stale
    OutcomeWindow window_;
    std::uint32_t in_a_row_ = 0;
    std::uint32_t probes_out_ = 0;
    std::uint32_t probe_successes_ = 0;
    Duration open_for_;            // of the next trip
    Instant open_until_;           // while open
    Instant closed_since_;         // while closed
    Instant last_probe_at_;        // while half_open
    Instant ramp_since_ = kNever;  // while ramping
    double ramp_credit_ = 0;
};

}  // namespace datapunk::mesh::resilience
