#include "balance/balancer.h"

#include <type_traits>

namespace datapunk::mesh::balance {

Balancer::Balancer(const BalanceConfig& config, std::vector<Candidate> candidates)
    : picker_(make(config, std::move(candidates))) {}

Balancer::Picker Balancer::make(const BalanceConfig& config, std::vector<Candidate> candidates) {
    return std::visit(
        [&](const auto& chosen) -> Picker {
            using Config = std::decay_t<decltype(chosen)>;
            if constexpr (std::is_same_v<Config, PeakEwma>) {
                return PeakEwmaPicker(chosen, candidates);
            } else if constexpr (std::is_same_v<Config, LeastRequest>) {
                return LeastRequestPicker(chosen, candidates);
            } else if constexpr (std::is_same_v<Config, Adaptive>) {
                return PeakEwmaPicker(PeakEwma{}, candidates);
            } else if constexpr (std::is_same_v<Config, StaticStride> ||
                                 std::is_same_v<Config, WeightedResponseTime> ||
                                 std::is_same_v<Config, ReportedLoad>) {
                return StaticStridePicker(std::move(candidates));
            } else if constexpr (std::is_same_v<Config, CustomBalance>) {
                return CustomPicker(chosen, std::move(candidates));
            } else if constexpr (std::is_same_v<Config, Random>) {
                return RandomPicker(std::move(candidates));
            } else if constexpr (std::is_same_v<Config, RingHash>) {
                return RingHashPicker(chosen, std::move(candidates));
            } else if constexpr (std::is_same_v<Config, Maglev>) {
                return MaglevPicker(chosen, std::move(candidates));
            } else if constexpr (std::is_same_v<Config, WeightedRoundRobin>) {
                return WeightedRoundRobinPicker(std::move(candidates));
            } else {
                return RoundRobinPicker(std::move(candidates));
            }
        },
        config
    );
}

std::optional<std::uint32_t> Balancer::pick(const PickQuery& query, PickState& state)
    const noexcept {
    return std::visit([&](const auto& picker) { return picker.pick(query, state); }, picker_);
}

}  // namespace datapunk::mesh::balance
