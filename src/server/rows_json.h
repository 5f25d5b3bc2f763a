#pragma once

// The catalog's rows as Consul 1.16 writes them, field for field: where it says null, {} or [] for
// "nothing" depends on the endpoint, so each has its function. Pure.

#include <string_view>
#include <vector>

#include "catalog/catalog.h"
#include "wire/json_writer.h"

namespace datapunk::mesh::server {

using wire::JsonWriter;

// How "no tags" is written: [] but in the answers of transactions.
enum class NoTags : std::uint8_t { empty_list, null };

void write_node(JsonWriter& json, const catalog::NodeRow& node, std::string_view datacenter);
// The Service of health/service and catalog/node.
void write_service(
    JsonWriter& json, const catalog::ServiceRow& service, NoTags no_tags = NoTags::empty_list
);
// A check of health/* and catalog/*; `service` is null for the node's own.
void write_check(
    JsonWriter& json,
    const catalog::NodeRow& node,
    const catalog::ServiceRow* service,
    const catalog::CheckRow& check,
    NoTags no_tags = NoTags::empty_list
);
// {Node, Service, Checks}: one instance in health/service.
// `no_tags`: of checks that are the node's; null in the answers of prepared queries.
void write_health(
    JsonWriter& json,
    const catalog::InstanceRef& ref,
    std::string_view datacenter,
    NoTags no_tags = NoTags::empty_list
);
// One instance in catalog/service.
void write_catalog_service(
    JsonWriter& json, const catalog::InstanceRef& ref, std::string_view datacenter
);

// agent/services; with a hash: agent/service/ID.
void write_agent_service(
    JsonWriter& json,
    const catalog::ServiceRow& service,
    std::string_view datacenter,
    std::string_view content_hash = {}
);
// agent/checks; `output` is what the agent knows, newer than the row's.
void write_agent_check(JsonWriter& json, const catalog::CheckRef& ref, std::string_view output);
// Checks inside agent/health/service, in yet another form.
void write_agent_health_check(
    JsonWriter& json, const catalog::CheckRef& ref, std::string_view output
);

// One entry of GET /kv; without_value as transactions show what they have written.
void write_kv(
    JsonWriter& json, std::string_view key, const catalog::KvRow& row, bool without_value = false
);
void write_session(JsonWriter& json, const catalog::SessionRow& session);
void write_texts(JsonWriter& json, const std::vector<std::string>& texts);

}  // namespace datapunk::mesh::server
