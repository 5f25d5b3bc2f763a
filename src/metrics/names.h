#pragma once

// Every metric of the mesh: name, meaning, unit, labels. Conventions: `mesh_` in front, `_total`
// for counters, base units (`_seconds`, `_bytes`). Labels are few-valued: a service, an endpoint id
// (bounded), a listener, "2xx", a reason from a fixed list. Never a path, a query or an address of
// a caller. `process_*` are the names that every Prometheus dashboard expects.

#include "metrics/family.h"

namespace datapunk::mesh::metrics::names {

using enum MetricKind;

// Series that exist once per endpoint: five services of a thousand endpoints.
inline constexpr std::size_t kEndpointSeriesMax = 5000;

// clang-format off
// --- calls
inline constexpr MetricFamily kRequests{"mesh_requests_total", counter, "", "Calls answered, by service and class of answer: 1xx to 5xx, or error when none came.", {"service", "code_class"}};
inline constexpr MetricFamily kRequestDuration{"mesh_request_duration_seconds", histogram, "seconds", "Time from a call's arrival to the end of its answer, retries included.", {"service"}};
inline constexpr MetricFamily kRequestsInFlight{"mesh_requests_in_flight", gauge, "", "Calls that have begun and not ended.", {"service"}};
inline constexpr MetricFamily kRequestsRejected{"mesh_requests_rejected_total", counter, "", "Calls that no endpoint's answer was found for, by reason: limit, no endpoint, deadline, reset and so on.", {"service", "reason"}};
inline constexpr MetricFamily kAttempts{"mesh_attempts_total", counter, "", "Attempts at single endpoints, by how they ended.", {"service", "outcome"}};
inline constexpr MetricFamily kRetries{"mesh_retries_total", counter, "", "Attempts after the first, by the reason for trying again.", {"service", "reason"}};
inline constexpr MetricFamily kRetryBudgetExhausted{"mesh_retry_budget_exhausted_total", counter, "", "Retries not made because the retry budget was used up.", {"service"}};
// --- failure handling
inline constexpr MetricFamily kBreakerState{"mesh_breaker_state", gauge, "", "Circuit breaker: 0 closed, 1 half-open, 2 open.", {"service", "endpoint"}, kEndpointSeriesMax};
inline constexpr MetricFamily kBreakerTransitions{"mesh_breaker_transitions_total", counter, "", "Changes of circuit breaker state, by the new state.", {"service", "to"}};
inline constexpr MetricFamily kEjections{"mesh_ejections_total", counter, "", "Endpoints left out because real calls failed, by the rule that found it.", {"service", "reason"}};
inline constexpr MetricFamily kEndpointsEjected{"mesh_endpoints_ejected", gauge, "", "Endpoints left out at present.", {"service"}};
// --- connections
inline constexpr MetricFamily kUpstreamConnectionsOpen{"mesh_upstream_connections_open", gauge, "", "Connections to endpoints that are open.", {"service"}};
inline constexpr MetricFamily kUpstreamConnections{"mesh_upstream_connections_total", counter, "", "Connections to endpoints made.", {"service"}};
inline constexpr MetricFamily kUpstreamConnectFailures{"mesh_upstream_connect_failures_total", counter, "", "Connections to endpoints that could not be made.", {"service", "reason"}};
inline constexpr MetricFamily kListenerConnectionsOpen{"mesh_listener_connections_open", gauge, "", "Connections from callers that are open.", {"listener"}};
inline constexpr MetricFamily kListenerConnections{"mesh_listener_connections_total", counter, "", "Connections from callers accepted.", {"listener"}};
inline constexpr MetricFamily kBadRequests{"mesh_bad_requests_total", counter, "", "Requests refused as malformed or over a limit.", {"listener", "reason"}};
// --- discovery and registration
inline constexpr MetricFamily kEndpointsKnown{"mesh_endpoints_known", gauge, "", "Endpoints that discovery knows.", {"service"}};
inline constexpr MetricFamily kEndpointsHealthy{"mesh_endpoints_healthy", gauge, "", "Endpoints that discovery knows and that are not critical.", {"service"}};
inline constexpr MetricFamily kRegistryUp{"mesh_registry_up", gauge, "", "1 if the last request to the registry was answered, else 0.", {"registry"}};
inline constexpr MetricFamily kRegistryRequestDuration{"mesh_registry_request_duration_seconds", histogram, "seconds", "Time of requests to the registry, long polls not included.", {"registry", "operation"}};
inline constexpr MetricFamily kRegistryRequestFailures{"mesh_registry_request_failures_total", counter, "", "Requests to the registry that failed.", {"registry", "operation"}};
inline constexpr MetricFamily kDiscoveryCacheHits{"mesh_discovery_cache_hits_total", counter, "", "Discoveries answered by a cache: local, shared or snapshot.", {"cache"}};
inline constexpr MetricFamily kDiscoveryCacheMisses{"mesh_discovery_cache_misses_total", counter, "", "Discoveries that had to ask further down.", {"cache"}};
inline constexpr MetricFamily kWatchReconnects{"mesh_watch_reconnects_total", counter, "", "Watches that had to start again after an error.", {"registry"}};
inline constexpr MetricFamily kRegistrations{"mesh_registrations_total", counter, "", "Registrations and deregistrations, by operation and result.", {"operation", "result"}};
inline constexpr MetricFamily kRegistrationsActive{"mesh_registrations_active", gauge, "", "Service instances that this process keeps registered.", {}};
// --- the process
inline constexpr MetricFamily kMetricsOverflow{"mesh_metrics_overflow_total", counter, "", "Look-ups beyond a family's limit of series, which went to its overflow series.", {"family"}};
inline constexpr MetricFamily kBuildInfo{"mesh_build_info", gauge, "", "Always 1; the labels say what is running.", {"version", "revision", "compiler"}};
inline constexpr MetricFamily kProcessResidentMemory{"process_resident_memory_bytes", gauge, "bytes", "Resident memory size.", {}};
inline constexpr MetricFamily kProcessOpenFds{"process_open_fds", gauge, "", "Open file descriptors.", {}};
inline constexpr MetricFamily kProcessMaxFds{"process_max_fds", gauge, "", "Limit of open file descriptors.", {}};
inline constexpr MetricFamily kProcessCpu{"process_cpu_seconds_total", counter, "seconds", "User and system CPU time spent.", {}, kSeriesMax, 1e6};
inline constexpr MetricFamily kProcessStartTime{"process_start_time_seconds", gauge, "seconds", "Start time of the process since the Unix epoch.", {}};
// clang-format on

inline constexpr const MetricFamily* kAll[] = {
    &kRequests,
    &kRequestDuration,
    &kRequestsInFlight,
    &kRequestsRejected,
    &kAttempts,
    &kRetries,
    &kRetryBudgetExhausted,
    &kBreakerState,
    &kBreakerTransitions,
    &kEjections,
    &kEndpointsEjected,
    &kUpstreamConnectionsOpen,
    &kUpstreamConnections,
    &kUpstreamConnectFailures,
    &kListenerConnectionsOpen,
    &kListenerConnections,
    &kBadRequests,
    &kEndpointsKnown,
    &kEndpointsHealthy,
    &kRegistryUp,
    &kRegistryRequestDuration,
    &kRegistryRequestFailures,
    &kDiscoveryCacheHits,
    &kDiscoveryCacheMisses,
    &kWatchReconnects,
    &kRegistrations,
    &kRegistrationsActive,
    &kMetricsOverflow,
    &kBuildInfo,
    &kProcessResidentMemory,
    &kProcessOpenFds,
    &kProcessMaxFds,
    &kProcessCpu,
    &kProcessStartTime,
};

}  // namespace datapunk::mesh::metrics::names
