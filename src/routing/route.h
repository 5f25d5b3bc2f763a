#pragma once

// Route: one rule of where a request goes. A value, as the configuration says it; RouteTable checks
// it and matches by it.

#include <datapunk/mesh/time.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace datapunk::mesh::routing {

struct HeaderMatch {
    std::string name;                  // any case
    std::optional<std::string> value;  // exactly this; unset = the header is there at all

    friend bool operator==(const HeaderMatch&, const HeaderMatch&) = default;
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
    std::vector<std::string> methods;  // "GET"; case-sensitive as methods are; empty = any
    std::vector<HeaderMatch> headers;  // all of them

    // Where to: a service, or several by weight. Exactly one of the two is given.
    std::string service;
    std::vector<WeightedService> split;

    std::optional<std::string>
        rewrite_prefix;               // replaces path_prefix or path_exact; starts with "/"
    std::optional<Duration> timeout;  // of the call, over the service's; positive

    friend bool operator==(const Route&, const Route&) = default;
};

}  // namespace datapunk::mesh::routing
