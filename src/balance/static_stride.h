#pragma once

// Static stride (gRPC proposal A58, static_stride_scheduler.cc): round robin over everyone, in
// which an endpoint of weight w lets a part 1 - w / max of its turns pass, as evenly spread as
// integers allow. Needs nothing but the caller's cursor, is built in O(n), and so suits weights
// that change every second. Weights are kept between a hundredth and ten times their mean: an
// outlier neither starves nor makes the others' turns rare.
//
// Invariants: over any max turns of everyone, endpoint i is picked w_i times, give or take one;
// equal weights are plain round robin. An excluded endpoint's turns pass; its neighbour does not
// get them.
//
// O(1): at most ten turns pass on average, then one is taken. Immutable value.

#include <cstdint>
#include <optional>
#include <vector>

#include "balance/candidate.h"

namespace datapunk::mesh::balance {

class StaticStridePicker {
  public:
    explicit StaticStridePicker(std::vector<Candidate> candidates);

    std::optional<std::uint32_t> pick(const PickQuery& query, PickState& state) const noexcept;

  private:
    bool takes(std::uint32_t index, std::uint64_t turn) const noexcept;

    std::vector<Candidate> candidates_;
    std::vector<std::uint16_t> weights_;  // the heaviest kStrideMax; empty = all are equal
};

}  // namespace datapunk::mesh::balance
