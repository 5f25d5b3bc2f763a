#include "balance/custom.h"

#include "balance/peak_ewma.h"

namespace datapunk::mesh::balance {
namespace {

class CandidatesOfPick final : public PickCandidates {
  public:
    CandidatesOfPick(std::span<const Candidate> candidates, const PickQuery& query) noexcept
        : candidates_(candidates), query_(query) {}

    std::size_t size() const noexcept override { return candidates_.size(); }

    const ServiceEndpoint& endpoint(std::size_t i) const noexcept override {
        return *candidates_[i].endpoint;
    }

    std::uint32_t weight(std::size_t i) const noexcept override { return candidates_[i].weight; }

    std::uint32_t in_flight(std::size_t i) const noexcept override {
        return candidates_[i].load->in_flight.load(std::memory_order_relaxed);
    }

    Duration latency(std::size_t i) const noexcept override {
        static constexpr PeakEwma kAveraging{.initial = Duration::zero()};
        return expected_latency(*candidates_[i].load, kAveraging, query_.now);
    }

    bool is_excluded(std::size_t i) const noexcept override {
        return query_.excludes(candidates_[i].load);
    }

  private:
    std::span<const Candidate> candidates_;
    const PickQuery& query_;
};

}  // namespace

std::optional<std::uint32_t> CustomPicker::pick(const PickQuery& query, PickState& state)
    const noexcept {
    if (candidates_.empty()) return std::nullopt;
    const CandidatesOfPick seen(candidates_, query);
    std::optional<std::size_t> chosen;
    try {
        chosen = config_.balancer->pick(
            seen, {.now = query.now, .hash = query.hash, .random = state.rng()}
        );
    } catch (...) {  // the user's; a call must not end for it
        chosen.reset();
    }
    if (chosen && *chosen < candidates_.size() && !query.excludes(candidates_[*chosen].load)) {
        return static_cast<std::uint32_t>(*chosen);
    }
    return scan_by_weight(candidates_, query, state.rng);
}

}  // namespace datapunk::mesh::balance
