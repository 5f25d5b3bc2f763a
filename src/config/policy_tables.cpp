// The tables of ServicePolicy and of registrations; a policy's parts have files of their own.

#include <optional>

#include "config/balance_codec.h"
#include "config/codecs.h"
#include "config/failure_codec.h"

namespace datapunk::mesh::config {

// In check_tables.cpp.
template <>
const Table& table_of<HealthCheck>();
template <>
const Table& table_of<Readiness>();

namespace {

using namespace std::chrono_literals;

}  // namespace

template <>
const EnumNames<EndpointProtocol>& names_of<EndpointProtocol>() {
    static const EnumNames<EndpointProtocol> names = {
        {EndpointProtocol::automatic, "auto"},
        {EndpointProtocol::http1, "http1"},
        {EndpointProtocol::http2, "http2"},
    };
    return names;
}

// clang-format off
template <>
const Table& table_of<DiscoveryFilter>() {
    using D = DiscoveryFilter;
    static const Table table =
        TableOf<D>("subset", "Which of a service's endpoints are called. Everything that is set must hold.")
            .field("tags", &D::tags, "Tags, all of them; empty = any.")
            .field("metadata", &D::metadata, "Metadata, each with exactly this value.")
            .field("version", &D::version, "Version; empty = any.")
            .field("environment", &D::environment, "Environment; empty = any.")
            .field("region", &D::region, "Region; empty = any.")
            .field("zone", &D::zone, "Zone; empty = any.")
            .field("capabilities", &D::capabilities, "Capabilities, all of them; empty = any.")
            .field("healthy", &D::healthy, "Whether endpoints that the registry calls critical are left out even if it calls all of them so.")
            .table();
    return table;
}

template <>
const Table& table_of<ServicePolicy>() {
    using P = ServicePolicy;
    static const Table table =
        TableOf<P>("policy", "How a service is called.")
            .field("balance", &P::balance, "How an endpoint is chosen.")
            .field("affinity", &P::affinity, "Session affinity.")
            .field("slow_start", &P::slow_start, "Slow start of new endpoints.")
            .field("zones", &P::zones, "Preference of the own zone.")
            .field("failover", &P::failover, "Endpoints for when others fail.")
            .field("panic", &P::panic, "When checks are disregarded.")
            .field("subsetting", &P::subsetting, "Few of many endpoints.")
            .field("breaker", &P::breaker, "Circuit breaker of each endpoint.")
            .field("service_breaker", &P::service_breaker, "Circuit breaker of the service as a whole, over the attempts at all its endpoints. Its defaults differ: enabled false, window_time 10s, consecutive 0, open_for 5s, open_max 30s.")
            .field("share_breakers", &P::share_breakers, "Whether an endpoint's breaker that opens is told to other processes through Redis (`redis`), which then probe the endpoint before they trust it.")
            .field("failure_statuses", &P::failure_statuses, "Answers that count as failures of the endpoint: classes (5xx), statuses (429), ranges (500-504). What is tried again is retry.on.")
            .field("outlier", &P::outlier, "Ejection of endpoints that fail.")
            .field("dependencies", &P::dependencies, "What follows when a service that this one depends on fails.")
            .field("forecast", &P::forecast, "Forecast of each endpoint's load.")
            .field("retry", &P::retry, "Retries.")
            .field("hedge", &P::hedge, "Hedging.")
            .field("limits", &P::limits, "Concurrency limits.")
            .field("protocol", &P::protocol, "What is spoken to its endpoints. auto: what an endpoint's metadata `protocol` says (http1, http2), else HTTP/2 for gRPC calls and HTTP/1.1 for all others. Behind TLS HTTP/2 is offered, and HTTP/1.1 spoken where the endpoint chooses that.")
            .field("subset", &P::subset, "Which endpoints are called at all; empty = all.")
            .field("deadline", &P::deadline, "Time limit of a whole call, retries included. 15 s: longer than people wait.", between(1ms, 1h))
            .field("deadline_header", &P::deadline_header, "Header in which the time left of a call travels, in whole milliseconds: a caller's shortens the deadline, endpoints are told what is left. Empty = neither. gRPC calls use grpc-timeout as well.")
            .field("patience_min", &P::patience_min, "An attempt that had less time than this, or than twice what answers take on average (measured), does not count against its endpoint when the time runs out, unless deadline or retry.attempt_timeout gave it no more: callers with little patience must not have healthy endpoints left out.", between(0s, 1h))
            .table();
    return table;
}

template <>
const Table& table_of<ServiceConfig>() {
    using S = ServiceConfig;
    static const Table table =
        TableOf<S>("register", "Service instances that this process announces and keeps alive in the registry.")
            .field("name", &S::name, "The name callers use: a-z, 0-9, - and _ inside, at most 63 bytes.", ValueRange{}.required())
            .field("id", &S::id, "Unique id of the instance; empty = name-host-port. The same id again replaces.")
            .field("host", &S::host, "Where callers reach it: an address or a host name.", ValueRange{}.required())
            .field("port", &S::port, "Its port.", between(1, 65535).required())
            .field("weight", &S::weight, "Relative share of traffic.", between(1, 65535))
            .field("tags", &S::tags, "Labels to select by, at most 64.")
            .field("meta", &S::meta, "Key and value pairs, such as zone and version; at most 64.")
            .field("version", &S::version, "Version of what runs there, such as 1.4.2. This and the next five stand in `meta` under their names.")
            .field("environment", &S::environment, "Environment, such as production.")
            .field("region", &S::region, "Region, such as eu-west.")
            .field("zone", &S::zone, "Zone; empty = node.zone.")
            .field("capabilities", &S::capabilities, "What it can do, as words to select by.")
            .field("dependencies", &S::dependencies, "Services that it calls.")
            .field("check", &S::check, "Its health check.")
            .field("ready", &S::ready, "When it is announced.")
            .table();
    return table;
}
// clang-format on

}  // namespace datapunk::mesh::config
