#include "mesh/own_writes.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace datapunk::mesh::internal {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kAgain = milliseconds(20);  // a registry may take a moment to show a write
// So long an answer must be as it was written; a registry that changes what it is given (the case
// of tags, say) is not waited for any longer.
constexpr Duration kExactly = seconds(1);
constexpr Duration kMoment = seconds(1);

bool is_there(const ServiceEndpoint& endpoint, const ServiceConfig& config) {
    return endpoint.host == config.host && endpoint.port == config.port;
}

bool is_exactly(const ServiceEndpoint& endpoint, const ServiceConfig& config) {
    return is_there(endpoint, config) && endpoint.weight == config.weight &&
           endpoint.tags == config.tags && endpoint.metadata == config.meta;
}

}  // namespace

io::Task<Result<>> OwnWrites::until(std::string service, Seen seen, Instant deadline) {
    while (discovery_.knows(service)) {
        discovery_.hurry(service);
        std::string name = service;
        auto set = co_await discovery_.discover(std::move(name), false, deadline);
        if (set && seen(**set)) co_return Ok{};
        const Instant again = loop_.now() + kAgain;
        if (again >= deadline) {
            if (!set) co_return std::move(set).error();
            co_return Error{
                .code = Code::timeout,
                .what = fmt::format("the registry does not show it among those of {}", service),
                .source = Source::registry,
                .retryable = true
            };
        }
        co_await io::sleep_until(loop_, again);
    }
    co_return Ok{};
}

io::Task<Result<>> OwnWrites::see_registered(ServiceConfig config, Instant deadline) {
    const Instant exactly_until = loop_.now() + kExactly;
    const auto wanted = std::make_shared<const ServiceConfig>(std::move(config));
    Seen seen = [this, wanted, exactly_until](const EndpointSet& set) {
        const ServiceEndpoint* const endpoint = set.find(wanted->id);
        if (endpoint == nullptr) return false;
        return loop_.now() < exactly_until ? is_exactly(*endpoint, *wanted)
                                           : is_there(*endpoint, *wanted);
    };
    std::string service = wanted->name;
    auto done = co_await until(std::move(service), std::move(seen), deadline);
    co_return done;
}

io::Task<void> OwnWrites::see_gone(
    std::string service, std::string id, std::function<bool()> is_back
) {
    if (!discovery_.knows(service) || (is_back && is_back())) co_return;
    discovery_.note_deregistered(service, id);
    const Instant deadline = loop_.now() + kMoment;
    Seen seen = [id, is_back](const EndpointSet& set) {
        return set.find(id) == nullptr || (is_back && is_back());
    };
    auto done = co_await until(std::move(service), std::move(seen), deadline);
    static_cast<void>(done);
}

io::Task<void> OwnWrites::see_health(std::string service, std::string id, Health health) {
    const Instant deadline = loop_.now() + kMoment;
    Seen seen = [id, health](const EndpointSet& set) {
        const ServiceEndpoint* const endpoint = set.find(id);
        return endpoint == nullptr || endpoint->health == health;
    };
    auto done = co_await until(std::move(service), std::move(seen), deadline);
    static_cast<void>(done);
}

std::vector<std::string> OwnWrites::services_with(const std::string& id) const {
    std::vector<std::string> services;
    discovery_.for_each_known([&](const EndpointSet& set) {
        if (set.find(id) != nullptr) services.push_back(set.service);
    });
    return services;
}

}  // namespace datapunk::mesh::internal
