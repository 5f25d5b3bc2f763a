// How routing::Route and what it is made of are written in the configuration.

#include "config/codecs.h"
#include "routing/route.h"

namespace datapunk::mesh::config {

using namespace std::chrono_literals;

// clang-format off
template <>
const Table& table_of<routing::ValueMatch>() {
    using M = routing::ValueMatch;
    static const Table table =
        TableOf<M>("match", "A condition. One of exact, prefix and regex, or none of them: that it is there at all. Of several with the name one is enough.")
            .field("name", &M::name, "Name; of a header in any case.", ValueRange{}.required())
            .field("exact", &M::exact, "The value is this.")
            .field("prefix", &M::prefix, "The value begins with this.")
            .field("regex", &M::regex, "The whole value matches this; RE2's syntax.")
            .field("present", &M::present, "false: there must be none of this name.")
            .table();
    return table;
}

template <>
const Table& table_of<routing::Route>() {
    using R = routing::Route;
    static const Table table =
        TableOf<R>("routes", "Which request goes to which service. The most specific route wins.")
            .field("name", &R::name, "Unique name, for logs and errors; empty = its place, routes[0].")
            .field("listener", &R::listener, "Name of the listener it applies to; empty = all.")
            .field("hosts", &R::hosts, "Hosts, such as api.example.org or *.example.org; empty = any.")
            .field("path_prefix", &R::path_prefix, "Path begins with this, in whole segments.")
            .field("path", &R::path_exact, "Path is exactly this; not together with path_prefix.")
            .field("path_regex", &R::path_regex, "The whole path, without the query, matches this; RE2's syntax; not together with path or path_prefix. Each is tried on each request of its hosts.")
            .field("methods", &R::methods, "Methods; empty = any.")
            .field("headers", &R::headers, "What headers must be like, all of it.")
            .field("query", &R::query, "What query parameters must be like, all of it; values are compared decoded.")
            .field("service", &R::service, "Service that gets the request.")
            .field("timeout", &R::timeout, "Time limit of the whole call; none = the service's deadline.", above(0s, 24h))
            .table();
    return table;
}
// clang-format on

}  // namespace datapunk::mesh::config
