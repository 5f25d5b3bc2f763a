#pragma once

// RemovalHold: a registry that suddenly knows nobody is more often broken than right. Additions and
// changes count at once; removals that look wrong are held back until an answer that comes a grace
// later still lacks them.
//
//              missing from an answer
//   present ──────────────────────────► held ── missing again, grace over ──► gone
//      │  ▲                              │
//      │  └──────── seen again ──────────┘
//      └── few of many, or expected ──────────────────────────────────────► gone
//
// Suspicious: the answer is empty; it lacks more than share_max of what we have; or the source is
// distrusted at the time (it was away, or lost its data, and its services need a moment to
// register again).
// Pure; O(n) an answer. Source: Finagle's StabilizingAddr; Eureka's self-preservation.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::discovery {

class RemovalHold {
  public:
    // Grace zero: believes everything, unless distrusted.
    RemovalHold(double share_max, Duration grace) noexcept : share_max_(share_max), grace_(grace) {}

    // What to believe now that `fresh` came while we had `current`. Both sorted by id.
    std::vector<ServiceEndpoint> settle(
        const std::vector<ServiceEndpoint>& current, std::vector<ServiceEndpoint> fresh, Instant now
    );

    // The same for an answer that says only what has changed: whether settle() would let these go
    // at once, of so many that we have. If so they count as seen. `left`: endpoints there are then.
    bool lets_go(
        const std::vector<ServiceEndpoint>& removed,
        std::size_t known,
        std::size_t left,
        Instant now
    );

    // Removals first seen before `until` are held until then.
    void distrust_until(Instant until) noexcept;

    // We know ourselves that this endpoint goes: nothing suspicious about it.
    void expect_removal(std::string id, Instant now);

    // The source failed: what it said about removals has to be said twice again.
    void start_over() noexcept { held_.clear(); }

    // When the next answer should be had; nothing if nothing is held.
    std::optional<Instant> confirm_at() const noexcept;

    // Whether settle() would take an answer with the same ids as it is.
    bool is_idle() const noexcept { return held_.empty() && expected_.empty(); }

    std::size_t held() const noexcept { return held_.size(); }

    std::uint64_t held_total() const noexcept { return held_total_; }

  private:
    // How long a removal of our own stays expected, and how many at most.
    static constexpr Duration kExpectedFor = std::chrono::minutes(1);
    static constexpr std::size_t kExpectedMax = 1024;

    bool take_expected(std::string_view id);

    double share_max_;
    Duration grace_;
    std::optional<Instant> distrusted_until_;
    std::map<std::string, Instant, std::less<>> held_;      // id -> believed gone from
    std::map<std::string, Instant, std::less<>> expected_;  // id -> forgotten at
    std::uint64_t held_total_ = 0;
};

}  // namespace datapunk::mesh::discovery
