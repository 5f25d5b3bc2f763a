#pragma once

// The policies of one service, as plain values: how to balance, when to stop calling an endpoint,
// when to try again. Defaults are the product's defaults; docs/config.md has the reasons.

#include <datapunk/mesh/balancing.h>
#include <datapunk/mesh/export.h>
#include <datapunk/mesh/failure.h>
#include <datapunk/mesh/filter.h>
#include <datapunk/mesh/limits.h>
#include <datapunk/mesh/result.h>
#include <datapunk/mesh/retry.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string>

namespace datapunk::mesh {

// What is spoken to a service's endpoints.
enum class EndpointProtocol : std::uint8_t {
    automatic,  // what an endpoint's metadata `protocol` says; else HTTP/2 for gRPC calls and
                // HTTP/1.1 for all others
    http1,      // HTTP/1.1
    http2,      // HTTP/2, many calls at a time on one connection
};

struct ServicePolicy {
    BalanceConfig balance{};
    AffinityConfig affinity{};
    SlowStartConfig slow_start{};
    ZonesConfig zones{};
    FailoverConfig failover{};
    PanicConfig panic{};
    SubsettingConfig subsetting{};
    CircuitBreakerConfig breaker{};  // of each endpoint
    // Of the service as a whole, over the attempts at all its endpoints.
    CircuitBreakerConfig service_breaker{
        .enabled = false,
        .window_time = std::chrono::seconds(10),
        .consecutive = 0,
        .open_for = std::chrono::seconds(5),
        .open_max = std::chrono::seconds(30)
    };
    bool share_breakers = false;  // told to, and heard from, other processes through Redis
    StatusSet failure_statuses = StatusSet::server_errors();  // answers that count as failures
    OutlierConfig outlier{};
    DependencyConfig dependencies{};
    ForecastConfig forecast{};
    RetryConfig retry{};
    HedgeConfig hedge{};
    LimitsConfig limits{};
    EndpointProtocol protocol = EndpointProtocol::automatic;
    DiscoveryFilter subset{};                      // only these endpoints are called; empty = all
    Duration deadline = std::chrono::seconds(15);  // of a whole call, retries included
    // The header in which a call's time left travels, in whole milliseconds, through the proxy:
    // read from callers, told to endpoints. Empty: neither. gRPC has its own, grpc-timeout.
    std::string deadline_header = "x-mesh-deadline-ms";
    // An attempt that had less time than this, or than twice what answers take on average, says
    // nothing about its endpoint when the time runs out, unless the policy itself gave it no more.
    Duration patience_min = std::chrono::milliseconds(10);
    friend bool operator==(const ServicePolicy&, const ServicePolicy&) = default;
};

// Every field in its range? The error names all that are not.
[[nodiscard]] DATAPUNK_MESH_API Result<> check(const ServicePolicy& policy);

}  // namespace datapunk::mesh
