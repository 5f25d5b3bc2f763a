#pragma once

// What is said to a Consul agent and how its answers are read. Pure: text in, values out. Facts
// are those of Consul 1.8 to 1.16 as recorded; see the tests.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/registration.h>
#include <datapunk/mesh/result.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "registry/backend.h"

namespace simdjson::dom {
class parser;
}

namespace datapunk::mesh::registry::consul {

// The body of PUT /v1/agent/service/register: the service and its check in one.
std::string registration_body(const ServiceConfig& config);
// The id of the check that registration_body() asks for.
std::string check_id(std::string_view service_id);
// The body of PUT /v1/agent/check/update/:check_id.
std::string heartbeat_body(Health health, std::string_view note);

// The same for the catalog. The bodies of PUT /v1/catalog/register: of a service with its check,
// and of the check's renewal, good until `until`; and of PUT /v1/catalog/deregister.
struct CatalogPlace {
    std::string node;
    std::string address;
};
std::string catalog_registration_body(
    const ServiceConfig& config, const CatalogPlace& place, WallTime until
);
std::string catalog_heartbeat_body(
    std::string_view service_id,
    Health health,
    std::string_view note,
    const CatalogPlace& place,
    WallTime until
);
std::string catalog_deregistration_body(std::string_view service_id, const CatalogPlace& place);
// The metadata of the service in the body of GET /v1/catalog/node/:name; unset if it has none such.
Result<std::optional<Metadata>> parse_node_service(
    std::string_view body, std::string_view service_id
);
// The same in the body of GET /v1/agent/service/:id.
Result<Metadata> parse_agent_service(std::string_view body);

// The body of GET /v1/health/service/:name, sorted by id. An endpoint's health is the worst of its
// checks, the node's included; its address is the node's if it has none; its weight is the one that
// goes with its health. Ids that several nodes use become "id@node". Instances without an address
// or port cannot be called and are left out. A renewal of ours that is over at `now` is critical.
Result<std::vector<ServiceEndpoint>> parse_health(std::string_view body, WallTime now = {});

// One instance of that body, by itself; its id is unique on its node only.
struct HealthInstance {
    ServiceEndpoint endpoint{};
    bool is_callable = false;
    bool is_renewed = false;  // by a renewal of ours, which runs out
};

// Keeps its parser's memory from one to the next.
class InstanceReader {
  public:
    InstanceReader();
    ~InstanceReader();
    InstanceReader(const InstanceReader&) = delete;
    InstanceReader& operator=(const InstanceReader&) = delete;

    Result<HealthInstance> read(std::string_view text, WallTime now);

  private:
    std::unique_ptr<simdjson::dom::parser> parser_;
};

// What parse_health() does to the endpoints that it has read: the order, unique ids.
void order_endpoints(std::vector<ServiceEndpoint>& endpoints);
// The body of GET /v1/catalog/services, sorted by name.
Result<std::vector<ServiceSummary>> parse_services(std::string_view body);
// X-Consul-Index; less than 1 counts as 1. An error if it is missing or no number: a loop without
// an index would spin.
Result<std::uint64_t> parse_index(const http::Response& response);

// Whether what an answer says may be old: its server knows no leader, or has not heard of it for
// `last_contact_max`.
bool is_stale(const http::Response& response, Duration last_contact_max) noexcept;
// Whether an empty list may be empty only because we may not see what is in it.
bool may_be_filtered(const http::Response& response, bool has_token) noexcept;

// What an answer that is not 200 means: 403 denied, 404 not found, 429 and 5xx unavailable (may be
// tried again), the rest invalid.
Error refusal(const http::Response& response);

}  // namespace datapunk::mesh::registry::consul
