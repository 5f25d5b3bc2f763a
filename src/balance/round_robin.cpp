#include "balance/round_robin.h"

namespace datapunk::mesh::balance {

std::optional<std::uint32_t> RoundRobinPicker::pick(const PickQuery& query, PickState& state)
    const noexcept {
    const auto size = static_cast<std::uint32_t>(candidates_.size());
    if (size == 0) return std::nullopt;
    // 32 bits: their remainder is several times cheaper, and they outlast any turn.
    std::uint32_t at = static_cast<std::uint32_t>(state.cursor) % size;
    for (std::uint32_t left = size; left > 0; --left) {
        const std::uint32_t here = at;
        at = at + 1 == size ? 0 : at + 1;
        if (query.excludes(candidates_[here].load)) continue;
        state.cursor = at;
        return here;
    }
    return std::nullopt;
}

}  // namespace datapunk::mesh::balance
