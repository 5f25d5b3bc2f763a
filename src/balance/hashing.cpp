#include "balance/hashing.h"

#include <cmath>

namespace datapunk::mesh::balance {
namespace {

// Weighted rendezvous (Schindelhauer, Schomaker 2005): the highest -weight / ln(u) wins.
double score(const Candidate& candidate, std::uint64_t hash) noexcept {
    const std::uint64_t mixed = mix64(candidate.key, hash);
    const double u = (static_cast<double>(mixed >> 11U) + 0.5) * 0x1.0p-53;
    return -static_cast<double>(candidate.weight) / std::log(u);
}

}  // namespace

std::optional<std::uint32_t> rendezvous(
    std::span<const Candidate> candidates,
    const PickQuery& query,
    std::uint64_t hash,
    const LoadBound& bound
) noexcept {
    std::optional<std::uint32_t> best;
    double best_score = 0;
    bool best_is_full = true;
    for (std::uint32_t i = 0; i < candidates.size(); ++i) {
        const Candidate& candidate = candidates[i];
        if (query.excludes(candidate.load)) continue;
        const bool full = bound.is_full(candidate, query);
        if (full && !best_is_full) continue;
        const double own = score(candidate, hash);
        if (best && full == best_is_full && own <= best_score) continue;
        best = i;
        best_score = own;
        best_is_full = full;
    }
    return best;
}

}  // namespace datapunk::mesh::balance
