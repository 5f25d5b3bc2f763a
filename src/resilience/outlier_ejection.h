#pragma once

// Outlier ejection: passive health. Endpoints whose real calls fail are left out for a while.
//
//   each call:  record_success / record_failure; at consecutive_failures in a row -> try_eject
//   each interval:  sweep(), over the endpoints with request_volume calls since the last sweep:
//     1. failure_percentage: failed / calls at or above the limit
//     2. success rate: walk from the best endpoint down; the first that lies below
//            mean - stdev_factor x (max(σ, 5 points) + its own standard error)
//        of those better than it, once these are at least half, is an outlier and so is everyone
//        below it.
//
// Why not Envoy's mean - factor x σ over all: k equally bad of n have z = sqrt((n-k)/k), so with
// factor 1.9 it needs 5 endpoints for one bad one and can never fire once 21.7 % are bad. The walk
// works from 2 endpoints on and up to half of them bad. The floor of 5 points keeps 99 % from being
// an outlier among 100 %; the standard error keeps 20 calls from proving too much.
//
// An ejection lasts base_ejection x number of ejections so far, at most max_ejection, and is over
// when it is due: is_ejected() compares instants, nothing has to run. The number falls by one with
// each sweep that finds the endpoint not ejected. At most max_ejected_percent, and at most
// max_ejected, are out at a time, but one is always allowed, and the last usable endpoint is never
// ejected. This holds for every reason: also for silence (phi), which the owner listens for.
//
// Thread rule: one owner for the stats. Cost: a few ns a call; a sweep sorts the endpoints.
// Source: gRFC A50, Envoy outlier detection.

#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::resilience {

// What outlier ejection knows about one endpoint. The owner keeps one per endpoint for as long as
// the endpoint lives.
struct OutlierStats {
    std::uint32_t in_a_row = 0;   // failures
    std::uint32_t successes = 0;  // since the last sweep
    std::uint32_t failures = 0;   // since the last sweep
    std::uint32_t ejections = 0;  // multiplies the ejection time; decays
    Instant ejected_until = Instant::min();
    bool usable = true;  // set by the owner: active health lets traffic through

    friend bool operator==(const OutlierStats&, const OutlierStats&) = default;
};

enum class EjectionReason : std::uint8_t {
    consecutive_failures,
    failure_percentage,
    success_rate,
    silence,
};

std::string_view to_string(EjectionReason reason) noexcept;

struct Ejection {
    std::size_t index = 0;  // into the span given
    EjectionReason reason = EjectionReason::consecutive_failures;
    double measured = 0;  // failures in a row, failed %, success %, or phi
    double limit = 0;     // what `measured` was held against
    std::uint32_t calls = 0;
    std::uint32_t count = 0;  // which ejection of this endpoint it is, after decay
    Instant until;

    friend bool operator==(const Ejection&, const Ejection&) = default;
};

// "5 failures in a row", "92.0 % of 40 calls failed, limit 85.0 %",
// "61.0 % of 100 calls succeeded, the others' limit is 89.4 %",
// "calls are out and nothing is answered: suspicion 9.3, limit 8.0".
std::string describe(const Ejection& ejection);

inline bool is_ejected(const OutlierStats& stats, Instant now) noexcept {
    return now < stats.ejected_until;
}

// Results that arrive while the endpoint is ejected belong to earlier calls and do not count.
inline void record_success(OutlierStats& stats, Instant now, std::uint32_t calls = 1) noexcept {
    if (is_ejected(stats, now) || calls == 0) return;
    stats.in_a_row = 0;
    stats.successes += calls;
}

// True: consecutive_failures reached, call try_eject now.
[[nodiscard]] bool record_failure(
    OutlierStats& stats, const OutlierConfig& config, Instant now
) noexcept;

// Ejects endpoint `index` for its failures in a row, unless the limits above forbid it.
std::optional<Ejection> try_eject(
    std::span<OutlierStats* const> all, std::size_t index, const OutlierConfig& config, Instant now
);

// The same for its silence, of which health::PhiAccrual says `phi`, at least config.phi.
std::optional<Ejection> try_eject_silent(
    std::span<OutlierStats* const> all,
    std::size_t index,
    double phi,
    const OutlierConfig& config,
    Instant now
);

// Every config.interval. Ejects the worst first, and starts the next interval's counts.
std::vector<Ejection> sweep(
    std::span<OutlierStats* const> all, const OutlierConfig& config, Instant now
);

// Traffic again at once, by an operator's word; keeps the number of ejections.
void restore(OutlierStats& stats) noexcept;

}  // namespace datapunk::mesh::resilience
