#include "registry/consul/consul_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/health_check.h"
#include "registry/consul/messages.h"
#include "wire/url.h"

namespace datapunk::mesh::registry::consul {

namespace {

// Consul's own maximum; it would cut a longer wait down to it.
constexpr Duration kWaitMin = std::chrono::milliseconds(1);  // its unit on the wire

}  // namespace

Result<std::unique_ptr<ConsulBackend>> ConsulBackend::create(
    io::Network& network, ConsulConfig config
) {
    if (auto verdict = check(config); !verdict) return verdict.error();
    return std::unique_ptr<ConsulBackend>(new ConsulBackend(network, std::move(config)));
}

ConsulBackend::ConsulBackend(io::Network& network, ConsulConfig config)
    : network_(network),
      config_(std::move(config)),
      client_(network, {.body_bytes_max = config_.body_bytes_max}) {}

std::string ConsulBackend::query() const {
    std::string out = config_.stale ? "?stale" : "?leader";
    if (!config_.datacenter.empty()) out += "&dc=" + wire::percent_encode(config_.datacenter);
    return out;
}

Error ConsulBackend::explained(std::string_view asked, Error error) const {
    error.what =
        fmt::format("consul at {}:{}: {}: {}", config_.host, config_.port, asked, error.what);
    return error;
}

io::Task<Result<http::Response>> ConsulBackend::ask(
    std::string method, std::string target, std::string body, Instant deadline
) {
    const std::string asked = fmt::format("{} {}", method, target.substr(0, 200));
    http::Request request{.method = std::move(method), .target = std::move(target)};
    if (!config_.token.empty()) request.headers.push_back({"X-Consul-Token", config_.token});
    if (!body.empty()) request.headers.push_back({"Content-Type", "application/json"});
    request.body = std::move(body);
    auto response =
        co_await client_.fetch(config_.host, config_.port, std::move(request), deadline);
    if (!response) {
        Error error = explained(asked, std::move(response).error());
        error.source = Source::registry;
        error.retryable = error.code != Code::exhausted && error.code != Code::aborted;
        co_return error;
    }
    co_return std::move(response);
}

io::Task<Result<>> ConsulBackend::put(std::string target, std::string body, Instant deadline) {
    const std::string asked = fmt::format("PUT {}", target.substr(0, 200));
    const std::string method = "PUT";
    auto response = co_await ask(method, std::move(target), std::move(body), deadline);
    if (!response) co_return std::move(response).error();
    if (response->status != 200) co_return explained(asked, refusal(*response));
    co_return Ok{};
}

io::Task<Result<>> ConsulBackend::register_service(ServiceConfig config, Instant deadline) {
    if (const auto what = core::beyond_registry(config.check); !what.empty()) {
        co_return Error{
            .code = Code::invalid,
            .what = fmt::format("{}: {} is not Consul's to run", config.id, what),
            .source = Source::registry
        };
    }
    const std::string target = "/v1/agent/service/register?replace-existing-checks=true";
    const std::string body = registration_body(config, config_.owner);
    auto done = co_await put(target, body, deadline);
    co_return std::move(done);
}

io::Task<Result<>> ConsulBackend::deregister_service(std::string id, Instant deadline) {
    auto known = co_await has_service(id, deadline);
    if (!known) co_return std::move(known).error();
    if (!*known) {
        co_return Error{
            .code = Code::not_found,
            .what =
                fmt::format("consul at {}:{} has no service {}", config_.host, config_.port, id),
            .source = Source::registry
        };
    }
    const std::string target = "/v1/agent/service/deregister/" + wire::percent_encode(id);
    const std::string no_body;
    auto done = co_await put(target, no_body, deadline);
    co_return std::move(done);
}

io::Task<Result<bool>> ConsulBackend::has_service(std::string id, Instant deadline) {
    const std::string method = "GET";
    const std::string target = "/v1/agent/service/" + wire::percent_encode(id);
    const std::string no_body;
    auto response = co_await ask(method, target, no_body, deadline);
    if (!response) co_return std::move(response).error();
    if (response->status == 200) co_return true;
    // An agent says so in words; a 404 without them comes from something that is no agent.
    const bool is_unknown =
        response->status == 404 && response->body.find("nknown service") != std::string::npos;
    if (is_unknown) co_return false;
    co_return explained("GET " + target, refusal(*response));
}

io::Task<Result<>> ConsulBackend::heartbeat(
    std::string id, Health health, std::string note, Instant deadline
) {
    const std::string target = "/v1/agent/check/update/" + wire::percent_encode(check_id(id));
    const std::string body = heartbeat_body(health, note);
    auto done = co_await put(target, body, deadline);
    co_return std::move(done);
}

io::Task<Result<Answer>> ConsulBackend::wait(
    std::string service, std::uint64_t after, Duration longest, Instant deadline
) {
    std::string target = "/v1/health/service/" + wire::percent_encode(service) + query();
    const Instant now = network_.loop().now();
    if (after > 0 && longest > Duration::zero()) {
        longest = std::clamp(longest, kWaitMin, config_.wait_max);
        const auto wait_ms = std::chrono::ceil<std::chrono::milliseconds>(longest).count();
        target += fmt::format("&index={}&wait={}ms", after, wait_ms);
        // Consul adds up to a sixteenth, so that many waits do not end together.
        deadline = std::min(deadline, now + longest + longest / 16 + config_.wait_slack);
    }
    const std::string asked = "GET " + target;
    const std::string method = "GET";
    const std::string no_body;
    auto response = co_await ask(method, std::move(target), no_body, deadline);
    if (!response) co_return std::move(response).error();
    // The index of an error answer is 1 and means nothing.
    if (response->status != 200) co_return explained(asked, refusal(*response));
    auto index = parse_index(*response);
    if (!index) co_return explained(asked, std::move(index).error());
    auto endpoints = parse_health(response->body);
    if (!endpoints) co_return explained(asked, std::move(endpoints).error());
    co_return Answer{.endpoints = *std::move(endpoints), .index = *index};
}

io::Task<Result<std::vector<ServiceSummary>>> ConsulBackend::services(Instant deadline) {
    const std::string method = "GET";
    const std::string target = "/v1/catalog/services" + query();
    const std::string no_body;
    auto response = co_await ask(method, target, no_body, deadline);
    if (!response) co_return std::move(response).error();
    if (response->status != 200) co_return explained("GET " + target, refusal(*response));
    auto summaries = parse_services(response->body);
    if (!summaries) co_return explained("GET " + target, std::move(summaries).error());
    co_return std::move(summaries);
}

}  // namespace datapunk::mesh::registry::consul
