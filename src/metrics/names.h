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
inline constexpr MetricFamily kRouteActions{"mesh_route_actions_total", counter, "", "What routes have done beyond leading to a service: redirect, direct_response, fault_delay, fault_abort, cors_preflight and so on.", {"route", "action"}};
inline constexpr MetricFamily kAttempts{"mesh_attempts_total", counter, "", "Attempts at single endpoints, by how they ended: success, server_error, connect_failure, refused_stream, timeout, reset, cancelled.", {"service", "outcome"}};
inline constexpr MetricFamily kRetries{"mesh_retries_total", counter, "", "Attempts after the first, by the reason for trying again.", {"service", "reason"}};
inline constexpr MetricFamily kRetryBudgetExhausted{"mesh_retry_budget_exhausted_total", counter, "", "Retries not made because the retry budget was used up.", {"service"}};
inline constexpr MetricFamily kHedges{"mesh_hedges_total", counter, "", "Hedges (second attempts while the first is out), by what came of them: won, lost, failed, or refused and not sent.", {"service", "outcome"}};
inline constexpr MetricFamily kHedgeDelay{"mesh_hedge_delay_seconds", gauge, "seconds", "After how long an attempt is hedged at present.", {"service"}};
inline constexpr MetricFamily kGrpcRequests{"mesh_grpc_requests_total", counter, "", "Calls of gRPC by method and status; methods that the endpoints do not have, and calls that none answered, are \"-\".", {"service", "method", "status"}, 2000};
// --- failure handling
inline constexpr MetricFamily kBreakerState{"mesh_breaker_state", gauge, "", "Circuit breaker: 0 closed, 1 half-open, 2 open.", {"service", "endpoint"}, kEndpointSeriesMax};
inline constexpr MetricFamily kBreakerTransitions{"mesh_breaker_transitions_total", counter, "", "Changes of circuit breaker state, by the new state.", {"service", "to"}};
inline constexpr MetricFamily kServiceBreakerState{"mesh_service_breaker_state", gauge, "", "Circuit breaker of a service as a whole: 0 closed, 1 half-open, 2 open.", {"service"}};
inline constexpr MetricFamily kServiceBreakerTransitions{"mesh_service_breaker_transitions_total", counter, "", "Changes of the circuit breaker of a service as a whole, by the new state.", {"service", "to"}};
inline constexpr MetricFamily kBreakersForced{"mesh_breakers_forced", gauge, "", "Circuit breakers, of endpoints and the service, that an operator holds open or closed.", {"service"}};
inline constexpr MetricFamily kServiceDegraded{"mesh_service_degraded", gauge, "", "1 while a service that this one depends on fails.", {"service"}};
inline constexpr MetricFamily kEndpointLatencyForecast{"mesh_endpoint_forecast_latency_seconds", gauge, "seconds", "Where an endpoint's latency is heading: expected after forecast.horizon.", {"service", "endpoint"}, kEndpointSeriesMax};
inline constexpr MetricFamily kEndpointInFlightForecast{"mesh_endpoint_forecast_in_flight", gauge, "", "Where an endpoint's calls in flight are heading: expected after forecast.horizon.", {"service", "endpoint"}, kEndpointSeriesMax};
inline constexpr MetricFamily kEjections{"mesh_ejections_total", counter, "", "Endpoints left out because real calls failed, by the rule that found it.", {"service", "reason"}};
inline constexpr MetricFamily kEndpointsEjected{"mesh_endpoints_ejected", gauge, "", "Endpoints left out at present.", {"service"}};
// --- limits
inline constexpr MetricFamily kLimit{"mesh_limit_requests", gauge, "", "Attempts that may be in flight at present.", {"service"}};
inline constexpr MetricFamily kPending{"mesh_limit_pending", gauge, "", "Calls that wait for a place.", {"service"}};
inline constexpr MetricFamily kLimitCallers{"mesh_limit_callers", gauge, "", "Callers that are remembered because of their limits.", {"service"}};
inline constexpr MetricFamily kThrottledShare{"mesh_throttled_share", gauge, "", "Share of the attempts that are refused at present because the service is overloaded.", {"service"}};
// --- balancing
inline constexpr MetricFamily kEndpointsCalled{"mesh_endpoints_called", gauge, "", "Endpoints that calls go to at present: of the own subset, zone and priority.", {"service"}};
inline constexpr MetricFamily kPanic{"mesh_panic", gauge, "", "1 while so many endpoints are critical that their checks are disregarded.", {"service"}};
inline constexpr MetricFamily kAttemptsSpilled{"mesh_attempts_spilled_total", counter, "", "Attempts outside of the own zone, or at endpoints of a later priority: zone or priority.", {"service", "to"}};
inline constexpr MetricFamily kAlgorithmChanges{"mesh_balance_changes_total", counter, "", "Changes of the algorithm by `adaptive`, by the new one.", {"service", "to"}};
// --- connections
inline constexpr MetricFamily kUpstreamConnectionsOpen{"mesh_upstream_connections_open", gauge, "", "Connections to endpoints that are open.", {"service"}};
inline constexpr MetricFamily kUpstreamConnections{"mesh_upstream_connections_total", counter, "", "Connections to endpoints made.", {"service"}};
inline constexpr MetricFamily kUpstreamConnectFailures{"mesh_upstream_connect_failures_total", counter, "", "Connections to endpoints that could not be made.", {"service", "reason"}};
inline constexpr MetricFamily kListenerConnectionsOpen{"mesh_listener_connections_open", gauge, "", "Connections from callers that are open.", {"listener"}};
inline constexpr MetricFamily kListenerConnections{"mesh_listener_connections_total", counter, "", "Connections from callers accepted.", {"listener"}};
inline constexpr MetricFamily kTcpConnections{"mesh_tcp_connections_total", counter, "", "Connections of listeners that speak tcp, by how they ended.", {"service", "outcome"}};
inline constexpr MetricFamily kTcpBytes{"mesh_tcp_relayed_bytes_total", counter, "bytes", "Bytes relayed by listeners that speak tcp: up to endpoints, down to callers.", {"service", "direction"}};
inline constexpr MetricFamily kUpgrades{"mesh_upgrades_total", counter, "", "Connections that went on in another protocol, by it and by how they ended.", {"service", "protocol", "outcome"}};
inline constexpr MetricFamily kUpgradedOpen{"mesh_upgraded_connections_open", gauge, "", "Connections that have gone on in another protocol and are open.", {"service"}};
inline constexpr MetricFamily kUpgradedBytes{"mesh_upgraded_bytes_total", counter, "bytes", "Bytes relayed after an upgrade: up to endpoints, down to callers.", {"service", "direction"}};
inline constexpr MetricFamily kTlsHandshakes{"mesh_tls_handshakes_total", counter, "", "TLS handshakes with callers: done, resumed, or why they failed.", {"listener", "result"}};
inline constexpr MetricFamily kTlsOriginations{"mesh_tls_upstream_handshakes_total", counter, "", "TLS handshakes with endpoints: done, resumed, or why they failed.", {"service", "result"}};
inline constexpr MetricFamily kTlsCertificateExpiry{"mesh_tls_certificate_expiry_timestamp_seconds", gauge, "seconds", "When the first of the certificates that a listener or a service uses expires (Unix time).", {"user"}};
inline constexpr MetricFamily kTlsReloads{"mesh_tls_reloads_total", counter, "", "Certificates read anew, by result: ok, or error, and then the old ones stay in use.", {"user", "result"}};
inline constexpr MetricFamily kConfigReloads{"mesh_config_reloads_total", counter, "", "Reloads of the configuration, by result: applied, unchanged, or refused, and then the old one stays in force.", {"result"}};
inline constexpr MetricFamily kConfigVersion{"mesh_config_version", gauge, "", "The number of the configuration in force: 1 at the start, one more with each reload that was applied.", {}};
inline constexpr MetricFamily kConfigLoaded{"mesh_config_loaded_timestamp_seconds", gauge, "seconds", "When the configuration in force was loaded (Unix time).", {}};
inline constexpr MetricFamily kAccessLogLines{"mesh_access_log_lines_total", counter, "", "Lines of the access log, by what became of them: written, or dropped because the disk was too slow or full.", {"result"}};
inline constexpr MetricFamily kBadRequests{"mesh_bad_requests_total", counter, "", "Requests refused as malformed or over a limit.", {"listener", "reason"}};
// --- discovery and registration
inline constexpr MetricFamily kEndpointsKnown{"mesh_endpoints_known", gauge, "", "Endpoints that discovery knows.", {"service"}};
inline constexpr MetricFamily kEndpointsHealthy{"mesh_endpoints_healthy", gauge, "", "Endpoints that discovery knows and that are not critical.", {"service"}};
inline constexpr MetricFamily kRegistryUp{"mesh_registry_up", gauge, "", "1 if the last request to the registry was answered, else 0.", {"registry"}};
inline constexpr MetricFamily kRegistryRequestDuration{"mesh_registry_request_duration_seconds", histogram, "seconds", "Time of requests to the registry, long polls not included.", {"registry", "operation"}};
inline constexpr MetricFamily kRegistryRequestFailures{"mesh_registry_request_failures_total", counter, "", "Requests to the registry that failed.", {"registry", "operation"}};
inline constexpr MetricFamily kRegistryBreakerState{"mesh_registry_breaker_state", gauge, "", "Circuit breaker in front of the registry: 0 closed, 1 half-open, 2 open.", {"registry"}};
inline constexpr MetricFamily kRegistryBreakerTransitions{"mesh_registry_breaker_transitions_total", counter, "", "Changes of the registry's circuit breaker, by the new state.", {"registry", "to"}};
inline constexpr MetricFamily kRegistryRequestsRefused{"mesh_registry_requests_refused_total", counter, "", "Requests that were not sent because the registry's circuit breaker was open.", {"registry"}};
inline constexpr MetricFamily kDiscoveryCacheHits{"mesh_discovery_cache_hits_total", counter, "", "Discoveries answered by a cache: local, negative (there is none, remembered), shared or snapshot.", {"cache"}};
inline constexpr MetricFamily kDiscoveryCacheMisses{"mesh_discovery_cache_misses_total", counter, "", "Discoveries that had to ask further down.", {"cache"}};
inline constexpr MetricFamily kDiscoveryStaleServed{"mesh_discovery_stale_served_total", counter, "", "Discoveries answered with the last known good set because the registry could not be asked.", {}};
inline constexpr MetricFamily kDiscoveryChanges{"mesh_discovery_changes_total", counter, "", "Answers that really changed a service's set of endpoints.", {}};
inline constexpr MetricFamily kDiscoveryRemovalsHeld{"mesh_discovery_removals_held_total", counter, "", "Endpoints whose removal was held back until a second answer confirmed it.", {}};
inline constexpr MetricFamily kDiscoveryIndexResets{"mesh_discovery_index_resets_total", counter, "", "Times that the registry's index went backwards.", {}};
inline constexpr MetricFamily kDiscoverySetAge{"mesh_discovery_set_age_seconds", gauge, "seconds", "Time since the registry last confirmed a service's endpoints.", {"service"}};
inline constexpr MetricFamily kDiscoverySetStale{"mesh_discovery_set_stale", gauge, "", "1 if a service's endpoints are the last known good ones, the registry being away.", {"service"}};
inline constexpr MetricFamily kDiscoverySetOrigin{"mesh_discovery_set_origin", gauge, "", "Where a service's endpoints come from: 0 the registry, 2 the shared cache, 3 the disk snapshot.", {"service"}};
inline constexpr MetricFamily kSnapshotWrites{"mesh_discovery_snapshot_writes_total", counter, "", "Disk snapshots of the known sets, by result: ok or error.", {"result"}};
inline constexpr MetricFamily kSnapshotLoads{"mesh_discovery_snapshot_loads_total", counter, "", "Disk snapshots read at the start, by result: ok, absent, damaged, old or error.", {"result"}};
inline constexpr MetricFamily kSharedCacheUp{"mesh_shared_cache_up", gauge, "", "1 if the last request to Redis was answered, else 0.", {}};
inline constexpr MetricFamily kSharedCacheRequests{"mesh_shared_cache_requests_total", counter, "", "Requests to Redis, by operation and result: ok, miss, error, timeout, refused or garbage.", {"operation", "result"}};
inline constexpr MetricFamily kSharedCacheInvalidations{"mesh_shared_cache_invalidations_total", counter, "", "Notices from other processes that a service's set has changed.", {}};
inline constexpr MetricFamily kSharedTokensUp{"mesh_shared_tokens_up", gauge, "", "1 while tokens (of shared retry budgets) are leased through Redis; 0: this process goes on with its part of them by itself.", {}};
inline constexpr MetricFamily kSharedTokensExchanges{"mesh_shared_tokens_exchanges_total", counter, "", "Times that tokens were asked for in Redis, by result: ok or failed.", {"result"}};
inline constexpr MetricFamily kSharedTokensGranted{"mesh_shared_tokens_granted_total", counter, "", "Tokens got from Redis.", {}};
inline constexpr MetricFamily kWatchesActive{"mesh_watches_active", gauge, "", "Services followed by a blocking query.", {}};
inline constexpr MetricFamily kWatchesFailing{"mesh_watches_failing", gauge, "", "Of them: those whose last question to the registry failed.", {}};
inline constexpr MetricFamily kWatchCallbackErrors{"mesh_watch_callback_errors_total", counter, "", "Watch callbacks that threw.", {}};
inline constexpr MetricFamily kCallbacksWaiting{"mesh_callbacks_waiting", gauge, "", "Callbacks of the program's that wait for a free thread, since others take their time.", {}};
inline constexpr MetricFamily kWatchReconnects{"mesh_watch_reconnects_total", counter, "", "Watches that had to start again after an error.", {"registry"}};
inline constexpr MetricFamily kRegistrations{"mesh_registrations_total", counter, "", "Registrations and deregistrations, by operation and result.", {"operation", "result"}};
inline constexpr MetricFamily kRegistrationConflicts{"mesh_registration_conflicts_total", counter, "", "Registrations of this process whose id another live process has taken over.", {}};
inline constexpr MetricFamily kRegistrationsActive{"mesh_registrations_active", gauge, "", "Service instances that this process keeps registered.", {}};
// --- DNS
inline constexpr MetricFamily kDnsClientQuestions{"mesh_dns_client_questions_total", counter, "", "Questions sent to DNS servers, by transport: udp or tcp.", {"transport"}};
inline constexpr MetricFamily kDnsClientFailures{"mesh_dns_client_failures_total", counter, "", "Times that a DNS server gave no answer to a question.", {}};
inline constexpr MetricFamily kDnsClientMismatched{"mesh_dns_client_mismatched_total", counter, "", "Messages that came instead of an answer, and were ignored: many are an attack.", {}};
inline constexpr MetricFamily kRegistryDnsQuestions{"mesh_registry_dns_questions_total", counter, "", "Questions to the registry's DNS server, by transport: udp or tcp.", {"transport"}};
inline constexpr MetricFamily kRegistryDnsRefused{"mesh_registry_dns_refused_total", counter, "", "What its limits kept from an answer: cut (told to come by TCP), dropped (a question) or connection.", {"how"}};
// --- the process
inline constexpr MetricFamily kMetricsOverflow{"mesh_metrics_overflow_total", counter, "", "Look-ups beyond a family's limit of series, which went to its overflow series.", {"family"}};
inline constexpr MetricFamily kBuildInfo{"mesh_build_info", gauge, "", "Always 1; the labels say what is running.", {"version", "revision", "compiler"}};
inline constexpr MetricFamily kProcessResidentMemory{"process_resident_memory_bytes", gauge, "bytes", "Resident memory size.", {}};
inline constexpr MetricFamily kProcessOpenFds{"process_open_fds", gauge, "", "Open file descriptors.", {}};
inline constexpr MetricFamily kProcessMaxFds{"process_max_fds", gauge, "", "Limit of open file descriptors.", {}};
inline constexpr MetricFamily kProcessCpu{"process_cpu_seconds_total", counter, "seconds", "User and system CPU time spent.", {}, kSeriesMax, 1e6};
inline constexpr MetricFamily kProcessStartTime{"process_start_time_seconds", gauge, "seconds", "Start time of the process since the Unix epoch.", {}};
inline constexpr MetricFamily kWallClockJumps{"mesh_wall_clock_jumps_total", counter, "", "Times that the wall clock was found set forward or back, by two seconds or more.", {}};
// clang-format on

inline constexpr const MetricFamily* kAll[] = {
    &kRequests,
    &kRequestDuration,
    &kRequestsInFlight,
    &kRequestsRejected,
    &kRouteActions,
    &kAttempts,
    &kRetries,
    &kRetryBudgetExhausted,
    &kHedges,
    &kHedgeDelay,
    &kGrpcRequests,
    &kBreakerState,
    &kBreakerTransitions,
    &kServiceBreakerState,
    &kServiceBreakerTransitions,
    &kBreakersForced,
    &kServiceDegraded,
    &kEndpointLatencyForecast,
    &kEndpointInFlightForecast,
    &kEjections,
    &kEndpointsEjected,
    &kLimit,
    &kPending,
    &kLimitCallers,
    &kThrottledShare,
    &kEndpointsCalled,
    &kPanic,
    &kAttemptsSpilled,
    &kAlgorithmChanges,
    &kUpstreamConnectionsOpen,
    &kUpstreamConnections,
    &kUpstreamConnectFailures,
    &kListenerConnectionsOpen,
    &kListenerConnections,
    &kTcpConnections,
    &kTcpBytes,
    &kUpgrades,
    &kUpgradedOpen,
    &kUpgradedBytes,
    &kTlsHandshakes,
    &kTlsOriginations,
    &kTlsCertificateExpiry,
    &kTlsReloads,
    &kConfigReloads,
    &kConfigVersion,
    &kConfigLoaded,
    &kAccessLogLines,
    &kBadRequests,
    &kEndpointsKnown,
    &kEndpointsHealthy,
    &kRegistryUp,
    &kRegistryRequestDuration,
    &kRegistryRequestFailures,
    &kRegistryBreakerState,
    &kRegistryBreakerTransitions,
    &kRegistryRequestsRefused,
    &kDiscoveryCacheHits,
    &kDiscoveryCacheMisses,
    &kDiscoveryStaleServed,
    &kDiscoveryChanges,
    &kDiscoveryRemovalsHeld,
    &kDiscoveryIndexResets,
    &kDiscoverySetAge,
    &kDiscoverySetStale,
    &kDiscoverySetOrigin,
    &kSnapshotWrites,
    &kSnapshotLoads,
    &kSharedCacheUp,
    &kSharedCacheRequests,
    &kSharedCacheInvalidations,
    &kSharedTokensUp,
    &kSharedTokensExchanges,
    &kSharedTokensGranted,
    &kWatchesActive,
    &kWatchesFailing,
    &kWatchCallbackErrors,
    &kCallbacksWaiting,
    &kWatchReconnects,
    &kRegistrations,
    &kRegistrationConflicts,
    &kRegistrationsActive,
    &kDnsClientQuestions,
    &kDnsClientFailures,
    &kDnsClientMismatched,
    &kRegistryDnsQuestions,
    &kRegistryDnsRefused,
    &kMetricsOverflow,
    &kBuildInfo,
    &kProcessResidentMemory,
    &kProcessOpenFds,
    &kProcessMaxFds,
    &kProcessCpu,
    &kProcessStartTime,
    &kWallClockJumps,
};

}  // namespace datapunk::mesh::metrics::names
