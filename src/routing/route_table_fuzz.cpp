#include "core/assert.h"
#include "routing/route_table.h"

namespace {

using namespace datapunk::mesh::routing;

const RouteTable& table() {
    static const RouteTable built =
        RouteTable::create(
            {
                {.name = "root", .service = "s"},
                {.name = "exact", .hosts = {"a.b"}, .path_exact = "/x", .service = "s"},
                {.name = "wild", .hosts = {"*.b"}, .path_prefix = "/x/y", .service = "s"},
                {.name = "expression", .path_regex = "/v[0-9]+/(.*)", .service = "s"},
                {.name = "asked",
                 .path_prefix = "/old",
                 .query = {{.name = "a b", .exact = "%"}, {.name = "c", .regex = "x+"}},
                 .service = "s"},
                {.name = "moved", .path_prefix = "/old", .service = "s", .rewrite_prefix = "/new"},
            }
        )
            .value();
    return built;
}

}  // namespace

// Input: host, newline, target. Every request has a route here (the root takes all), and what is
// sent upstream begins with '/' if the target did.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const std::size_t line = std::min(text.find('\n'), text.size());
    const std::string_view target = text.substr(std::min(line + 1, text.size()));
    const RouteRequest request{.host = text.substr(0, line), .path = target, .method = "GET"};
    const RouteMatch match = table().find(request);
    MESH_ASSERT(match);
    const std::string sent = rewritten(*match.route, target);
    MESH_ASSERT(!target.starts_with('/') || sent.starts_with('/'));
    return 0;
}
