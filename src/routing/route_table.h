#pragma once

// RouteTable: which route takes a request. Built once from a list of routes, then immutable.
//
// Of all routes that match, the most specific one wins; compared in this order:
//   1. a route of this listener before one of any listener
//   2. exact host, then the longest wildcard, then any host
//   3. exact path, then a regular expression (the one that is first in the list), then the longest
//      prefix
//   4. a route that names methods before one that takes all
//   5. more header conditions before fewer
//   6. more query conditions before fewer
//   7. the earlier one in the list
// Two routes that are equal in 1-6 with the same conditions and a method in common are a conflict:
// the later could never be reached. create() refuses them and names both.
//
// Paths are compared byte by byte, up to '?': the caller has refused or resolved dot segments.
//
//   listener ─► host ─► exact path, expressions or prefix ─► candidates, best first
//
// Thread rule: immutable, any thread. Cost: O(log routes) per path segment, and about a nanosecond
// a byte of the path for each regular expression of its host; no allocation but for hosts over 15
// bytes. Source: Kubernetes Gateway API, HTTPRouteMatch precedence; expressions as in nginx.

#include <datapunk/mesh/result.h>

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "routing/condition.h"
#include "routing/pattern.h"
#include "routing/route.h"
#include "routing/traffic_split.h"
#include "wire/http1/message.h"

namespace datapunk::mesh::routing {

struct RouteRequest {
    std::string_view listener;
    std::string_view host;  // Host or :authority as it came
    std::string_view path;  // with or without the query
    std::string_view method;
    std::span<const wire::http1::Field> fields;
};

// How far the best candidate came. `method`: 405 rather than 404.
enum class NoRoute : std::uint8_t { none, host, path, method, header, query };

std::string_view to_string(NoRoute why) noexcept;

struct RouteMatch {
    const Route* route = nullptr;         // lives as long as the table; null = no route
    const TrafficSplit* split = nullptr;  // the route's services, also if it is only one
    NoRoute why = NoRoute::none;

    explicit operator bool() const noexcept { return route != nullptr; }
};

class RouteTable {
  public:
    static constexpr std::size_t kRoutesMax = 10'000;
    static constexpr std::size_t kExpressionsMax = 1'000;        // in all routes together
    static constexpr std::size_t kPathExpressionsOfAHost = 100;  // each is tried on each request

    RouteTable() = default;

    // The error names every bad field and every conflict.
    static Result<RouteTable> create(std::vector<Route> routes);

    RouteMatch find(const RouteRequest& request) const;

    const std::vector<Route>& routes() const noexcept { return routes_; }

  private:
    using Candidates = std::vector<std::uint32_t>;  // into routes_, best first
    using ByPath = std::map<std::string, Candidates, std::less<>>;

    struct ByExpression {
        std::string text;
        Pattern pattern;
        Candidates candidates;
    };

    struct Host {
        ByPath exact;
        std::vector<ByExpression> expressions;  // in the order of the list
        ByPath prefix;                          // without the '/' at the end; "" = every path
        std::size_t prefix_bytes_max = 0;
    };

    struct Conditions {
        std::vector<Condition> headers;
        std::vector<Condition> query;
    };

    struct Listener {
        std::map<std::string, Host, std::less<>> exact;
        std::map<std::string, Host, std::less<>> wildcard;  // ".example.com"
        std::map<std::string, Host, std::less<>> any;       // one entry, "", or none
    };

    void add(std::uint32_t index);
    Candidates& candidates_at(Host& host, const Route& route);
    std::vector<std::string> too_many_expressions() const;
    std::vector<std::string> conflicts() const;
    void find_conflicts(
        std::string_view path, const Candidates& candidates, std::vector<std::string>& out
    ) const;
    RouteMatch find_in(const Listener& listener, std::string_view host, const RouteRequest& request)
        const;
    RouteMatch find_in(const Host& host, const RouteRequest& request) const;
    RouteMatch first_of(const Candidates& candidates, const RouteRequest& request) const;

    std::vector<Route> routes_;
    std::vector<TrafficSplit> splits_;    // by the same index
    std::vector<Conditions> conditions_;  // likewise
    std::map<std::string, Listener, std::less<>> listeners_;
};

// One line: what was asked and what is missing. For the log and the error's body.
std::string explain(const RouteRequest& request, NoRoute why);

// The target to send upstream: `target` with the route's prefix replaced, the query kept. The route
// matched it.
std::string rewritten(const Route& route, std::string_view target);

}  // namespace datapunk::mesh::routing
