#pragma once

// Observed: what the control thread's looks at an endpoint, one a tick, add up to: where its load
// is heading, and whether its silence is suspicious. Owned by the writer (ServicePolicies::tick).

#include <datapunk/mesh/failure.h>

#include <cstdint>
#include <memory>

#include "health/phi_accrual.h"
#include "health/trend.h"

namespace datapunk::mesh::policy {

struct Observed {
    // A tick is about a second, and so are the intervals between looks that found answers: no
    // deviation below a quarter of it means anything.
    static constexpr Duration kDeviationMin = std::chrono::milliseconds(250);

    Observed(const ForecastConfig& forecast, const OutlierConfig& outlier)
        : latency(forecast.memory), in_flight(forecast.memory) {
        if (!outlier.enabled || outlier.phi <= 0) return;
        silence = std::make_unique<health::PhiAccrual>(outlier.phi_pause, kDeviationMin);
    }

    health::Forecast latency;  // seconds
    health::Forecast in_flight;
    std::unique_ptr<health::PhiAccrual> silence;  // null = not watched
    std::uint64_t answered = 0;                   // successes seen at the last look
    double weighed_by = 1;  // what the table in force goes by (ForecastConfig::balance)
};

}  // namespace datapunk::mesh::policy
