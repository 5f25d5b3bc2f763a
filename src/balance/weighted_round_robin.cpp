#include "balance/weighted_round_robin.h"

#include <numeric>

namespace datapunk::mesh::balance {
namespace {

constexpr std::uint64_t kGoldenRatio = 0x9e3779b97f4a7c15U;  // 2^64 / phi

// nginx's round: everyone gains its weight, the richest has the turn and pays the total.
std::vector<std::uint32_t> smooth_turns(std::span<const Candidate> candidates) {
    std::uint64_t total = 0;
    std::uint64_t divisor = 0;
    for (const Candidate& c : candidates) {
        total += c.weight;
        divisor = std::gcd(divisor, std::uint64_t{c.weight});
    }
    const std::uint64_t period = divisor == 0 ? 0 : total / divisor;
    std::vector<std::uint32_t> turns;
    if (period * candidates.size() > WeightedRoundRobinPicker::kPeriodStepsMax) return turns;

    std::vector<std::int64_t> credit(candidates.size());
    turns.reserve(period);
    while (turns.size() < period) {
        std::uint32_t richest = 0;
        for (std::uint32_t i = 0; i < candidates.size(); ++i) {
            credit[i] += candidates[i].weight;
            if (credit[i] > credit[richest]) richest = i;
        }
        credit[richest] -= static_cast<std::int64_t>(total);
        turns.push_back(richest);
    }
    return turns;
}

}  // namespace

WeightedRoundRobinPicker::WeightedRoundRobinPicker(std::vector<Candidate> candidates)
    : candidates_(std::move(candidates)), turns_(smooth_turns(candidates_)), draw_(candidates_) {}

std::uint32_t WeightedRoundRobinPicker::next(PickState& state) const noexcept {
    if (turns_.empty()) return draw_.at(state.cursor += kGoldenRatio);
    const auto at =
        static_cast<std::uint32_t>(state.cursor) % static_cast<std::uint32_t>(turns_.size());
    state.cursor = at + 1;
    return turns_[at];
}

std::optional<std::uint32_t> WeightedRoundRobinPicker::pick(
    const PickQuery& query, PickState& state
) const noexcept {
    if (candidates_.empty()) return std::nullopt;
    for (int i = 0; i < kDrawsMax; ++i) {
        const std::uint32_t turn = next(state);
        if (!query.excludes(candidates_[turn].load)) return turn;
    }
    return scan_by_weight(candidates_, query, state.rng);
}

}  // namespace datapunk::mesh::balance
