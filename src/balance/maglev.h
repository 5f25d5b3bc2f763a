#pragma once

// Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4): every endpoint fills a table of prime
// size in an order of its own, in turns by weight; a call's hash is an index into it. Shares are
// equal to within n / size, more exactly than a ring's, and a pick is one look-up; when an endpoint
// goes, a few per cent of the others' calls may move as well.
//
// An excluded or full endpoint's calls are spread over the others by rendezvous(). A call without a
// hash gets a random one.
//
// Immutable value. pick: O(1); built in O(size log size), about 1 ms.

#include <datapunk/mesh/policy.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "balance/candidate.h"
#include "balance/hashing.h"

namespace datapunk::mesh::balance {

class MaglevPicker {
  public:
    MaglevPicker(const Maglev& config, std::vector<Candidate> candidates);

    std::optional<std::uint32_t> pick(const PickQuery& query, PickState& state) const noexcept;

    const std::vector<std::uint32_t>& table() const noexcept { return table_; }

  private:
    std::vector<Candidate> candidates_;
    LoadBound bound_;
    std::vector<std::uint32_t> table_;
};

}  // namespace datapunk::mesh::balance
