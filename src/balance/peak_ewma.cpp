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

    const double calls = std::max<double>(1, load.in_flight.load(std::memory_order_relaxed));
    double usual = calls;
    double updated = sample;
    if (average > 0) {
        const double keep = decay_factor(elapsed_ns(load, now) / ns(config.decay));
        const double averaged = average * keep + sample * (1 - keep);
        const double peak =
            std::min(std::min(ns(latency), ns(kLatencyMax)), average * kPeakRiseMax);
        updated = std::max(averaged, peak);
        // A peak is of the calls that there were with it.
        if (averaged >= peak) {
            usual = load.usual_calls.load(std::memory_order_relaxed) * keep + calls * (1 - keep);
        }
    }
    load.usual_calls.store(static_cast<float>(usual), std::memory_order_relaxed);
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

PeakEwmaPicker::PeakEwmaPicker(const PeakEwma& config, std::span<const Candidate> candidates)
    : per_decay_(1 / ns(config.decay)),
      choices_(std::clamp<std::uint32_t>(config.choices, 1, kChoicesMax)),
      candidates_(choice_rows(candidates)),
      draw_(candidates) {
    if (candidates_.empty()) return;
    double sum = 0;
    for (const ChoiceRow& c : candidates_) sum += c.weight;
    mean_weight_ = sum / static_cast<double>(candidates_.size());
}

PeakEwmaPicker::Seen PeakEwmaPicker::see(const ChoiceRow& candidate, Instant now) const noexcept {
    const EndpointLoad& load = *candidate.load;
    const double average = load.latency_ns.load(std::memory_order_relaxed);
    return {
        .latency = average == 0 ? 0 : average * decay_factor(elapsed_ns(load, now) * per_decay_),
        .usual_calls = load.usual_calls.load(std::memory_order_relaxed),
        .in_flight = load.in_flight.load(std::memory_order_relaxed),
        .weight = candidate.weight
    };
}

// In flight is counted per weight. With no more calls than its average is of, an endpoint is as
// fast as that says; with more, slower in proportion.
double PeakEwmaPicker::cost(const Seen& seen) const noexcept {
    const double in_flight = seen.in_flight;
    if (seen.latency == 0) return seen.in_flight == 0 ? 0 : kProbedCost * (1 + in_flight);
    if (in_flight + 1 <= seen.usual_calls) return seen.latency;
    const double weight = seen.weight;
    return seen.latency * (in_flight * mean_weight_ + weight) /
           ((seen.usual_calls - 1) * mean_weight_ + weight);
}

// Within kLatencyTolerance of each other latencies say nothing, and the fewer calls in flight win.
bool PeakEwmaPicker::is_better(const Seen& a, const Seen& b) const noexcept {
    if (a.latency > 0 && b.latency > 0 && a.latency < kLatencyTolerance * b.latency &&
        b.latency < kLatencyTolerance * a.latency) {
        return std::uint64_t{a.in_flight} * b.weight < std::uint64_t{b.in_flight} * a.weight;
    }
    return cost(a) < cost(b);
}

std::optional<std::uint32_t> PeakEwmaPicker::best_of_drawn(
    std::uint32_t choices, const PickQuery& query, PickState& state
) const noexcept {
    const auto better = [&](const ChoiceRow& a, const ChoiceRow& b) {
        return is_better(see(a, query.now), see(b, query.now));
    };
    return best_of_many(candidates_, draw_, choices, query, state, better);
}

std::optional<std::uint32_t> PeakEwmaPicker::pick(const PickQuery& query, PickState& state)
    const noexcept {
    const auto size = static_cast<std::uint32_t>(candidates_.size());
    if (size == 0) return std::nullopt;
    // Two included ones at the first draw are the usual case: each is looked at once.
    if (choices_ == 2 && size > 1) [[likely]] {
        const Two two = draw_two(draw_, size, state.rng);
        const ChoiceRow& first = candidates_[two.first];
        const ChoiceRow& second = candidates_[two.second];
        if (!query.excludes(first.load) && !query.excludes(second.load)) [[likely]] {
            state.note_compared(first.load);
            state.note_compared(second.load);
            const Seen a = see(first, query.now);
            const Seen b = see(second, query.now);
            if (is_better(b, a)) return settle(two.second, b, query, state);
            return settle(two.first, a, query, state);
        }
    }
    const auto best = best_of_drawn(std::min(choices_, size), query, state);
    if (!best) return best;
    return settle(*best, see(candidates_[*best], query.now), query, state);
}

// The best of the drawn, or if that looks bad the best of more; and what picks cost lately.
std::uint32_t PeakEwmaPicker::settle(
    std::uint32_t best, const Seen& seen, const PickQuery& query, PickState& state
) const noexcept {
    double best_cost = cost(seen);
    if (state.typical_cost > 0 && best_cost > kSuspiciousCost * state.typical_cost &&
        candidates_.size() > choices_) [[unlikely]] {
        const auto size = static_cast<std::uint32_t>(candidates_.size());
        const std::uint32_t choices = std::min(std::max(choices_, kMoreChoices), size);
        const auto other = best_of_drawn(choices, query, state);
        if (other && is_better(see(candidates_[*other], query.now), seen)) {
            best = *other;
            best_cost = cost(see(candidates_[best], query.now));
        }
    }
    if (best_cost > 0 && best_cost < kProbedCost) {
        const double most = kSuspiciousCost * state.typical_cost;
        if (state.typical_cost == 0) state.typical_cost = best_cost;
        state.typical_cost += (std::min(best_cost, most) - state.typical_cost) * kTypicalGain;
    }
    return best;
}

}  // namespace datapunk::mesh::balance
