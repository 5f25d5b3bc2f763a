#include "balance/least_request.h"

#include "balance/choices.h"

namespace datapunk::mesh::balance {

LeastRequestPicker::LeastRequestPicker(
    const LeastRequest& config, std::span<const Candidate> candidates
)
    : choices_(std::clamp<std::uint32_t>(config.choices, 1, kChoicesMax)),
      candidates_(choice_rows(candidates)),
      draw_(candidates) {}

std::optional<std::uint32_t> LeastRequestPicker::pick(const PickQuery& query, PickState& state)
    const noexcept {
    const auto less_loaded = [](const ChoiceRow& a, const ChoiceRow& b) {
        // in_flight / weight, compared without dividing.
        const std::uint64_t a_load = a.load->in_flight.load(std::memory_order_relaxed);
        const std::uint64_t b_load = b.load->in_flight.load(std::memory_order_relaxed);
        return a_load * b.weight < b_load * a.weight;
    };
    return best_of(candidates_, draw_, choices_, query, state, less_loaded);
}

}  // namespace datapunk::mesh::balance
