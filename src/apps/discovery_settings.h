#pragma once

// From the configuration's sections to what discovery takes. Pure.

#include <datapunk/mesh/discovery.h>

#include "config/config.h"

namespace datapunk::mesh::apps {

ServiceDiscoveryConfig discovery_of(const config::Config& config);
CircuitBreakerConfig breaker_of(const config::Config& config);

}  // namespace datapunk::mesh::apps
