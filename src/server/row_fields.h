#pragma once

// The catalog's rows inside request bodies, for the bodies that have them: catalog/register and
// txn. For bodies.cpp and its like only: includes nlohmann.

#include <string>

#include "catalog/rows.h"
#include "server/json_fields.h"

namespace datapunk::mesh::server {

void read_weights(JsonFields& fields, const nlohmann::json& json, catalog::DnsWeights& out);
void read_tagged_addresses(
    JsonFields& fields, const nlohmann::json& json, catalog::ServiceRow& out
);
// With out.index.modified as it was sent: what compare-and-set compares with.
void read_node_service(JsonFields& fields, const nlohmann::json& json, catalog::ServiceRow& out);
// Somebody else runs it: the definition is theirs and stays with them. The status is as it was
// sent, perhaps empty.
void read_health_check(
    JsonFields& fields,
    const nlohmann::json& json,
    std::string& node,
    catalog::CheckRow& out,
    std::string& status
);

}  // namespace datapunk::mesh::server
