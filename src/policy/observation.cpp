// ServicePolicies, the writer's side: a look at every endpoint each tick. Forecasts of load,
// silence that becomes suspicious, how many endpoints are left.

#include <mutex>

#include "balance/peak_ewma.h"
#include "policy/observed.h"
#include "policy/service_policies.h"

namespace datapunk::mesh::policy {

namespace {

// Ticks come each second. After a longer gap it was this process that did not run, not the
// endpoints that did not answer.
constexpr Duration kOwnPause = std::chrono::seconds(3);

double seconds_of(Duration duration) {
    return std::chrono::duration<double>(duration).count();
}

}  // namespace

void ServicePolicies::observe(Instant now) {
    const bool is_after_pause = last_look_ != kNever && now - last_look_ > kOwnPause;
    last_look_ = now;
    std::size_t available = 0;
    for (std::size_t i = 0; i < cells_.size(); ++i) {
        Cell& cell = *cells_[i];
        if (cell.load.available(now) && cell.health != Health::critical) ++available;
        if (cell.observed == nullptr) {
            cell.observed = std::make_unique<Observed>(rules().forecast, rules().outlier);
        }
        if (rules().forecast.enabled) {
            const Duration latency =
                balance::expected_latency(cell.load, settings_.load()->call.averaging, now);
            cell.observed->latency.add(seconds_of(latency), now);
            cell.observed->in_flight.add(cell.load.in_flight.load(std::memory_order_relaxed), now);
        }
        if (cell.observed->silence != nullptr) listen(i, is_after_pause, now);
    }
    if (cells_.empty()) return;
    available_share_.add(static_cast<double>(available) / static_cast<double>(cells_.size()), now);
}

// Heartbeats are successful answers; where no call is out, none is expected.
void ServicePolicies::listen(std::size_t index, bool is_after_pause, Instant now) {
    Cell& cell = *cells_[index];
    health::PhiAccrual& silence = *cell.observed->silence;
    std::uint64_t answered = 0;
    bool is_out = false;
    {
        const std::lock_guard guard(cell.lock);
        answered = cell.successes + noted_successes(cell);
        is_out = is_ejected(cell.results, now);
    }
    const bool has_answered = answered > cell.observed->answered;
    cell.observed->answered = answered;
    if (is_after_pause || is_out) return silence.rest(now);
    if (has_answered) return silence.heartbeat(now);
    if (cell.load.in_flight.load(std::memory_order_relaxed) == 0) return silence.rest(now);
    const double phi = silence.phi(now);
    if (phi < rules().outlier.phi) return;
    ResultsCopy copy = copy_results(false);
    const auto ejection =
        resilience::try_eject_silent(copy.pointers, index, phi, rules().outlier, now);
    if (!ejection) return;
    apply(*ejection, copy.stats[index], now);
    silence.rest(now);
}

}  // namespace datapunk::mesh::policy
