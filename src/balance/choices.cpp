#include "balance/choices.h"

namespace datapunk::mesh::balance {

std::vector<ChoiceRow> choice_rows(std::span<const Candidate> candidates) {
    std::vector<ChoiceRow> rows;
    rows.reserve(candidates.size());
    for (const Candidate& c : candidates) rows.push_back({.load = c.load, .weight = c.weight});
    return rows;
}

std::uint32_t scan_for_choices(
    std::span<const ChoiceRow> candidates,
    const PickQuery& query,
    core::Rng& rng,
    std::span<std::uint32_t> chosen
) noexcept {
    std::uint64_t seen = 0;
    for (std::uint32_t i = 0; i < candidates.size(); ++i) {
        if (query.excludes(candidates[i].load)) continue;
        const std::uint64_t place = seen < chosen.size() ? seen : rng.below(seen + 1);
        if (place < chosen.size()) chosen[place] = i;
        ++seen;
    }
    const auto count = static_cast<std::uint32_t>(std::min<std::uint64_t>(seen, chosen.size()));
    // The reservoir keeps early candidates in early places; the first place wins ties.
    if (count > 1) std::swap(chosen[0], chosen[rng.below(count)]);
    return count;
}

}  // namespace datapunk::mesh::balance
