#pragma once

// The body of POST /v1/query and PUT /v1/query/ID -> a row. As bodies.h.

#include <datapunk/mesh/result.h>

#include <string_view>

#include "catalog/queries.h"

namespace datapunk::mesh::server {

// Code::invalid is what cannot be read (400), Code::conflict what makes no query (500, as Consul),
// Code::unavailable what this registry does not do (501): templates, failover to other datacenters,
// queries that end with a session.
Result<catalog::QueryRow> parse_query(std::string_view body);

}  // namespace datapunk::mesh::server
