#pragma once

// Runs a prepared query: which instances of its service are to its liking, worst ones left out.
// Pure; for /v1/query and for NAME.query in the DNS.

#include <vector>

#include "catalog/catalog.h"

namespace datapunk::mesh::server {

// Instances with a critical check are never in it; with `only_passing` none with a warning. In the
// catalog's order. What it returns lives until the catalog's next change.
std::vector<catalog::InstanceRef> run_query(
    const catalog::Catalog& catalog, const catalog::QueryRow& query
);

}  // namespace datapunk::mesh::server
