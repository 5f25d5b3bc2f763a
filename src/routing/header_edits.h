#pragma once

// apply(): header edits of a route, on a head that was read. Pure; the fields that are put in point
// into the edits, which must outlive the head. Allocates nothing once the list has grown.
//
// What the sender's Connection nominates ends here first, and so does Connection: whoever sends
// "Connection: x-team" must not have the x-team dropped that the route sets.

#include <string_view>
#include <vector>

#include "routing/route.h"
#include "wire/http1/message.h"

namespace datapunk::mesh::routing {

void apply(const HeaderEdits& edits, std::vector<wire::http1::Field>& fields);

// Whether a route must leave a field of this name alone: hop-by-hop and framing fields (RFC 9110
// 7.6.1, 9112 6), Host (rewrite.host), what says who the caller is, and what this hop says itself.
// Underscores count as dashes: CGI and its like make the same variable of both.
bool is_protected_field(std::string_view name);

}  // namespace datapunk::mesh::routing
