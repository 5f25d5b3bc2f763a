#include "balance/candidate.h"

namespace datapunk::mesh::balance {

std::optional<std::uint32_t> scan_by_weight(
    std::span<const Candidate> candidates, const PickQuery& query, core::Rng& rng
) noexcept {
    // Reservoir of one: each included candidate takes the place with probability weight / sum.
    std::optional<std::uint32_t> chosen;
    std::uint64_t sum = 0;
    for (std::uint32_t i = 0; i < candidates.size(); ++i) {
        if (query.excludes(candidates[i].load)) continue;
        sum += candidates[i].weight;
        if (rng.below(sum) < candidates[i].weight) chosen = i;
    }
    return chosen;
}

}  // namespace datapunk::mesh::balance
