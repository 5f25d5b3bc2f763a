#pragma once

// Tests and benchmarks only: endpoint sets and calls against a ServicePolicies.

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "policy/service_policies.h"

namespace datapunk::mesh::policy {

inline Instant at(std::chrono::milliseconds since_start) {
    return Instant(since_start);
}

inline ServiceEndpoint test_endpoint(std::size_t i) {
    std::string number = std::to_string(i);
    number.insert(0, 5 - std::min<std::size_t>(5, number.size()), '0');
    return {
        .id = "e" + number,
        .service = "api_service",
        .host = "10.0.0." + std::to_string(i % 250),
        .port = static_cast<std::uint16_t>(1 + i),
    };
}

inline EndpointSet test_set(std::size_t size) {
    EndpointSet set{.service = "api_service"};
    for (std::size_t i = 0; i < size; ++i) set.endpoints.push_back(test_endpoint(i));
    return set;
}

using resilience::Outcome;

inline CallState call_at(Instant now) {
    return CallState(resilience::Deadline::in(now, std::chrono::seconds(15)));
}

// One attempt of a call of its own, the endpoint's id, or nothing.
inline std::optional<std::string> ask(
    ServicePolicies& policies,
    Instant now,
    Outcome outcome = Outcome::success,
    Duration latency = {}
) {
    CallState call = call_at(now);
    auto begun = policies.begin_attempt(call, now);
    auto* attempt = std::get_if<HeldEndpoint>(&begun);
    if (attempt == nullptr) return std::nullopt;
    std::string id = attempt->endpoint().id;
    policies.finish_attempt(std::move(*attempt), outcome, now + latency);
    return id;
}

}  // namespace datapunk::mesh::policy
