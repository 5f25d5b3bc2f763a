#pragma once

// The rows that ?filter= can be used on, and what each of their fields is called there: Consul's
// tables "Filtering" (api-docs), field for field. What this registry never has (proxies, Connect,
// peers) can be asked for and is empty.

#include <string_view>

#include "catalog/catalog.h"
#include "server/filter/filter.h"

namespace datapunk::mesh::server {

struct NodeView {
    const catalog::NodeRow& node;
    std::string_view datacenter;
};

struct InstanceView {
    catalog::InstanceRef ref;
    std::string_view datacenter;
};

struct CheckRowView {
    catalog::CheckRef ref;
    std::string_view output;
};

// Each says of which struct its rows are.
const FilterSchema& node_schema();             // NodeView: catalog/nodes
const FilterSchema& health_schema();           // InstanceView: health/service
const FilterSchema& catalog_service_schema();  // InstanceView: catalog/service, catalog/services
const FilterSchema& check_schema();            // CheckRowView: health/checks, agent/checks, …
const FilterSchema& service_schema();          // catalog::ServiceRow: agent/services, …

}  // namespace datapunk::mesh::server
