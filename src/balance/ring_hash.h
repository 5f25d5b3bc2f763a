#pragma once

// Ring hash (Karger et al. 1997; Ketama): every endpoint owns points on a ring of 64-bit numbers in
// proportion to its weight; a call goes to the next point after its hash. When an endpoint comes
// or goes, only the calls of its own points move.
//
// Points: about kPointsEach an endpoint (their shares then differ by a tenth), at least
// RingHash::points_min in all and at most kPointsMax, at least one each. An excluded or full
// endpoint's calls go to the next points of others, each of them to a different one; after
// kStepsMax points the choice is made by rendezvous(). A call without a hash gets a random one.
//
// Immutable value. pick: O(log points); built in O(points log points).

#include <datapunk/mesh/policy.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "balance/candidate.h"
#include "balance/hashing.h"

namespace datapunk::mesh::balance {

inline constexpr std::uint64_t kPointsEach = 100;
inline constexpr std::uint64_t kPointsMax = 1U << 20U;  // 16 MB

class RingHashPicker {
  public:
    RingHashPicker(const RingHash& config, std::vector<Candidate> candidates);

    std::optional<std::uint32_t> pick(const PickQuery& query, PickState& state) const noexcept;

    std::size_t points() const noexcept { return ring_.size(); }

  private:
    static constexpr int kStepsMax = 32;

    struct Point {
        std::uint64_t at;
        std::uint32_t owner;
    };

    std::vector<Candidate> candidates_;
    LoadBound bound_;
    std::vector<Point> ring_;  // sorted
};

}  // namespace datapunk::mesh::balance
