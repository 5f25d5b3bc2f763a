#pragma once

// Where a request goes instead: the path that an endpoint is asked for, and the Location of a
// redirect. Pure functions of the route and the request.

#include <datapunk/mesh/result.h>

#include <string>
#include <string_view>

#include "routing/pattern.h"
#include "routing/route.h"

namespace datapunk::mesh::routing {

// The target to send upstream, the query kept. The route matched `target`; `regex` is its
// rewrite.regex, compiled. An error if a substitution has made something of it that is no path.
Result<std::string> rewritten(const Route& route, const Pattern& regex, std::string_view target);

struct AskedUrl {
    std::string_view scheme;  // that the caller speaks: "http", "https"
    std::string_view host;    // Host or :authority as it came
    std::string_view target;  // the path, with the query
};

// An absolute URL. An error if nobody knows the host.
Result<std::string> location_of(const Route& route, const AskedUrl& asked);

}  // namespace datapunk::mesh::routing
