#pragma once

// AdaptiveLimiter: how many calls a service can take at once, found out from the latency of its
// answers. Fed with one LimitWindow after another; the limit is kept by others (ConcurrencyLimit,
// policy::Admission).
//
//   R    mean latency of the window, smoothed: R <- R + 0.3 (window - R)
//   base latency without load: see below
//
//   gradient  g = clamp(2 x base / R, 0.5, 1);  aim = limit x g + sqrt(limit)
//             below the limit: limit <- limit + 0.2 (aim - limit); above: limit <- aim
//   vegas     queue = limit x (1 - base / R), the calls that must be waiting over there;
//             l = max(1, log10 limit);  queue <= l: + 6 l;  < 3 l: + l;  > 6 l: - l
//   both      a window with calls dropped (timed out, or refused for overload) multiplies the
//             limit by 1 - share / 2, and does not let it grow;
//             no growth while less than half of the limit is used (Little: sum of latencies / time)
//
// `base` follows the windows that are clearly faster, or use little of the limit; and probes: about
// every 30 s, if calls are refused, the calls in flight are brought down to three quarters of what
// the throughput needs at `base`, and again as long as that makes answers faster. It rises only if
// the limit has been halved, or has come to its bottom, and a hundred answers are as slow as before
// (and 2.2 times slower than `base`): then they are not waiting for each other.
// What the usual estimators get wrong and this does not:
//
//   a long average absorbs a slow leak (Gradient2)           a queue never raises base
//   the next slow sample becomes the baseline (Vegas)        base is a mean of many answers
//   probing at the least concurrency hurts the tail (Envoy)  a quarter less, for a few windows
//   a service that has become slower is starved (BBR-like)   base rises after halving
//   fast failures lower the base                             only successes are measured
//   a quiet hour, a burst                                    no decision from fewer than 10
//                                                            answers; a window cuts a tenth at most
//   the least limit is the first one (Gradient2: 20)         the least is the user's
//
// What it cannot see: the queue of all callers from one of several. gradient then takes it for the
// service and drifts (each raises the other's base); it is for the one caller in front of a
// service. vegas bounds its own part of the queue and shares.
//
// Pure. One owner, or a lock. Source: Netflix concurrency-limits (Gradient2, Vegas); Brakmo and
// Peterson 1995; Cardwell et al. 2016 (BBR's ProbeRTT); Envoy adaptive concurrency.

#include <datapunk/mesh/limits.h>
#include <datapunk/mesh/time.h>

#include <cstdint>

#include "core/rng.h"

namespace datapunk::mesh::resilience {

// What happened in some time.
struct LimitWindow {
    Duration length{};
    std::uint64_t answers = 0;  // successes
    Duration latency_sum{};     // theirs
    std::uint64_t dropped = 0;  // timed out, or refused for overload
    bool was_limited = false;   // calls were refused or waited because of the limit
};

class AdaptiveLimiter {
  public:
    static constexpr std::uint32_t kInitial = 20;
    static constexpr std::uint64_t kAnswersMin = 10;  // in a window that decides anything
    static constexpr Duration kWindowMin = std::chrono::milliseconds(100);
    static constexpr Duration kWindowMax = std::chrono::seconds(10);
    static constexpr Duration kProbeEvery = std::chrono::seconds(30);

    // 1 <= min <= max.
    AdaptiveLimiter(AdaptiveLimit kind, std::uint32_t min, std::uint32_t max, std::uint64_t seed);

    // Other bounds from now on; what it has learned stays. 1 <= min <= max.
    void set_bounds(std::uint32_t min, std::uint32_t max) noexcept;

    AdaptiveLimit kind() const noexcept { return kind_; }

    // In force now; lower during a probe.
    std::uint32_t limit() const noexcept;

    // How long the next window should last at least: as long as an answer takes, so that it sees
    // what the last change has done.
    Duration window() const noexcept;

    // False: too few answers to go by, make the window longer.
    [[nodiscard]] bool on_window(const LimitWindow& window) noexcept;

    // Zero until known.
    Duration base() const noexcept { return Duration(static_cast<std::int64_t>(base_)); }

  private:
    void learn(double latency, double answers, bool is_used) noexcept;
    void adjust() noexcept;
    void doubt_base(double latency, double answers) noexcept;
    void start_probe(double throughput) noexcept;
    void probe(double latency, double answers, Duration length) noexcept;
    double clamped(double limit) const noexcept;

    const AdaptiveLimit kind_;
    double min_;
    double max_;
    core::Rng rng_;
    double limit_;
    double base_ = 0;     // nanoseconds
    double latency_ = 0;  // R
    double first_sum_ = 0;
    double first_answers_ = 0;  // that the first base is made of
    // Before the limit began to fall.
    double high_limit_ = 0;
    double high_latency_ = 0;
    // Since it was halved.
    double low_sum_ = 0;
    double low_answers_ = 0;
    Duration until_probe_;

    // A probe, while draining_ or measuring_ windows are left.
    double probe_limit_ = 0;
    int draining_ = 0;
    int measuring_ = 0;
    double probed_sum_ = 0;
    double probed_answers_ = 0;
};

}  // namespace datapunk::mesh::resilience
