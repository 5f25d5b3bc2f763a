#pragma once

// HealthState: turns the results of one check into its status, slowly enough not to flap.
//
//   critical ──successes_before_passing good results in a row──► passing or warning (the last
//   one's) passing, warning ──failures_before_critical bad results in a row──► critical
//
// * A good result is passing or warning, a bad one critical; one kind resets the other's count.
//   Between passing and warning the same count of good results holds.
// * A TTL check is told its status, so the counts do not apply: each report counts at once, and
//   silence for longer than `ttl` is critical ("TTL expired").
// * During `grace` after registration bad results are noted but do not count: a service that still
//   starts keeps its initial status.
//
// Thread rule: one owner. Source: Consul 1.8 agent/checks (StatusHandler, CheckTTL).

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/registration.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace datapunk::mesh::health {

// Consul's bound on what a check may say.
inline constexpr std::size_t kOutputBytesMax = 4096;

struct HealthTransition {
    Health from = Health::critical;
    Health to = Health::critical;
    std::string reason;  // "3 failures in a row: connection refused"
    Instant at;

    friend bool operator==(const HealthTransition&, const HealthTransition&) = default;
};

class HealthState {
  public:
    // `check` has passed checked(ServiceConfig). `initial` is the status until results say
    // otherwise.
    HealthState(
        const HealthCheck& check, Health initial, Instant now, Duration grace = Duration::zero()
    );

    // One probe's verdict, or one TTL report. `output` is kept up to kOutputBytesMax.
    std::optional<HealthTransition> on_result(Health verdict, std::string_view output, Instant now);
    // Call at expires_at(): makes a silent TTL check critical. Too early or another kind: nothing.
    std::optional<HealthTransition> expire(Instant now);

    Health status() const noexcept { return status_; }

    Instant since() const noexcept { return since_; }

    // Of the last result, or "TTL expired".
    const std::string& output() const noexcept { return output_; }

    // When expire() is due; kNever but for TTL checks that have not expired yet.
    Instant expires_at() const noexcept;
    // When the service has been critical for deregister_after; kNever if not critical or never.
    Instant deregister_at() const noexcept;

    std::uint32_t successes_in_a_row() const noexcept { return successes_; }

    std::uint32_t failures_in_a_row() const noexcept { return failures_; }

  private:
    std::optional<HealthTransition> move_to(Health status, std::string why, Instant now);
    void keep_output(std::string_view output);

    HealthCheck check_;
    Health status_;
    Instant since_;
    Instant grace_until_;
    Instant last_report_;
    bool expired_ = false;
    std::uint32_t successes_ = 0;
    std::uint32_t failures_ = 0;
    std::string output_;
};

}  // namespace datapunk::mesh::health
