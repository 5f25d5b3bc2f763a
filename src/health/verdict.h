#pragma once

// Verdict: active and passive health of an endpoint, and all endpoints of a service, as one word.
//
//   active (the registry's checks) \ passive   good        recovering   out
//   passing                                    healthy     degraded     unhealthy
//   warning                                    degraded    degraded     unhealthy
//   critical                                   unhealthy   unhealthy    unhealthy
//
// recovering: the breaker is half-open or ramps; out: it is open, or the endpoint is ejected. The
// worse of the two decides: checks see what calls do not meet, and the other way round.
//
// A service is healthy if all its endpoints are, unhealthy if all are unhealthy or its own breaker
// is open, else degraded; degraded as well while a service that it depends on fails.
//
// Thread rule: functions.

#include <datapunk/mesh/endpoint.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace datapunk::mesh::health {

enum class Passive : std::uint8_t { good, recovering, out };
enum class Wellness : std::uint8_t { healthy, degraded, unhealthy };

std::string_view to_string(Wellness wellness) noexcept;

Wellness combine(Health active, Passive passive) noexcept;

struct ServiceWellness {
    std::size_t healthy = 0;
    std::size_t degraded = 0;
    std::size_t unhealthy = 0;
    bool breaker_open = false;
    bool dependency_fails = false;

    void add(Wellness endpoint) noexcept;
    Wellness verdict() const noexcept;
};

}  // namespace datapunk::mesh::health
