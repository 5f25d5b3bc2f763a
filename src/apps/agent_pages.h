#pragma once

// The admin pages' contents, as JSON made from plain values. agent.cpp registers them.

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "policy/events.h"
#include "policy/view.h"
#include "proxy/upstream_service.h"

namespace datapunk::mesh::apps {

// One reason why the agent is not ready; none = ready.
struct Unready {
    std::string part;  // "registry", "drain", …
    std::string why;
};

struct TimedEvent {
    WallTime at;
    policy::PolicyEvent event;
};

std::string ready_json(const std::vector<Unready>& reasons);
std::string endpoints_json(const std::vector<policy::ServiceView>& services, Instant now);
// PUT /breaker: what `query` says, done.
http::Response force_breaker(
    const proxy::UpstreamServices& services, std::string_view query, Instant now
);

std::string events_json(const std::deque<TimedEvent>& events);

}  // namespace datapunk::mesh::apps
