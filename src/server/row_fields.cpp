#include "server/row_fields.h"

namespace datapunk::mesh::server {

using Json = nlohmann::json;

void read_weights(JsonFields& fields, const Json& json, catalog::DnsWeights& out) {
    // 0 must reach prepare(), which refuses it; what is not given stays 1.
    fields.object(
        json,
        "Weights",
        {fields.number("Passing", out.passing), fields.number("Warning", out.warning)}
    );
}

void read_tagged_addresses(JsonFields& fields, const Json& json, catalog::ServiceRow& out) {
    if (!json.is_object()) return fields.mismatch(json, "map[string]structs.ServiceAddress");
    for (const auto& [name, value] : json.items()) {
        catalog::TaggedAddress& tagged = out.tagged_addresses[name];
        fields.object(
            value,
            "ServiceAddress",
            {fields.text("Address", tagged.address), fields.number("Port", tagged.port)}
        );
    }
}

void read_node_service(JsonFields& fields, const Json& json, catalog::ServiceRow& out) {
    fields.object(
        json,
        "NodeService",
        {fields.text("ID", out.id),
         fields.text("Service", out.name),
         fields.texts("Tags", out.tags),
         fields.text("Address", out.address),
         {"TaggedAddresses", [&](const Json& t) { read_tagged_addresses(fields, t, out); }},
         fields.text_map("Meta", out.meta),
         fields.number("Port", out.port),
         {"Weights", [&](const Json& w) { read_weights(fields, w, out.weights); }},
         fields.boolean("EnableTagOverride", out.enable_tag_override),
         fields.unsupported("Kind"),
         fields.unsupported("SocketPath"),
         JsonFields::ignored("Proxy"),
         JsonFields::ignored("Connect"),
         JsonFields::ignored("Locality"),
         JsonFields::ignored("PeerName"),
         JsonFields::ignored("Datacenter"),
         JsonFields::ignored("ContentHash"),
         JsonFields::ignored("CreateIndex"),
         fields.number("ModifyIndex", out.index.modified),
         JsonFields::ignored("Namespace"),
         JsonFields::ignored("Partition")}
    );
}

void read_health_check(
    JsonFields& fields,
    const Json& json,
    std::string& node,
    catalog::CheckRow& out,
    std::string& status
) {
    fields.object(
        json,
        "HealthCheck",
        {fields.text("Node", node),          fields.text("CheckID", out.id),
         fields.text("ID", out.id),          fields.text("Name", out.name),
         fields.text("Status", status),      fields.text("Notes", out.notes),
         fields.text("Output", out.output),  fields.text("ServiceID", out.service_id),
         JsonFields::ignored("ServiceName"), JsonFields::ignored("ServiceTags"),
         JsonFields::ignored("Type"),        JsonFields::ignored("Interval"),
         JsonFields::ignored("Timeout"),     JsonFields::ignored("ExposedPort"),
         JsonFields::ignored("Definition"),  JsonFields::ignored("PeerName"),
         JsonFields::ignored("CreateIndex"), fields.number("ModifyIndex", out.index.modified),
         JsonFields::ignored("Namespace"),   JsonFields::ignored("Partition")}
    );
}

}  // namespace datapunk::mesh::server
