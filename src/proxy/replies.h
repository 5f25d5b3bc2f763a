#pragma once

// Answers that the proxy itself gives: each with one unambiguous reason, in a header for machines
// (x-mesh-reason) and in the body for people.

#include <cstdint>
#include <string>
#include <string_view>

#include "policy/call.h"

namespace datapunk::mesh::proxy {

// Why the proxy and not an endpoint answered. One value, one cause.
enum class ReplyReason : std::uint8_t {
    malformed_request,   // 4xx/5xx by the parser's verdict
    body_too_large,      // 413
    request_timeout,     // 408: the caller's body did not come
    method_not_proxied,  // 501: CONNECT
    not_allowed,         // 403: the listener's tls.allow does not name the caller
    no_route,            // 404
    unknown_service,     // 503: nothing was ever discovered by that name
    no_endpoint,         // 503: all known ones are critical, ejected or open
    breaker_open,        // 503: the circuit breaker of the service as a whole
    dependency,          // 503: one that it depends on fails, and the policy says fail fast
    limit,               // 503: concurrency limit of the service
    pending_timeout,     // 503: waited long enough for a place of that limit
    shed,                // 503: what is left of it is for calls of a higher class
    rate_limit,          // 429: the rate of the service's calls is used up
    caller_rate,         // 429: that of the caller
    caller_limit,        // 429: the caller has as many calls in flight as it may
    throttled,           // 503: the service is overloaded and would refuse it
    connect_failure,     // 503: no attempt reached an endpoint
    upstream_reset,      // 502: cut off before an answer
    upstream_protocol,   // 502: what came is not HTTP
    deadline,            // 504
    draining,            // 503
};

std::string_view to_string(ReplyReason reason) noexcept;  // "no_endpoint": also the metric label
int status_of(ReplyReason reason) noexcept;
ReplyReason reason_of(policy::NoEndpoint::Reason why) noexcept;

struct OwnAnswer {
    int status = 0;
    ReplyReason reason = ReplyReason::malformed_request;
    std::string_view explanation;  // one line for the person who reads it
    std::string_view date;
    bool keep_alive = true;
    bool head_only = false;
    // So long the caller should stay away, in whole seconds; 0 = nothing is said.
    std::uint32_t retry_after_seconds = 0;
    bool to_grpc = false;  // in gRPC's own way: 200, with status and explanation as trailers
};

// The whole of it, in HTTP/1.1.
void append_reply(std::string& out, const OwnAnswer& answer);

}  // namespace datapunk::mesh::proxy
