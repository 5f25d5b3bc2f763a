#pragma once

// AdaptiveThrottle: which share of the calls to an overloaded service to refuse here, so that it
// need not spend itself on refusing them.
//
//   share = clamp((calls - K x accepted) / (calls + 1), 0, max_share)     over the window
//
// calls     attempts that have ended, those refused here, and those overdue (below)
// accepted  attempts that ended otherwise than by overload
//
// The traps, each with a test of its name:
// * Refused calls count as calls, else the share would swing instead of settling.
// * Overload counts (tells_overload), not all failures: a bug over there is not cured by less load.
// * Below min_calls nothing is refused: a few calls say nothing.
// * max_share: some always pass, to find out whether it is over.
// * Counted at their end only, calls that hang would say nothing until they time out; counted from
//   their beginning, a slow service would look overloaded when it starts. So what has been out for
//   more than half of the window counts as a call that was not accepted.
//
// Invariants: share is 0 while at least 1/K of the calls are accepted, and never above max_share.
//
// Pure: reads cumulative totals, whoever keeps them. Thread rule: one owner. Cost of update():
// ~20 ns. Source: Google SRE book, chapter 21, "Client-side throttling".

#include <datapunk/mesh/limits.h>
#include <datapunk/mesh/outcome.h>
#include <datapunk/mesh/time.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace datapunk::mesh::resilience {

// Does it say that the service cannot take more? Timeouts and refused streams do, the answers 429
// and 503, of gRPC resource_exhausted and unavailable. `status` 0: none, or not known.
bool tells_overload(Outcome outcome, int status, std::optional<std::uint32_t> grpc_status) noexcept;

// Without an answer: by the outcome alone.
constexpr bool tells_overload(Outcome outcome) noexcept {
    return outcome == Outcome::timeout || outcome == Outcome::refused_stream;
}

class AdaptiveThrottle {
  public:
    // Since the beginning.
    struct Totals {
        std::uint64_t begun = 0;
        std::uint64_t ended = 0;
        std::uint64_t cancelled = 0;   // of the ended; they say nothing
        std::uint64_t overloaded = 0;  // of the ended
        std::uint64_t refused = 0;     // here, because of this
    };

    explicit AdaptiveThrottle(const ThrottleConfig& config) noexcept;

    // The share to refuse from now on. More often than slice() makes it no better.
    double update(const Totals& totals, Instant now) noexcept;

    Duration slice() const noexcept { return slice_; }

  private:
    static constexpr std::size_t kSlices = 32;

    const Totals& at(std::uint64_t slice) const noexcept { return past_[slice % past_.size()]; }

    ThrottleConfig config_;
    Duration slice_;
    std::array<Totals, kSlices + 1> past_{};  // when each slice began
    std::optional<std::uint64_t> first_;      // slice, of all
    std::uint64_t current_ = 0;
};

}  // namespace datapunk::mesh::resilience
