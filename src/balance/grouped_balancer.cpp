#include "balance/grouped_balancer.h"

#include <utility>

#include "balance/hashing.h"

namespace datapunk::mesh::balance {
namespace {

// So that a call's group and its place within the group are chosen independently.
constexpr std::uint64_t kGroupSalt = 0x6d657368;

}  // namespace

GroupedBalancer::GroupedBalancer(const BalanceConfig& config, std::vector<Group> groups)
    : first_(config, {}) {
    places_.reserve(groups.size());
    std::uint32_t offset = 0;
    double until = 0;
    for (Group& group : groups) {
        const auto size = static_cast<std::uint32_t>(group.candidates.size());
        until += group.share;
        Balancer balancer(config, std::move(group.candidates));
        if (places_.empty()) {
            first_ = std::move(balancer);
        } else {
            others_.push_back(std::move(balancer));
        }
        places_.push_back({.offset = offset, .until = until, .share = group.share});
        offset += size;
    }
}

std::optional<std::uint32_t> GroupedBalancer::pick_from(
    std::size_t group, const PickQuery& query, PickState& state
) const noexcept {
    // Whoever goes in turns has a turn in each group.
    std::uint64_t& cursor = state.group_cursors[group % state.group_cursors.size()];
    std::swap(state.cursor, cursor);
    PickQuery within = query;
    // A bounded load is of the group's part of the calls.
    within.in_flight =
        static_cast<std::uint64_t>(static_cast<double>(query.in_flight) * places_[group].share);
    const Balancer& balancer = group == 0 ? first_ : others_[group - 1];
    const auto index = balancer.pick(within, state);
    std::swap(state.cursor, cursor);
    if (!index) return std::nullopt;
    return places_[group].offset + *index;
}

std::optional<std::uint32_t> GroupedBalancer::pick_group(const PickQuery& query, PickState& state)
    const noexcept {
    if (places_.empty()) return std::nullopt;
    const std::uint64_t luck = query.hash ? mix64(*query.hash, kGroupSalt) : state.rng();
    const double point = static_cast<double>(luck >> 11U) * 0x1.0p-53 * places_.back().until;
    std::size_t chosen = 0;
    while (chosen + 1 < places_.size() && point >= places_[chosen].until) ++chosen;
    auto index = pick_from(chosen, query, state);
    for (std::size_t other = 0; !index && other < places_.size(); ++other) {
        if (other != chosen) index = pick_from(other, query, state);
    }
    return index;
}

}  // namespace datapunk::mesh::balance
