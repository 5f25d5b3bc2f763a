#include "balance/weighted_draw.h"

namespace datapunk::mesh::balance {

WeightedDraw::WeightedDraw(std::span<const Candidate> candidates) : size_(candidates.size()) {
    std::uint64_t sum = 0;
    for (const Candidate& c : candidates) sum += c.weight;
    const bool all_equal = std::all_of(candidates.begin(), candidates.end(), [&](const auto& c) {
        return c.weight == candidates[0].weight;
    });
    if (all_equal) return;

    // In units of 1 / (n x sum): a bucket holds `sum` of them, an endpoint owns weight x n.
    std::vector<std::uint64_t> share(size_);
    std::vector<std::uint32_t> small;
    std::vector<std::uint32_t> large;
    for (std::uint32_t i = 0; i < size_; ++i) {
        share[i] = candidates[i].weight * size_;
        (share[i] < sum ? small : large).push_back(i);
    }
    buckets_.resize(size_);
    while (!small.empty() && !large.empty()) {
        const std::uint32_t low = small.back();
        const std::uint32_t high = large.back();
        small.pop_back();
        const double kept = static_cast<double>(share[low]) / static_cast<double>(sum);
        buckets_[low] = {.keep = static_cast<std::uint64_t>(kept * 0x1.0p64), .alias = high};
        share[high] -= sum - share[low];
        if (share[high] < sum) {
            large.pop_back();
            small.push_back(high);
        }
    }
}

}  // namespace datapunk::mesh::balance
