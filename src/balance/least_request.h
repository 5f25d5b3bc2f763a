#pragma once

// Least request: of `choices` random candidates the one with the fewest calls in flight per weight.
// Good when calls differ in length; blind to an endpoint that fails fast (peak EWMA is not). O(d).
// Immutable value.

#include <datapunk/mesh/policy.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "balance/candidate.h"
#include "balance/choices.h"
#include "balance/weighted_draw.h"

namespace datapunk::mesh::balance {

class LeastRequestPicker {
  public:
    LeastRequestPicker(const LeastRequest& config, std::span<const Candidate> candidates);

    std::optional<std::uint32_t> pick(const PickQuery& query, PickState& state) const noexcept;

  private:
    std::uint32_t choices_;
    std::vector<ChoiceRow> candidates_;
    WeightedDraw draw_;
};

}  // namespace datapunk::mesh::balance
