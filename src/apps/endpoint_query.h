#pragma once

// What /endpoints may be asked for: one service, and a filter as discovery has it:
//
//     /endpoints?service=api&tag=v1&meta=rack=7&zone=a&healthy
//
// Pure.

#include <datapunk/mesh/filter.h>
#include <datapunk/mesh/result.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/view.h"

namespace datapunk::mesh::apps {

struct EndpointQuery {
    std::string service;  // empty: all
    DiscoveryFilter filter;
};

// Keys: service, version, environment, region, zone, healthy; tag, capability and meta (KEY=VALUE),
// which may come several times. Code::invalid names what is wrong.
Result<EndpointQuery> parse_endpoint_query(std::string_view query);

// The views that were asked for, each with its matching endpoints. `known` has what the endpoints
// say about themselves; one that it does not know (written down in the configuration) has an id and
// a health only.
std::vector<policy::ServiceView> select(
    std::vector<policy::ServiceView> views,
    const EndpointQuery& query,
    const std::function<EndpointSetPtr(std::string_view service)>& known
);

}  // namespace datapunk::mesh::apps
