#pragma once

// The body of PUT /session/create -> a session, on top of what `session` has as defaults. Pure.

#include <datapunk/mesh/result.h>

#include <string_view>

#include "catalog/rows.h"

namespace datapunk::mesh::server {

// Errors are the client's. Two of them are told apart by code, as Consul answers them differently:
// invalid (400) for what cannot be decoded, conflict (500) for a behavior that does not exist.
[[nodiscard]] Result<> read_session(std::string_view body, catalog::SessionRow& session);

}  // namespace datapunk::mesh::server
