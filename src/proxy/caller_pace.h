#pragma once

// CallerPace: how long a body may keep us waiting for the caller, in one direction. Between two
// pieces body_timeout may pass; all waits together may not exceed it by more than the bytes moved
// are worth at body_rate_min. So who sends (or takes) a byte now and then holds a connection for
// seconds, not for days, and a large body may still take its time. Apache's mod_reqtimeout has the
// same rule (MinRate). Waiting for the endpoint does not count.

#include <datapunk/mesh/time.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace datapunk::mesh::proxy {

class CallerPace {
  public:
    // 0 bytes per second: only the single pieces are limited.
    CallerPace(Duration timeout, std::uint32_t bytes_per_second) noexcept
        : timeout_(timeout), left_(timeout), bytes_per_second_(bytes_per_second) {}

    // Between two pieces.
    Duration timeout() const noexcept { return timeout_; }

    // For a wait that begins now.
    Instant deadline(Instant now) const noexcept {
        return now + (bytes_per_second_ == 0 ? timeout_ : std::clamp(left_, Duration(), timeout_));
    }

    // After a wait: how long it was, and what it moved.
    void note(Duration waited, std::size_t bytes) noexcept {
        if (bytes_per_second_ == 0) return;
        const auto earned = std::chrono::nanoseconds(std::chrono::seconds(1)) *
                            static_cast<std::int64_t>(std::min<std::size_t>(bytes, kPieceMax)) /
                            static_cast<std::int64_t>(bytes_per_second_);
        left_ =
            std::min(left_ - waited + std::chrono::duration_cast<Duration>(earned), credit_max());
    }

  private:
    static constexpr std::size_t kPieceMax = 1U << 20U;

    // What was saved up by being fast does not pay for a stop of hours later.
    Duration credit_max() const noexcept { return 4 * timeout_; }

    Duration timeout_;
    Duration left_;
    std::uint32_t bytes_per_second_;
};

}  // namespace datapunk::mesh::proxy
