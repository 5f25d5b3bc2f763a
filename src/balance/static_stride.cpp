#include "balance/static_stride.h"

#include <cmath>

namespace datapunk::mesh::balance {
namespace {

constexpr std::uint32_t kStrideMax = 65'535;
// Where in their strides neighbours stand apart, so that light ones do not all pass together.
constexpr std::uint64_t kOffset = kStrideMax / 2;
constexpr double kMostOfMean = 10;
constexpr double kLeastOfMean = 0.01;
// Turns looked at before the exact way: with the heaviest ten times the mean, ten are expected.
constexpr int kTurnsMax = 128;

}  // namespace

StaticStridePicker::StaticStridePicker(std::vector<Candidate> candidates)
    : candidates_(std::move(candidates)) {
    if (candidates_.empty()) return;
    const bool all_equal =
        std::all_of(candidates_.begin(), candidates_.end(), [this](const Candidate& c) {
            return c.weight == candidates_[0].weight;
        });
    if (all_equal) return;
    double sum = 0;
    double most = 0;
    for (const Candidate& c : candidates_) {
        sum += c.weight;
        most = std::max(most, static_cast<double>(c.weight));
    }
    const double mean = sum / static_cast<double>(candidates_.size());
    most = std::min(most, mean * kMostOfMean);
    weights_.reserve(candidates_.size());
    for (const Candidate& c : candidates_) {
        const double weight = std::clamp(static_cast<double>(c.weight), mean * kLeastOfMean, most);
        weights_.push_back(
            static_cast<std::uint16_t>(std::max(1.0, std::round(weight / most * kStrideMax)))
        );
    }
}

bool StaticStridePicker::takes(std::uint32_t index, std::uint64_t turn) const noexcept {
    if (weights_.empty()) return true;
    const std::uint64_t weight = weights_[index];
    return (weight * turn + index * kOffset) % kStrideMax >= kStrideMax - weight;
}

std::optional<std::uint32_t> StaticStridePicker::pick(const PickQuery& query, PickState& state)
    const noexcept {
    const auto size = static_cast<std::uint32_t>(candidates_.size());
    if (size == 0) return std::nullopt;
    // 32 bits, so that weight x turn cannot overflow.
    auto sequence = static_cast<std::uint32_t>(state.cursor);
    for (int left = kTurnsMax; left > 0; --left) {
        const std::uint32_t index = sequence % size;
        const std::uint32_t turn = sequence / size;
        ++sequence;
        if (!takes(index, turn) || query.excludes(candidates_[index].load)) continue;
        state.cursor = sequence;
        return index;
    }
    state.cursor = sequence;
    return scan_by_weight(candidates_, query, state.rng);
}

}  // namespace datapunk::mesh::balance
