#pragma once

// Route: one rule of where a request goes. A value, as the configuration says it; RouteTable checks
// it and matches by it.

#include <datapunk/mesh/time.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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

    friend bool operator==(const WeightedService&, const WeightedService&) = default;
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

    // Where to: a service, or several by weight. Exactly one of the two is given.
    std::string service;
    std::vector<WeightedService> split;

    std::optional<std::string>
        rewrite_prefix;               // replaces path_prefix or path_exact; starts with "/"
    std::optional<Duration> timeout;  // of the call, over the service's; positive

    friend bool operator==(const Route&, const Route&) = default;
};

// A service that a route may call, and the key that says so: "split[1].service".
struct RouteTarget {
    std::string key;
    std::string service;
};

std::vector<RouteTarget> targets_of(const Route& route);

}  // namespace datapunk::mesh::routing
