#pragma once

// Route: one rule of where a request goes. A value, as the configuration says it; RouteTable checks
// it and matches by it.

#include <datapunk/mesh/balancing.h>
#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/failure.h>
#include <datapunk/mesh/limits.h>
#include <datapunk/mesh/retry.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wire/grpc/call.h"

namespace datapunk::mesh::routing {

// What is asked of a header or a query parameter: at most one of exact, prefix and regex; none of
// them = that it is there at all. One of several with the name is enough.
struct ValueMatch {
    std::string name;  // of a header in any case, of a parameter as it is
    std::optional<std::string> exact;
    std::optional<std::string> prefix;
    std::optional<std::string> regex;  // the whole value; RE2's syntax
    bool present = true;               // false: there must be none

    friend bool operator==(const ValueMatch&, const ValueMatch&) = default;
};

struct WeightedService {
    std::string service;
    std::uint32_t weight = 1;  // share of the sum, 0..1000000; 0 = gets nothing
    Metadata subset{};         // only its endpoints with all of this in their metadata

    friend bool operator==(const WeightedService&, const WeightedService&) = default;
};

// What happens to a head's fields: first those in `remove` go, then each of `set` replaces all of
// its name, then each of `add` is put behind. Fields that end at a hop, that frame a message or
// that are this hop's to say are refused (check_route.h).
struct HeaderEdits {
    std::vector<std::string> remove;
    Metadata set;
    Metadata add;

    bool empty() const noexcept { return remove.empty() && set.empty() && add.empty(); }

    friend bool operator==(const HeaderEdits&, const HeaderEdits&) = default;
};

// What the endpoint is asked for instead. At most one of path, prefix and regex; the query stays.
struct Rewrite {
    std::string host;                   // Host or :authority; empty = as it came
    std::string path;                   // the whole path
    std::optional<std::string> prefix;  // replaces path_prefix or path; begins with "/"
    std::string regex;                  // every part of the path that matches it (RE2)
    std::string substitution;           // becomes this; \\1 = its first group

    friend bool operator==(const Rewrite&, const Rewrite&) = default;
};

// The caller is sent elsewhere. What is not said stays as it was asked for.
struct Redirect {
    std::uint16_t status = 302;  // 301, 302, 303, 307 or 308
    std::string scheme;          // "https"
    std::string host;
    std::uint16_t port = 0;             // 0: the request's, or with scheme or host the scheme's own
    std::string path;                   // the whole path
    std::optional<std::string> prefix;  // replaces path_prefix or path
    bool strip_query = false;

    friend bool operator==(const Redirect&, const Redirect&) = default;
};

// An answer of ours.
struct DirectResponse {
    std::uint16_t status = 200;  // 200..599
    std::string body;
    std::string content_type = "text/plain; charset=utf-8";

    friend bool operator==(const DirectResponse&, const DirectResponse&) = default;
};

// In place of the service's RetryConfig, field by field; the budget stays the service's.
struct RetryOverride {
    std::optional<std::uint32_t> attempts;
    std::optional<RetryOn> on;
    std::optional<GrpcRetryOn> on_grpc;
    std::optional<std::vector<std::uint16_t>> on_statuses;
    std::optional<std::vector<std::string>> on_headers;
    std::optional<bool> non_idempotent;
    std::optional<Duration> attempt_timeout;
    std::optional<BackoffConfig> backoff;
    std::optional<Duration> retry_after_max;

    RetryConfig over(RetryConfig base) const;

    friend bool operator==(const RetryOverride&, const RetryOverride&) = default;
};

struct FaultDelay {
    Duration duration{};      // above 0
    double percentage = 100;  // of the requests, (0, 100]

    friend bool operator==(const FaultDelay&, const FaultDelay&) = default;
};

struct FaultAbort {
    std::uint16_t status = 503;                         // 400..599
    std::optional<wire::grpc::GrpcStatus> grpc_status;  // for callers of gRPC; none = by `status`
    double percentage = 100;

    friend bool operator==(const FaultAbort&, const FaultAbort&) = default;
};

// What goes wrong on purpose: first the delay, then the answer. By luck, each on its own.
struct Fault {
    std::optional<FaultDelay> delay;
    std::optional<FaultAbort> abort;

    friend bool operator==(const Fault&, const Fault&) = default;
};

// Which pages of other origins a browser lets read the answers (Fetch standard, CORS protocol).
struct CorsPolicy {
    std::vector<std::string> allow_origins;       // "https://a.example", or "*"
    std::vector<std::string> allow_origin_regex;  // RE2, the whole origin
    std::vector<std::string> allow_methods;       // beyond GET, HEAD and POST; "*"
    std::vector<std::string> allow_headers;       // of requests, beyond the safe ones; "*"
    std::vector<std::string> expose_headers;      // of answers
    bool allow_credentials = false;               // cookies; not with any origin
    std::optional<Duration> max_age;              // a browser keeps the answer to its question

    friend bool operator==(const CorsPolicy&, const CorsPolicy&) = default;
};

// Who gets a copy of the requests; what comes back is thrown away.
struct Mirror {
    std::string service;
    Metadata subset{};
    double percentage = 100;  // of the requests, (0, 100]

    friend bool operator==(const Mirror&, const Mirror&) = default;
};

// Who answers when the service cannot: another service, or a fixed answer. One of the two.
struct Fallback {
    std::string service;
    Metadata subset{};
    std::optional<DirectResponse> respond{};
    StatusSet on_statuses{};  // answers that count as none; those of ours always do

    friend bool operator==(const Fallback&, const Fallback&) = default;
};

struct Route {
    std::string name;      // unique; in metrics, logs and errors
    std::string listener;  // only requests that came in there; empty = any

    // Everything below must hold.
    // "api.example.com", "*.example.com" (one label or more before it), "*". Empty = any host.
    std::vector<std::string> hosts;
    std::string path_prefix = "/";  // whole segments: "/api" has "/api" and "/api/x", not "/apix"
    std::string path_exact;         // instead of path_prefix, which must then be "/"
    std::string path_regex;         // likewise; the whole path without the query; RE2's syntax
    std::vector<std::string> methods;  // "GET"; case-sensitive as methods are; empty = any
    std::vector<ValueMatch> headers;   // all of them
    std::vector<ValueMatch> query;     // all of them; values are compared decoded

    // Where to: a service, several by weight, elsewhere, or an answer of ours. Exactly one.
    std::string service;
    Metadata subset;  // only endpoints of `service` with all of this in their metadata
    std::vector<WeightedService> split;
    AffinityConfig sticky;  // of several services, the same for the same; none = by luck
    std::optional<Redirect> redirect;
    std::optional<DirectResponse> respond;

    std::optional<Rewrite> rewrite;
    HeaderEdits request_headers;
    HeaderEdits response_headers;
    std::optional<Duration> timeout;  // of the call, over the service's; positive
    std::optional<RetryOverride> retry;
    std::optional<std::uint64_t> body_bytes_max;  // of a request, over the listener's; 0 = no limit
    std::optional<Fault> fault;
    std::optional<CorsPolicy> cors;
    std::optional<RateLimitConfig> rate_limit;  // of all its requests in this process
    std::optional<Mirror> mirror;
    std::optional<Fallback> fallback;

    friend bool operator==(const Route&, const Route&) = default;
};

// Whether the route does nothing but lead to a service.
bool is_plain(const Route& route) noexcept;

// A service that a route may call, and the key that says so: "split[1].service".
struct RouteTarget {
    std::string key;
    std::string service;
    Metadata subset{};

    std::string name() const;  // target_name(service, subset)
};

// What a service, or a subset of it, is known by: "api", "api/version=v2,zone=a". No service's name
// has a '/'.
std::string target_name(const std::string& service, const Metadata& subset);
// "api" of both.
std::string_view service_of(std::string_view target_name) noexcept;

std::vector<RouteTarget> targets_of(const Route& route);

}  // namespace datapunk::mesh::routing
