#include "balance/measured_weights.h"

#include <algorithm>

namespace datapunk::mesh::balance {
namespace {

// With so many times the usual calls in flight an endpoint is slower than its answers say.
constexpr double kHangingInFlight = 2;

}  // namespace

void LoadHistory::add(const LoadReport& report, Instant now) noexcept {
    if (!(report.utilization > 0) || !(report.calls_per_second > 0)) return;
    if (known_since_ == kNever) known_since_ = now;
    last_ = report;
    last_at_ = now;
}

double LoadHistory::capacity(const ReportedLoad& config, Instant now) noexcept {
    if (known_since_ == kNever) return 0;
    if (now - last_at_ >= config.expiration) {
        known_since_ = kNever;  // its next row of reports starts cold again
        return 0;
    }
    if (now - known_since_ < config.blackout) return 0;
    const double failed = std::max(0.0, last_.errors_per_second) / last_.calls_per_second;
    return last_.calls_per_second / (last_.utilization + failed * config.error_penalty);
}

std::vector<double> shares_of(std::span<const double> capacities) {
    std::vector<double> shares(capacities.size(), 1.0);
    double sum = 0;
    std::size_t known = 0;
    for (const double capacity : capacities) {
        if (!(capacity > 0)) continue;
        sum += capacity;
        ++known;
    }
    if (known < 2) return shares;
    const double mean = sum / static_cast<double>(known);
    for (std::size_t i = 0; i < shares.size(); ++i) {
        if (!(capacities[i] > 0)) continue;
        shares[i] = std::clamp(capacities[i] / mean, 1 / kShareSpreadMax, kShareSpreadMax);
    }
    return shares;
}

std::vector<double> shares_by_response_time(std::span<const TimedEndpoint> endpoints) {
    double in_flight = 0;
    double weights = 0;
    for (const TimedEndpoint& endpoint : endpoints) {
        in_flight += endpoint.in_flight;
        weights += endpoint.weight;
    }
    std::vector<double> capacities;
    capacities.reserve(endpoints.size());
    for (const TimedEndpoint& endpoint : endpoints) {
        const double latency = std::max(0.0, static_cast<double>(endpoint.latency.count()));
        double capacity = latency > 0 ? 1 / latency : 0;
        const double usual = kHangingInFlight * in_flight * endpoint.weight / weights + 1;
        if (endpoint.in_flight > usual) capacity *= usual / endpoint.in_flight;
        capacities.push_back(capacity);
    }
    return shares_of(capacities);
}

}  // namespace datapunk::mesh::balance
