#include "balance/peak_ewma.h"

#include <cmath>

#include "balance/choices.h"

namespace datapunk::mesh::balance {
namespace {

// Of an unknown endpoint that is being probed: worse than any known one, better the fewer probes.
constexpr double kProbedCost = 1e15;

// Latency averages that ride on peaks differ by half among equals. Followed to the digit, they
// would send a fifth more to one endpoint than to another.
constexpr double kLatencyTolerance = 2;

// The best of the drawn costs so many times what picks cost lately: all drawn are bad ones, and
// this many are drawn anew before one of them gets the call.
constexpr double kSuspiciousCost = 2;
constexpr std::uint32_t kMoreChoices = 6;
constexpr double kTypicalGain = 1.0 / 32;

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

double PeakEwmaPicker::decayed_latency(const EndpointLoad& load, Instant now) const noexcept {
    const double average = load.latency_ns.load(std::memory_order_relaxed);
    return average == 0 ? 0 : average * decay_factor(elapsed_ns(load, now) * per_decay_);
}

double PeakEwmaPicker::weighted_cost(const Candidate& candidate, double latency) const noexcept {
    const auto in_flight =
        static_cast<double>(candidate.load->in_flight.load(std::memory_order_relaxed));
    const double calls = in_flight * mean_weight_ + candidate.weight;
    if (latency == 0) return in_flight == 0 ? 0 : kProbedCost * calls;
    return latency * calls;
}

double PeakEwmaPicker::cost_of(const Candidate& candidate, Instant now) const noexcept {
    return weighted_cost(candidate, decayed_latency(*candidate.load, now)) / candidate.weight;
}

// Within kLatencyTolerance of each other latencies say nothing, and the fewer calls in flight win.
bool PeakEwmaPicker::is_better(const Candidate& a, const Candidate& b, Instant now) const noexcept {
    const double latency_a = decayed_latency(*a.load, now);
    const double latency_b = decayed_latency(*b.load, now);
    if (latency_a > 0 && latency_b > 0 && latency_a < kLatencyTolerance * latency_b &&
        latency_b < kLatencyTolerance * latency_a) {
        const auto calls = [](const Candidate& c) {
            return std::uint64_t{c.load->in_flight.load(std::memory_order_relaxed)};
        };
        return calls(a) * b.weight < calls(b) * a.weight;
    }
    return weighted_cost(a, latency_a) * b.weight < weighted_cost(b, latency_b) * a.weight;
}

std::optional<std::uint32_t> PeakEwmaPicker::pick(const PickQuery& query, PickState& state)
    const noexcept {
    const auto better = [&](const Candidate& a, const Candidate& b) {
        return is_better(a, b, query.now);
    };
    auto best = best_of(candidates_, draw_, choices_, query, state, better);
    if (!best) return best;
    double cost = cost_of(candidates_[*best], query.now);
    if (state.typical_cost > 0 && cost > kSuspiciousCost * state.typical_cost &&
        candidates_.size() > choices_) {
        const auto more =
            static_cast<std::uint32_t>(std::min<std::size_t>(candidates_.size(), kMoreChoices));
        const auto other = best_of_many(candidates_, draw_, more, query, state, better);
        if (other && better(candidates_[*other], candidates_[*best])) {
            best = other;
            cost = cost_of(candidates_[*best], query.now);
        }
    }
    if (cost > 0 && cost < kProbedCost) {
        const double most = kSuspiciousCost * state.typical_cost;
        if (state.typical_cost == 0) state.typical_cost = cost;
        state.typical_cost += (std::min(cost, most) - state.typical_cost) * kTypicalGain;
    }
    return best;
}

}  // namespace datapunk::mesh::balance
