#pragma once

// CallerLimits: for each caller a rate and a bound of calls in flight (a bulkhead), for as many
// callers as there is memory for.
//
//   begin(caller) ─► its entry ─┬─ too many in flight, or its rate is used up: refused
//                               └─ admitted, maybe after a wait; holds the entry until release()
//
// Callers that find no place:
// * A new caller takes the place of the one that was here longest ago, if that one has nothing in
//   flight and its rate is at rest: so nobody gets a fresh limit by pushing itself out, and nobody
//   is forgotten while it matters.
// * If none of the few that are asked can go, strangers share a few entries, chosen by their key: a
//   flood of made-up callers is held to those, and the callers that are known keep what is theirs.
//
// Thread rule: one owner; policy/call_limits.h shares some of them between threads. Cost: ~50 ns,
// a new caller one allocation. Memory: ~250 bytes a caller.

#include <datapunk/mesh/limits.h>
#include <datapunk/mesh/time.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>

#include "resilience/rate_limit.h"

namespace datapunk::mesh::resilience {

class CallerLimits {
  public:
    static constexpr std::uint32_t kShared = 4;  // entries of strangers
    static constexpr std::uint32_t kNone = 0xffffffff;

    enum class Refusal : std::uint8_t { none, rate, requests };

    struct Decision {
        Refusal refusal = Refusal::none;
        Duration wait{};              // RateDecision's
        std::uint32_t entry = kNone;  // of an admitted call, for release()
        std::uint32_t in_flight = 0;  // of this caller, before this call
    };

    // `callers` at least 1: remembered at a time.
    CallerLimits(const RateLimitConfig& rate, std::uint32_t requests, std::uint32_t callers);

    // `caller`: a hash of whoever it is, that nobody outside can foresee.
    Decision begin(std::uint64_t caller, Instant now, Duration patience);
    // Once for each call that was admitted.
    void release(std::uint32_t entry) noexcept;

    std::size_t size() const noexcept { return by_key_.size(); }

  private:
    struct Entry {
        explicit Entry(const RateLimitConfig& config) : rate(config) {}

        RateLimit rate;
        std::uint64_t key = 0;
        std::uint32_t held = 0;
        std::uint32_t newer = kNone;
        std::uint32_t older = kNone;
    };

    std::uint32_t find_or_make(std::uint64_t caller, Instant now);
    std::uint32_t make_room(Instant now);
    void unlink(std::uint32_t entry) noexcept;
    void link_newest(std::uint32_t entry) noexcept;

    const RateLimitConfig rate_;
    const std::uint32_t requests_;  // 0 = no bound
    const std::uint32_t callers_;
    std::deque<Entry> entries_;  // the first kShared are the strangers'; never moved
    std::unordered_map<std::uint64_t, std::uint32_t> by_key_;
    std::uint32_t newest_ = kNone;
    std::uint32_t oldest_ = kNone;
};

}  // namespace datapunk::mesh::resilience
