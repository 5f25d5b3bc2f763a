#include "server/rows_json.h"

#include "core/strings.h"

namespace datapunk::mesh::server {

namespace {

void write_map(JsonWriter& json, const Metadata& map) {
    json.begin_object();
    for (const auto& [key, value] : map) json.key(key).string(value);
    json.end_object();
}

void write_map_or_null(JsonWriter& json, const Metadata& map) {
    if (map.empty()) {
        json.null();
    } else {
        write_map(json, map);
    }
}

void write_weights(JsonWriter& json, const catalog::DnsWeights& weights) {
    json.begin_object();
    json.key("Passing").number(weights.passing).key("Warning").number(weights.warning);
    json.end_object();
}

void write_tagged(JsonWriter& json, std::string_view key, const catalog::ServiceRow& service) {
    if (service.tagged_addresses.empty()) return;
    json.key(key).begin_object();
    for (const auto& [name, tagged] : service.tagged_addresses) {
        json.key(name).begin_object();
        json.key("Address").string(tagged.address).key("Port").number(tagged.port);
        json.end_object();
    }
    json.end_object();
}

void write_no_proxy(JsonWriter& json) {
    json.begin_object().key("Mode").string("");
    json.key("MeshGateway").begin_object().end_object();
    json.key("Expose").begin_object().end_object().end_object();
}

void write_indexes(JsonWriter& json, const catalog::RowIndex& index) {
    json.key("CreateIndex").number(index.created).key("ModifyIndex").number(index.modified);
}

// Consul writes no time in two ways.
void write_duration(JsonWriter& json, Duration duration, const catalog::CheckRow& check) {
    const bool is_left_out = duration == Duration::zero() && !check.is_alone;
    json.string(is_left_out ? std::string() : core::format_go_duration(duration));
}

void write_check_head(
    JsonWriter& json, const catalog::NodeRow& node, const catalog::CheckRow& check
) {
    json.key("Node").string(node.name);
    json.key("CheckID").string(check.id);
    json.key("Name").string(check.name);
    json.key("Status").string(to_string(check.status));
    json.key("Notes").string(check.notes);
}

void write_checks_tail(
    JsonWriter& json, const catalog::CheckRow& check, const catalog::RowIndex& index
) {
    json.key("Type").string(catalog::to_string(check.definition.kind));
    json.key("Interval");
    write_duration(json, check.definition.interval, check);
    json.key("Timeout");
    write_duration(json, check.definition.timeout, check);
    json.key("ExposedPort").number(0).key("Definition").begin_object().end_object();
    write_indexes(json, index);
}

void write_check_service(JsonWriter& json, const catalog::ServiceRow* service) {
    json.key("ServiceID").string(service == nullptr ? "" : service->id);
    json.key("ServiceName").string(service == nullptr ? "" : service->name);
}

}  // namespace

void write_texts(JsonWriter& json, const std::vector<std::string>& texts) {
    json.begin_array();
    for (const std::string& text : texts) json.string(text);
    json.end_array();
}

void write_kv(
    JsonWriter& json, std::string_view key, const catalog::KvRow& row, bool without_value
) {
    json.begin_object().key("LockIndex").number(row.lock_index).key("Key").string(key);
    json.key("Flags").number(row.flags).key("Value");
    if (row.value.empty() || without_value) {
        json.null();
    } else {
        json.string(core::base64_encode(row.value));
    }
    if (!row.session.empty()) json.key("Session").string(row.session);
    write_indexes(json, row.index);
    json.end_object();
}

void write_session(JsonWriter& json, const catalog::SessionRow& session) {
    json.begin_object().key("ID").string(session.id).key("Name").string(session.name);
    json.key("Node").string(session.node);
    json.key("LockDelay").number(session.lock_delay.count());
    json.key("Behavior").string(to_string(session.behavior)).key("TTL").string(session.ttl);
    json.key("NodeChecks");
    write_texts(json, session.node_checks);
    json.key("ServiceChecks");
    if (session.service_checks.empty()) {
        json.null();
    } else {
        json.begin_array();
        for (const catalog::SessionServiceCheck& check : session.service_checks) {
            json.begin_object().key("ID").string(check.id);
            json.key("Namespace").string(check.name_space).end_object();
        }
        json.end_array();
    }
    if (!session.checks.empty()) {
        json.key("Checks");
        write_texts(json, session.checks);
    }
    write_indexes(json, session.index);
    json.end_object();
}

namespace {

void write_tags(JsonWriter& json, const std::vector<std::string>& tags, NoTags no_tags) {
    if (tags.empty() && no_tags == NoTags::null) {
        json.null();
    } else {
        write_texts(json, tags);
    }
}

}  // namespace

void write_node(JsonWriter& json, const catalog::NodeRow& node, std::string_view datacenter) {
    json.begin_object();
    json.key("ID").string(node.id).key("Node").string(node.name);
    json.key("Address").string(node.address).key("Datacenter").string(datacenter);
    json.key("TaggedAddresses");
    write_map_or_null(json, node.tagged_addresses);
    json.key("Meta");
    write_map_or_null(json, node.meta);
    write_indexes(json, node.index);
    json.end_object();
}

void write_service(JsonWriter& json, const catalog::ServiceRow& service, NoTags no_tags) {
    json.begin_object();
    json.key("ID").string(service.id).key("Service").string(service.name);
    json.key("Tags");
    write_tags(json, service.tags, no_tags);
    json.key("Address").string(service.address);
    write_tagged(json, "TaggedAddresses", service);
    json.key("Meta");
    write_map_or_null(json, service.meta);
    json.key("Port").number(service.port).key("Weights");
    write_weights(json, service.weights);
    json.key("EnableTagOverride").boolean(service.enable_tag_override);
    json.key("Proxy");
    write_no_proxy(json);
    json.key("Connect").begin_object().end_object();
    json.key("PeerName").string("");
    write_indexes(json, service.index);
    json.end_object();
}

void write_check(
    JsonWriter& json,
    const catalog::NodeRow& node,
    const catalog::ServiceRow* service,
    const catalog::CheckRow& check,
    NoTags no_tags
) {
    json.begin_object();
    write_check_head(json, node, check);
    json.key("Output").string(check.output);
    write_check_service(json, service);
    json.key("ServiceTags");
    write_tags(json, service == nullptr ? std::vector<std::string>() : service->tags, no_tags);
    write_checks_tail(json, check, check.index);
    json.end_object();
}

void write_health(
    JsonWriter& json, const catalog::InstanceRef& ref, std::string_view datacenter, NoTags no_tags
) {
    json.begin_object().key("Node");
    write_node(json, ref.node->row, datacenter);
    json.key("Service");
    write_service(json, ref.instance->row);
    json.key("Checks").begin_array();
    for (const auto& [id, check] : ref.node->checks) {
        write_check(json, ref.node->row, nullptr, check, no_tags);
    }
    for (const auto& [id, check] : ref.instance->checks) {
        write_check(json, ref.node->row, &ref.instance->row, check);
    }
    json.end_array().end_object();
}

void write_catalog_service(
    JsonWriter& json, const catalog::InstanceRef& ref, std::string_view datacenter
) {
    const catalog::NodeRow& node = ref.node->row;
    const catalog::ServiceRow& service = ref.instance->row;
    json.begin_object();
    json.key("ID").string(node.id).key("Node").string(node.name);
    json.key("Address").string(node.address).key("Datacenter").string(datacenter);
    json.key("TaggedAddresses");
    write_map_or_null(json, node.tagged_addresses);
    json.key("NodeMeta");
    write_map_or_null(json, node.meta);
    json.key("ServiceKind").string("");
    json.key("ServiceID").string(service.id).key("ServiceName").string(service.name);
    json.key("ServiceTags");
    write_texts(json, service.tags);
    json.key("ServiceAddress").string(service.address);
    write_tagged(json, "ServiceTaggedAddresses", service);
    json.key("ServiceWeights");
    write_weights(json, service.weights);
    json.key("ServiceMeta");
    write_map(json, service.meta);
    json.key("ServicePort").number(service.port).key("ServiceSocketPath").string("");
    json.key("ServiceEnableTagOverride").boolean(service.enable_tag_override);
    json.key("ServiceProxy");
    write_no_proxy(json);
    json.key("ServiceConnect").begin_object().end_object().key("ServiceLocality").null();
    write_indexes(json, service.index);
    json.end_object();
}

void write_agent_service(
    JsonWriter& json,
    const catalog::ServiceRow& service,
    std::string_view datacenter,
    std::string_view content_hash
) {
    json.begin_object();
    json.key("ID").string(service.id).key("Service").string(service.name);
    json.key("Tags");
    write_texts(json, service.tags);
    json.key("Meta");
    write_map(json, service.meta);
    json.key("Port").number(service.port).key("Address").string(service.address);
    write_tagged(json, "TaggedAddresses", service);
    json.key("Weights");
    write_weights(json, service.weights);
    json.key("EnableTagOverride").boolean(service.enable_tag_override);
    if (!content_hash.empty()) json.key("ContentHash").string(content_hash);
    json.key("Datacenter").string(datacenter);
    json.end_object();
}

void write_agent_check(JsonWriter& json, const catalog::CheckRef& ref, std::string_view output) {
    json.begin_object();
    write_check_head(json, ref.node->row, *ref.check);
    json.key("Output").string(output);
    write_check_service(json, ref.service);
    json.key("ServiceTags");
    write_texts(json, ref.service == nullptr ? std::vector<std::string>() : ref.service->tags);
    write_checks_tail(json, *ref.check, {});
    json.end_object();
}

void write_agent_health_check(
    JsonWriter& json, const catalog::CheckRef& ref, std::string_view output
) {
    json.begin_object();
    write_check_head(json, ref.node->row, *ref.check);
    json.key("Output").string(output);
    write_check_service(json, ref.service);
    json.key("ServiceTags");
    if (ref.service == nullptr || ref.service->tags.empty()) {
        json.null();
    } else {
        write_texts(json, ref.service->tags);
    }
    json.key("Type").string("").key("ExposedPort").number(0);
    json.key("Definition")
        .raw(
            R"({"Interval":"0s","Timeout":"0s","DeregisterCriticalServiceAfter":"0s","HTTP":"",)"
            R"("Header":null,"Method":"","Body":"","TLSServerName":"","TLSSkipVerify":false,"TCP":"",)"
            R"("TCPUseTLS":false,"UDP":"","GRPC":"","OSService":"","GRPCUseTLS":false})"
        );
    write_indexes(json, {});
    json.end_object();
}

}  // namespace datapunk::mesh::server
