#include "balance/ring_hash.h"

#include <algorithm>
#include <cmath>

namespace datapunk::mesh::balance {

RingHashPicker::RingHashPicker(const RingHash& config, std::vector<Candidate> candidates)
    : candidates_(std::move(candidates)), bound_(config.bounded_load, candidates_) {
    if (candidates_.empty()) return;
    double weights = 0;
    for (const Candidate& c : candidates_) weights += c.weight;
    const std::uint64_t wanted = std::clamp<std::uint64_t>(
        candidates_.size() * kPointsEach,
        std::min<std::uint64_t>(config.points_min, kPointsMax),
        kPointsMax
    );
    ring_.reserve(wanted + candidates_.size());
    for (std::uint32_t i = 0; i < candidates_.size(); ++i) {
        const double share = candidates_[i].weight / weights;
        const auto own =
            static_cast<std::uint64_t>(std::llround(share * static_cast<double>(wanted)));
        for (std::uint64_t point = 0; point < std::max<std::uint64_t>(1, own); ++point) {
            ring_.push_back({.at = mix64(candidates_[i].key, point), .owner = i});
        }
    }
    // Equal points, should there be any, in an order that does not depend on the list's.
    std::sort(ring_.begin(), ring_.end(), [this](const Point& a, const Point& b) {
        return a.at != b.at ? a.at < b.at : candidates_[a.owner].key < candidates_[b.owner].key;
    });
}

std::optional<std::uint32_t> RingHashPicker::pick(const PickQuery& query, PickState& state)
    const noexcept {
    if (ring_.empty()) return std::nullopt;
    const std::uint64_t hash = query.hash ? mix64(*query.hash) : state.rng();
    auto at = std::lower_bound(
        ring_.begin(),
        ring_.end(),
        hash,
        [](const Point& point, std::uint64_t wanted) { return point.at < wanted; }
    );
    for (int step = 0; step < kStepsMax; ++step, ++at) {
        if (at == ring_.end()) at = ring_.begin();
        const Candidate& candidate = candidates_[at->owner];
        if (!query.excludes(candidate.load) && !bound_.is_full(candidate, query)) return at->owner;
    }
    return rendezvous(candidates_, query, hash, bound_);
}

}  // namespace datapunk::mesh::balance
