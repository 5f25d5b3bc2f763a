#pragma once

// What is said to a Consul agent and how its answers are read. Pure: text in, values out. Facts
// are those of Consul 1.8 to 1.16 as recorded; see the tests.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/registration.h>
#include <datapunk/mesh/result.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "registry/backend.h"

namespace datapunk::mesh::registry::consul {

// The body of PUT /v1/agent/service/register: the service and its check in one.
std::string registration_body(const ServiceConfig& config, std::string_view owner);
// The id of the check that registration_body() asks for.
std::string check_id(std::string_view service_id);
// The body of PUT /v1/agent/check/update/:check_id.
std::string heartbeat_body(Health health, std::string_view note);

// The body of GET /v1/health/service/:name, sorted by id. An endpoint's health is the worst of its
// checks, the node's included; its address is the node's if it has none; its weight is the one that
// goes with its health. Ids that several nodes use become "id@node". Instances without an address
// or port cannot be called and are left out.
Result<std::vector<ServiceEndpoint>> parse_health(std::string_view body);
// The body of GET /v1/catalog/services, sorted by name.
Result<std::vector<ServiceSummary>> parse_services(std::string_view body);
// X-Consul-Index; less than 1 counts as 1. An error if it is missing or no number: a loop without
// an index would spin.
Result<std::uint64_t> parse_index(const http::Response& response);

// What an answer that is not 200 means: 403 denied, 404 not found, 429 and 5xx unavailable (may be
// tried again), the rest invalid.
Error refusal(const http::Response& response);

}  // namespace datapunk::mesh::registry::consul
