#include "balance/peak_ewma.h"

#include <cmath>

#include "balance/choices.h"

namespace datapunk::mesh::balance {
namespace {

// Of an unknown endpoint that is being probed: worse than any known one, better the fewer probes.
constexpr double kProbedCost = 1e15;

// e^-x, x >= 0. Most reads come soon after the last answer; three terms are exact to 1e-5 there, at
// an eighth of exp()'s price.
double decay_factor(double x) noexcept {
    if (x < 0.03) return 1 - x + x * x * 0.5;
    return std::exp(-x);
}

double elapsed_ns(const EndpointLoad& load, Instant now) noexcept {
    const std::int64_t elapsed =
        now.time_since_epoch().count() - load.latency_at.load(std::memory_order_relaxed);
    return elapsed > 0 ? static_cast<double>(elapsed) : 0;  // another thread's now may be ahead
}

double ns(Duration duration) noexcept {
    return static_cast<double>(duration.count());
}

}  // namespace

void record_answer(
    EndpointLoad& load, const PeakEwma& config, Duration latency, bool failed, Instant now
) noexcept {
    const double average = load.latency_ns.load(std::memory_order_relaxed);
    double sample = std::max(ns(latency), 1.0);
    if (failed) sample = std::max({sample, ns(kFailureLatencyMin), 2 * average});
    sample = std::min(sample, ns(kLatencyMax));

    double updated = sample;
    if (average > 0) {
        const double keep = decay_factor(elapsed_ns(load, now) / ns(config.decay));
        const double averaged = average * keep + sample * (1 - keep);
        const double peak =
            std::min(std::min(ns(latency), ns(kLatencyMax)), average * kPeakRiseMax);
        updated = std::max(averaged, peak);
    }
    load.latency_ns.store(updated, std::memory_order_relaxed);
    load.latency_at.store(now.time_since_epoch().count(), std::memory_order_relaxed);
}

Duration expected_latency(const EndpointLoad& load, const PeakEwma& config, Instant now) noexcept {
    const double average = load.latency_ns.load(std::memory_order_relaxed);
    if (average == 0) return config.initial;
    return Duration(
        static_cast<std::int64_t>(average * decay_factor(elapsed_ns(load, now) / ns(config.decay)))
    );
}

PeakEwmaPicker::PeakEwmaPicker(const PeakEwma& config, std::vector<Candidate> candidates)
    : per_decay_(1 / ns(config.decay)),
      choices_(std::clamp<std::uint32_t>(config.choices, 1, kChoicesMax)),
      candidates_(std::move(candidates)),
      draw_(candidates_) {
    if (candidates_.empty()) return;
    double sum = 0;
    for (const Candidate& c : candidates_) sum += c.weight;
    mean_weight_ = sum / static_cast<double>(candidates_.size());
}

double PeakEwmaPicker::weighted_cost(const Candidate& candidate, Instant now) const noexcept {
    const EndpointLoad& load = *candidate.load;
    const auto in_flight = static_cast<double>(load.in_flight.load(std::memory_order_relaxed));
    const double average = load.latency_ns.load(std::memory_order_relaxed);
    const double calls = in_flight * mean_weight_ + candidate.weight;
    if (average == 0) return in_flight == 0 ? 0 : kProbedCost * calls;
    return average * decay_factor(elapsed_ns(load, now) * per_decay_) * calls;
}

std::optional<std::uint32_t> PeakEwmaPicker::pick(const PickQuery& query, PickState& state)
    const noexcept {
    // cost = weighted_cost / weight, compared without dividing.
    const auto cheaper = [&](const Candidate& a, const Candidate& b) {
        return weighted_cost(a, query.now) * b.weight < weighted_cost(b, query.now) * a.weight;
    };
    return best_of(candidates_, draw_, choices_, query, state.rng, cheaper);
}

}  // namespace datapunk::mesh::balance
