#pragma once

// CustomPicker: asks an algorithm of the user's (CustomBalancer in balancing.h). Whatever it
// answers, what balancer.h promises holds: an excluded answer, one out of range, none or an
// exception is replaced by a draw by weight. One virtual call, and what the user's code costs.
// Immutable value.

#include <datapunk/mesh/balancing.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "balance/candidate.h"

namespace datapunk::mesh::balance {

class CustomPicker {
  public:
    CustomPicker(CustomBalance config, std::vector<Candidate> candidates)
        : config_(std::move(config)), candidates_(std::move(candidates)) {}

    std::optional<std::uint32_t> pick(const PickQuery& query, PickState& state) const noexcept;

  private:
    CustomBalance config_;
    std::vector<Candidate> candidates_;  // with their endpoints
};

}  // namespace datapunk::mesh::balance
