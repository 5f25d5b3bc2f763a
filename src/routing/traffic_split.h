#pragma once

// TrafficSplit: shares of traffic among services by weight, by luck or by a key that sticks.
//
//   0        90  95     100 = sum of weights
//   ├─────────┼───┼───────┤      position = hash(key) / 2^64 x sum, the same in every process
//       v1     v2    v3
//
// A key moves only if a boundary moves across its position: with 90/10 -> 80/20, a tenth of the
// keys move, all of them to v2. Thread rule: immutable value. Cost: O(log services).

#include <datapunk/mesh/result.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/rng.h"
#include "routing/route.h"

namespace datapunk::mesh::routing {

class TrafficSplit {
  public:
    // At most 100 services or subsets, none twice, weights up to 1000000, their sum above 0.
    static Result<TrafficSplit> create(const std::vector<WeightedService>& services);

    // A target_name() (route.h).
    const std::string& pick(core::Rng& rng) const noexcept;
    const std::string& pick(std::string_view key) const noexcept;
    // By the hash of a key.
    const std::string& pick(std::uint64_t hash) const noexcept;

    std::size_t size() const noexcept { return services_.size(); }

  private:
    explicit TrafficSplit(const std::vector<WeightedService>& services);

    const std::string& at(std::uint64_t position) const noexcept;

    std::vector<std::string> services_;  // target_name()s of those with a weight
    std::vector<std::uint64_t> ends_;    // running sums of the weights
};

}  // namespace datapunk::mesh::routing
