#include "balance/random.h"

namespace datapunk::mesh::balance {

std::optional<std::uint32_t> RandomPicker::pick(const PickQuery& query, PickState& state)
    const noexcept {
    if (candidates_.empty()) return std::nullopt;
    for (int i = 0; i < kDrawsMax; ++i) {
        const std::uint32_t drawn = draw_.at(state.rng());
        if (!query.excludes(candidates_[drawn].load)) return drawn;
    }
    return scan_by_weight(candidates_, query, state.rng);
}

}  // namespace datapunk::mesh::balance
