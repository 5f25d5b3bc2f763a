#pragma once

// Deadline: the instant after which nobody waits for the answer, and how it travels with a call: as
// the time left, because clocks differ between machines.
//
//   x-mesh-deadline-ms: 250      whole milliseconds left, rounded down; 0 = over
//   grpc-timeout: 250m           1 to 8 digits and a unit: H M S m u n, rounded down
//
// A value; any thread. Source: gRPC over HTTP/2 protocol ("Timeout"); SRE book, ch. 22.

#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <compare>
#include <string>
#include <string_view>

namespace datapunk::mesh::resilience {

class Deadline {
  public:
    constexpr Deadline() noexcept = default;  // none

    constexpr explicit Deadline(Instant at) noexcept : at_(at) {}

    // `wait` from now; beyond the end of the clock it is none, negative is over at once.
    static constexpr Deadline in(Instant now, Duration wait) noexcept {
        if (wait <= Duration::zero()) return Deadline(now);
        return Deadline(now > kNever - wait ? kNever : now + wait);
    }

    constexpr Instant at() const noexcept { return at_; }

    constexpr bool exists() const noexcept { return at_ != kNever; }

    constexpr bool expired(Instant now) const noexcept { return now >= at_; }

    // At least zero; Duration::max() if there is none.
    constexpr Duration remaining(Instant now) const noexcept {
        if (!exists()) return Duration::max();
        return expired(now) ? Duration::zero() : at_ - now;
    }

    friend constexpr auto operator<=>(Deadline, Deadline) noexcept = default;

  private:
    Instant at_ = kNever;
};

constexpr Deadline earlier(Deadline a, Deadline b) noexcept {
    return a < b ? a : b;
}

// At most 24 days in either format is believed; more is read as this. A peer that wants longer has
// no deadline worth the name, and sums stay far from overflow.
inline constexpr Duration kDeadlineMax = std::chrono::hours(24 * 24);

Result<Duration> parse_deadline_ms(std::string_view text);
std::string format_deadline_ms(Duration remaining);

Result<Duration> parse_grpc_timeout(std::string_view text);
// The finest unit that fits 8 digits.
std::string format_grpc_timeout(Duration remaining);

}  // namespace datapunk::mesh::resilience
