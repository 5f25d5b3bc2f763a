#pragma once

// Smooth weighted round robin: in any stretch everyone gets close to its share, and a heavy
// endpoint's turns are spread (5:1:1 gives a a b a c a a). nginx's algorithm (Igor Sysoev 2012)
// changes a number of every peer at each pick; here its period is computed once per table, and a
// picking thread only moves its own cursor through it. Tables whose period would be long take the
// turns from a golden-ratio rotation over the weights instead: it spreads any interval's hits as
// evenly (three-gap theorem), needs O(n) to build and no period. O(1). Immutable value.

#include <cstdint>
#include <optional>
#include <vector>

#include "balance/candidate.h"
#include "balance/weighted_draw.h"

namespace datapunk::mesh::balance {

class WeightedRoundRobinPicker {
  public:
    // Steps that building the exact period may cost, turns x candidates: about 0.1 ms.
    static constexpr std::uint64_t kPeriodStepsMax = std::uint64_t{1} << 17U;

    explicit WeightedRoundRobinPicker(std::vector<Candidate> candidates);

    std::optional<std::uint32_t> pick(const PickQuery& query, PickState& state) const noexcept;

  private:
    std::uint32_t next(PickState& state) const noexcept;

    std::vector<Candidate> candidates_;
    std::vector<std::uint32_t> turns_;  // one period; empty = rotate
    WeightedDraw draw_;
};

}  // namespace datapunk::mesh::balance
