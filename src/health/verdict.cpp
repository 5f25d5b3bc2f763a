#include "health/verdict.h"

namespace datapunk::mesh::health {

std::string_view to_string(Wellness wellness) noexcept {
    switch (wellness) {
        case Wellness::healthy:
            return "healthy";
        case Wellness::degraded:
            return "degraded";
        case Wellness::unhealthy:
            return "unhealthy";
    }
    return "unknown";
}

Wellness combine(Health active, Passive passive) noexcept {
    if (active == Health::critical || passive == Passive::out) return Wellness::unhealthy;
    if (active == Health::warning || passive == Passive::recovering) return Wellness::degraded;
    return Wellness::healthy;
}

void ServiceWellness::add(Wellness endpoint) noexcept {
    (endpoint == Wellness::healthy    ? healthy
     : endpoint == Wellness::degraded ? degraded
                                      : unhealthy) += 1;
}

Wellness ServiceWellness::verdict() const noexcept {
    if (breaker_open || healthy + degraded == 0) return Wellness::unhealthy;
    const bool all_well = degraded == 0 && unhealthy == 0 && !dependency_fails;
    return all_well ? Wellness::healthy : Wellness::degraded;
}

}  // namespace datapunk::mesh::health
