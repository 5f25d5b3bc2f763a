#include "server/filter/filter_rows.h"

#include <utility>

namespace datapunk::mesh::server {

namespace {

using catalog::ServiceRow;

// --- fields, each read by a function without state

template <class Row>
const Row& as(const void* row) {
    return *static_cast<const Row*>(row);
}

FilterField text(std::string_view name, FieldValue (*get)(const void*)) {
    return {.name = name, .type = FieldType::text, .get = get};
}

FilterField empty_text(std::string_view name) {
    return text(name, [](const void*) -> FieldValue { return std::string_view(); });
}

FilterField zero(std::string_view name) {
    return {.name = name, .type = FieldType::integer, .get = [](const void*) -> FieldValue {
                return std::int64_t{0};
            }};
}

FilterField no(std::string_view name) {
    return {.name = name, .type = FieldType::boolean, .get = [](const void*) -> FieldValue {
                return false;
            }};
}

FilterField text_map(std::string_view name, FieldValue (*get)(const void*)) {
    return {.name = name, .type = FieldType::text_map, .get = get};
}

FilterField texts(std::string_view name, FieldValue (*get)(const void*)) {
    return {.name = name, .type = FieldType::texts, .get = get};
}

FilterField integer(std::string_view name, FieldValue (*get)(const void*)) {
    return {.name = name, .type = FieldType::integer, .get = get};
}

FilterField boolean(std::string_view name, FieldValue (*get)(const void*)) {
    return {.name = name, .type = FieldType::boolean, .get = get};
}

FilterField record(std::string_view name, const FilterSchema& inner) {
    return {.name = name, .type = FieldType::record, .inner = &inner};
}

// A list that is always empty.
FilterField no_records(std::string_view name, const FilterSchema& inner) {
    return {
        .name = name,
        .type = FieldType::records,
        .inner = &inner,
        .size = [](const void*) -> std::size_t { return 0; },
        .any = [](const void*, const MatchRecord&) { return false; }
    };
}

// --- what every service could have and none here has

const FilterSchema& mode_schema() {
    static const FilterSchema schema = {empty_text("Mode")};
    return schema;
}

const FilterSchema& upstream_schema() {
    static const FilterSchema schema = {
        empty_text("DestinationType"),
        empty_text("DestinationNamespace"),
        empty_text("DestinationPartition"),
        empty_text("DestinationPeer"),
        empty_text("DestinationName"),
        empty_text("Datacenter"),
        empty_text("LocalBindAddress"),
        zero("LocalBindPort"),
        empty_text("LocalBindSocketPath"),
        empty_text("LocalBindSocketMode"),
        record("MeshGateway", mode_schema()),
    };
    return schema;
}

const FilterSchema& transparent_proxy_schema() {
    static const FilterSchema schema = {zero("OutboundListenerPort"), no("DialedDirectly")};
    return schema;
}

const FilterSchema& proxy_schema() {
    static const FilterSchema schema = {
        empty_text("DestinationServiceName"),
        empty_text("DestinationServiceID"),
        empty_text("LocalServiceAddress"),
        zero("LocalServicePort"),
        empty_text("LocalServiceSocketPath"),
        empty_text("Mode"),
        no_records("Upstreams", upstream_schema()),
        record("MeshGateway", mode_schema()),
        record("TransparentProxy", transparent_proxy_schema()),
    };
    return schema;
}

const FilterSchema& connect_schema() {
    static const FilterSchema schema = {no("Native")};
    return schema;
}

// --- parts of a service; the row is whatever `Get` finds the service in

const FilterSchema& tagged_address_schema() {
    using catalog::TaggedAddress;
    static const FilterSchema schema = {
        text(
            "Address",
            [](const void* r) -> FieldValue {
                return std::string_view(as<TaggedAddress>(r).address);
            }
        ),
        integer(
            "Port",
            [](const void* r) -> FieldValue { return std::int64_t{as<TaggedAddress>(r).port}; }
        ),
    };
    return schema;
}

using GetService = const ServiceRow& (*)(const void*);

const ServiceRow& service_itself(const void* row) {
    return as<ServiceRow>(row);
}

const ServiceRow& service_of_instance(const void* row) {
    return as<InstanceView>(row).ref.instance->row;
}

template <GetService Get>
const FilterSchema& weights_schema() {
    static const FilterSchema schema = {
        integer(
            "Passing",
            [](const void* r) -> FieldValue { return std::int64_t{Get(r).weights.passing}; }
        ),
        integer(
            "Warning",
            [](const void* r) -> FieldValue { return std::int64_t{Get(r).weights.warning}; }
        ),
    };
    return schema;
}

// What a service's fields are called: with or without "Service" before them.
struct ServiceNames {
    std::string_view id, name, tags, address, meta, port, weights, enable_tag_override, kind,
        socket_path, tagged_addresses, proxy, connect, peer;
};

template <GetService Get>
void add_service(FilterSchema& out, const ServiceNames& names) {
    using View = std::string_view;
    out.push_back(text(names.id, [](const void* r) -> FieldValue { return View(Get(r).id); }));
    out.push_back(text(names.name, [](const void* r) -> FieldValue { return View(Get(r).name); }));
    out.push_back(texts(names.tags, [](const void* r) -> FieldValue { return &Get(r).tags; }));
    out.push_back(text(names.address, [](const void* r) -> FieldValue {
        return View(Get(r).address);
    }));
    out.push_back(text_map(names.meta, [](const void* r) -> FieldValue { return &Get(r).meta; }));
    out.push_back(integer(names.port, [](const void* r) -> FieldValue {
        return std::int64_t{Get(r).port};
    }));
    out.push_back(record(names.weights, weights_schema<Get>()));
    out.push_back(boolean(names.enable_tag_override, [](const void* r) -> FieldValue {
        return Get(r).enable_tag_override;
    }));
    out.push_back({
        .name = names.tagged_addresses,
        .type = FieldType::record_map,
        .inner = &tagged_address_schema(),
        .size = [](const void* r) { return Get(r).tagged_addresses.size(); },
        .at = [](const void* r, std::string_view key) -> const void* {
            const auto& map = Get(r).tagged_addresses;
            const auto found = map.find(key);
            return found == map.end() ? nullptr : &found->second;
        },
    });
    out.push_back(empty_text(names.kind));
    out.push_back(empty_text(names.socket_path));
    out.push_back(record(names.proxy, proxy_schema()));
    out.push_back(record(names.connect, connect_schema()));
    out.push_back(empty_text(names.peer));
}

constexpr ServiceNames kShortNames = {
    "ID",
    "Service",
    "Tags",
    "Address",
    "Meta",
    "Port",
    "Weights",
    "EnableTagOverride",
    "Kind",
    "SocketPath",
    "TaggedAddresses",
    "Proxy",
    "Connect",
    "PeerName"
};
constexpr ServiceNames kLongNames = {
    "ServiceID",
    "ServiceName",
    "ServiceTags",
    "ServiceAddress",
    "ServiceMeta",
    "ServicePort",
    "ServiceWeights",
    "ServiceEnableTagOverride",
    "ServiceKind",
    "ServiceSocketPath",
    "ServiceTaggedAddresses",
    "ServiceProxy",
    "ServiceConnect",
    "PeerName"
};

template <GetService Get>
const FilterSchema& plain_service_schema() {
    static const FilterSchema schema = [] {
        FilterSchema out;
        add_service<Get>(out, kShortNames);
        return out;
    }();
    return schema;
}

// --- parts of a node

using GetNode = const catalog::NodeRow& (*)(const void*);
using GetText = std::string_view (*)(const void*);

template <GetNode Get, GetText Datacenter>
void add_node(FilterSchema& out, std::string_view meta) {
    using View = std::string_view;
    out.push_back(text("ID", [](const void* r) -> FieldValue { return View(Get(r).id); }));
    out.push_back(text("Node", [](const void* r) -> FieldValue { return View(Get(r).name); }));
    out.push_back(text("Address", [](const void* r) -> FieldValue { return View(Get(r).address); })
    );
    out.push_back(text("Datacenter", [](const void* r) -> FieldValue { return Datacenter(r); }));
    out.push_back(text_map("TaggedAddresses", [](const void* r) -> FieldValue {
        return &Get(r).tagged_addresses;
    }));
    out.push_back(text_map(meta, [](const void* r) -> FieldValue { return &Get(r).meta; }));
}

const catalog::NodeRow& node_of_view(const void* row) {
    return as<NodeView>(row).node;
}

std::string_view datacenter_of_view(const void* row) {
    return as<NodeView>(row).datacenter;
}

const catalog::NodeRow& node_of_instance(const void* row) {
    return as<InstanceView>(row).ref.node->row;
}

std::string_view datacenter_of_instance(const void* row) {
    return as<InstanceView>(row).datacenter;
}

const FilterSchema& instance_node_schema() {
    static const FilterSchema schema = [] {
        FilterSchema out;
        add_node<node_of_instance, datacenter_of_instance>(out, "Meta");
        out.push_back(empty_text("PeerName"));
        return out;
    }();
    return schema;
}

bool any_check(const void* row, const MatchRecord& matches) {
    const catalog::InstanceRef& ref = as<InstanceView>(row).ref;
    for (const auto& [id, check] : ref.node->checks) {
        const CheckRowView view{{ref.node, nullptr, &check}, check.output};
        if (matches(&view)) return true;
    }
    for (const auto& [id, check] : ref.instance->checks) {
        const CheckRowView view{{ref.node, &ref.instance->row, &check}, check.output};
        if (matches(&view)) return true;
    }
    return false;
}

std::size_t count_checks(const void* row) {
    const catalog::InstanceRef& ref = as<InstanceView>(row).ref;
    return ref.node->checks.size() + ref.instance->checks.size();
}

const catalog::CheckRef& check_of(const void* row) {
    return as<CheckRowView>(row).ref;
}

}  // namespace

const FilterSchema& node_schema() {
    static const FilterSchema schema = [] {
        FilterSchema out;
        add_node<node_of_view, datacenter_of_view>(out, "Meta");
        out.push_back(empty_text("PeerName"));
        return out;
    }();
    return schema;
}

const FilterSchema& service_schema() {
    return plain_service_schema<service_itself>();
}

const FilterSchema& check_schema() {
    using View = std::string_view;
    static const std::vector<std::string> kNoTags;
    static const FilterSchema schema = {
        text("Node", [](const void* r) -> FieldValue { return View(check_of(r).node->row.name); }),
        text("CheckID", [](const void* r) -> FieldValue { return View(check_of(r).check->id); }),
        text("Name", [](const void* r) -> FieldValue { return View(check_of(r).check->name); }),
        text(
            "Status",
            [](const void* r) -> FieldValue { return mesh::to_string(check_of(r).check->status); }
        ),
        text("Notes", [](const void* r) -> FieldValue { return View(check_of(r).check->notes); }),
        text("Output", [](const void* r) -> FieldValue { return as<CheckRowView>(r).output; }),
        text(
            "ServiceID",
            [](const void* r) -> FieldValue {
                const ServiceRow* service = check_of(r).service;
                return service == nullptr ? View() : View(service->id);
            }
        ),
        text(
            "ServiceName",
            [](const void* r) -> FieldValue {
                const ServiceRow* service = check_of(r).service;
                return service == nullptr ? View() : View(service->name);
            }
        ),
        texts(
            "ServiceTags",
            [](const void* r) -> FieldValue {
                const ServiceRow* service = check_of(r).service;
                return service == nullptr ? &kNoTags : &service->tags;
            }
        ),
        text(
            "Type",
            [](const void* r) -> FieldValue {
                return catalog::to_string(check_of(r).check->definition.kind);
            }
        ),
        zero("ExposedPort"),
        empty_text("PeerName"),
    };
    return schema;
}

const FilterSchema& health_schema() {
    static const FilterSchema schema = {
        record("Node", instance_node_schema()),
        record("Service", plain_service_schema<service_of_instance>()),
        {
            .name = "Checks",
            .type = FieldType::records,
            .inner = &check_schema(),
            .size = count_checks,
            .any = any_check,
        },
    };
    return schema;
}

const FilterSchema& catalog_service_schema() {
    static const FilterSchema schema = [] {
        FilterSchema out;
        add_node<node_of_instance, datacenter_of_instance>(out, "NodeMeta");
        add_service<service_of_instance>(out, kLongNames);
        return out;
    }();
    return schema;
}

}  // namespace datapunk::mesh::server
