#pragma once

// Random: independent draws, probability by weight. O(1); O(n) only when eight draws in a row hit
// excluded candidates. Immutable value.

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "balance/candidate.h"
#include "balance/weighted_draw.h"

namespace datapunk::mesh::balance {

class RandomPicker {
  public:
    explicit RandomPicker(std::vector<Candidate> candidates)
        : candidates_(std::move(candidates)), draw_(candidates_) {}

    std::optional<std::uint32_t> pick(const PickQuery& query, PickState& state) const noexcept;

  private:
    std::vector<Candidate> candidates_;
    WeightedDraw draw_;
};

}  // namespace datapunk::mesh::balance
