#pragma once

// The power of d choices (Mitzenmacher 2001), shared by least request and peak EWMA: draw d
// different included candidates by weight, keep the best. O(d); O(n) when so many are excluded that
// drawing keeps missing. The draw honours the weights, so that among equals the first drawn wins
// and idle endpoints still get their shares.

#include <array>
#include <span>
#include <vector>

#include "balance/candidate.h"
#include "balance/weighted_draw.h"

namespace datapunk::mesh::balance {

inline constexpr std::uint32_t kChoicesMax = 64;

// What choosing looks at of a candidate: half of its size, so that of ten thousand more stay in the
// cache.
struct ChoiceRow {
    const EndpointLoad* load = nullptr;
    std::uint32_t weight = 1;
};

std::vector<ChoiceRow> choice_rows(std::span<const Candidate> candidates);

// A reservoir of up to `choices` included candidates, every subset equally likely. O(n).
std::uint32_t scan_for_choices(
    std::span<const ChoiceRow> candidates,
    const PickQuery& query,
    core::Rng& rng,
    std::span<std::uint32_t> chosen
) noexcept;

// better(a, b): whether candidate a must be preferred to b. Deterministic; ties are false.
template <class Better>
std::optional<std::uint32_t> best_of_many(
    std::span<const ChoiceRow> candidates,
    const WeightedDraw& draw,
    std::uint32_t choices,
    const PickQuery& query,
    PickState& state,
    const Better& better
) noexcept {
    if (candidates.size() == 1) {  // the service beside a sidecar: there is nothing to draw
        if (query.excludes(candidates[0].load)) return std::nullopt;
        state.note_compared(candidates[0].load);
        return 0;
    }
    std::array<std::uint32_t, kChoicesMax> drawn;
    std::uint32_t count = 0;
    for (std::uint32_t left = choices + kDrawsMax; left > 0 && count < choices; --left) {
        const std::uint32_t one = draw.at(state.rng());
        const auto end = drawn.begin() + count;
        if (std::find(drawn.begin(), end, one) != end) continue;
        if (!query.excludes(candidates[one].load)) drawn[count++] = one;
    }
    if (count < 2) {
        count = scan_for_choices(candidates, query, state.rng, std::span(drawn).first(choices));
        if (count == 0) return std::nullopt;
    }
    std::uint32_t best = drawn[0];
    state.note_compared(candidates[best].load);
    for (std::uint32_t i = 1; i < count; ++i) {
        state.note_compared(candidates[drawn[i]].load);
        if (better(candidates[drawn[i]], candidates[best])) best = drawn[i];
    }
    return best;
}

// Two candidates of at least as many, different ones.
struct Two {
    std::uint32_t first;
    std::uint32_t second;
};

inline Two draw_two(const WeightedDraw& draw, std::uint32_t size, core::Rng& rng) noexcept {
    const std::uint32_t first = draw.at(rng());
    std::uint32_t second = draw.at(rng());
    // The same twice is common in a small table; its neighbour is as good as any.
    if (first == second) second = second + 1 == size ? 0 : second + 1;
    return {first, second};
}

// best_of_many(); two included ones at the first draw, the usual case, take the short way.
template <class Better>
std::optional<std::uint32_t> best_of(
    std::span<const ChoiceRow> candidates,
    const WeightedDraw& draw,
    std::uint32_t choices,
    const PickQuery& query,
    PickState& state,
    const Better& better
) noexcept {
    const auto size = static_cast<std::uint32_t>(candidates.size());
    if (size == 0) return std::nullopt;
    if (choices == 2 && size > 1) {
        const Two two = draw_two(draw, size, state.rng);
        const ChoiceRow& first = candidates[two.first];
        const ChoiceRow& second = candidates[two.second];
        if (!query.excludes(first.load) && !query.excludes(second.load)) {
            state.note_compared(first.load);
            state.note_compared(second.load);
            return better(second, first) ? two.second : two.first;
        }
    }
    return best_of_many(candidates, draw, std::min(choices, size), query, state, better);
}

}  // namespace datapunk::mesh::balance
