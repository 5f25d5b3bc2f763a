#pragma once

// Round robin: everyone in turn, weights ignored. The cursor is the caller's (PickState), so that
// threads share nothing; it moves past excluded candidates, so that the neighbour of an excluded
// one does not get its turns. O(1 + excluded in a row). Immutable value.

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "balance/candidate.h"

namespace datapunk::mesh::balance {

class RoundRobinPicker {
  public:
    explicit RoundRobinPicker(std::vector<Candidate> candidates)
        : candidates_(std::move(candidates)) {}

    std::optional<std::uint32_t> pick(const PickQuery& query, PickState& state) const noexcept;

  private:
    std::vector<Candidate> candidates_;
};

}  // namespace datapunk::mesh::balance
