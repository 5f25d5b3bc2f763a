#pragma once

// WeightedDraw: maps a uniform 64-bit number to an index with probability by weight, in O(1).
// Vose's alias method (1991): n buckets of equal size, each split between its own index and one
// alias. Built in O(n). Immutable value.

#include <cstdint>
#include <span>
#include <vector>

#include "balance/candidate.h"

namespace datapunk::mesh::balance {

class WeightedDraw {
  public:
    explicit WeightedDraw(std::span<const Candidate> candidates);

    // `point` uniform over all of uint64; at least one candidate.
    std::uint32_t at(std::uint64_t point) const noexcept {
        __extension__ using Wide = unsigned __int128;
        const Wide scaled = static_cast<Wide>(point) * size_;
        const auto bucket = static_cast<std::uint32_t>(scaled >> 64U);
        if (buckets_.empty()) return bucket;
        const Bucket& b = buckets_[bucket];
        return static_cast<std::uint64_t>(scaled) <= b.keep ? bucket : b.alias;
    }

  private:
    struct Bucket {
        std::uint64_t keep = ~std::uint64_t{0};  // up to here the bucket's own index
        std::uint32_t alias = 0;
    };

    std::uint64_t size_;
    std::vector<Bucket> buckets_;  // empty if all weights are equal
};

}  // namespace datapunk::mesh::balance
