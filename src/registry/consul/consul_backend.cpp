#include "registry/consul/consul_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/health_check.h"
#include "core/strings.h"
#include "io/files.h"
#include "registry/answer_text.h"
#include "registry/consul/health_memory.h"
#include "registry/consul/messages.h"
#include "registry/delta_protocol.h"
#include "registry/left_alone.h"
#include "wire/url.h"

namespace datapunk::mesh::registry::consul {

namespace {

// Consul's own maximum; it would cut a longer wait down to it.
constexpr Duration kWaitMin = std::chrono::milliseconds(1);  // its unit on the wire
// A replaced token counts after so long at most; a refused one is looked up at once.
constexpr Duration kTokenInterval = std::chrono::seconds(10);
constexpr std::size_t kTokenBytesMax = 4096;

Result<std::string> read_token(const std::string& path) {
    io::KernelFiles files;
    auto text = files.read(path, kTokenBytesMax);
    if (!text) return std::move(text).error();
    std::string_view token = *text;
    while (!token.empty() && static_cast<unsigned char>(token.back()) <= 0x20) {
        token.remove_suffix(1);
    }
    const bool is_fit = std::all_of(token.begin(), token.end(), [](char c) {
        return static_cast<unsigned char>(c) > 0x20 && c != 0x7f;
    });
    if (token.empty() || !is_fit) {
        return Error{.code = Code::invalid, .what = fmt::format("{} holds no token", path)};
    }
    return std::string(token);
}

// Under default deny, who may see nothing is told that there is nothing.
Error hidden_by_acls() {
    return {
        .code = Code::denied,
        .what = "nothing that this token may see: the answer is filtered by Consul's ACLs",
        .source = Source::registry
    };
}

}  // namespace

Result<std::unique_ptr<ConsulBackend>> ConsulBackend::create(
    io::Network& network, ConsulConfig config
) {
    if (auto verdict = check(config); !verdict) return verdict.error();
    std::shared_ptr<const io::TlsContext> context;
    if (config.https) {
        io::TlsClientConfig tls;
        tls.ca = config.ca;
        tls.verify_peer = config.verify;
        tls.certificate_chain = config.certificate;
        tls.private_key = config.private_key;
        auto made = http::client_tls(std::move(tls));
        if (!made) return std::move(made).error();
        context = *std::move(made);
    }
    if (!config.token_file.empty()) {
        auto token = read_token(config.token_file);
        if (!token) return std::move(token).error();
        config.token = *std::move(token);
    }
    return std::unique_ptr<ConsulBackend>(
        new ConsulBackend(network, std::move(config), std::move(context))
    );
}

ConsulBackend::ConsulBackend(
    io::Network& network, ConsulConfig config, std::shared_ptr<const io::TlsContext> tls
)
    : network_(network),
      config_(std::move(config)),
      client_(
          network,
          {.body_bytes_max = config_.body_bytes_max,
           .tls = std::move(tls),
           .tls_server_name = config_.server_name}
      ),
      token_(config_.token),
      token_read_at_(network.loop().now()),
      seed_(network.loop().rng()()) {}

Capabilities ConsulBackend::capabilities() const noexcept {
    Capabilities out;
    if (config_.registration == ConsulRegistration::catalog) {
        out.kept_alive_by = KeptAliveBy::heartbeats;
    }
    return out;
}

bool ConsulBackend::refresh_token(bool was_refused) {
    const Instant now = network_.loop().now();
    if (config_.token_file.empty()) return false;
    if (!was_refused && now - token_read_at_ < kTokenInterval) return false;
    token_read_at_ = now;
    auto token = read_token(config_.token_file);
    // In the middle of being replaced, or gone: the one we have may still be good.
    if (!token || *token == token_) return false;
    token_ = *std::move(token);
    return true;
}

Duration ConsulBackend::wait_of(const http::Response& response) const {
    return left_alone_for(
        response.status, response.header("Retry-After"), network_.loop().wall_now()
    );
}

Error ConsulBackend::refused(std::string_view asked, const http::Response& response) const {
    Error error = explained(asked, refusal(response));
    error.retry_after = wait_of(response);
    return error;
}

void ConsulBackend::note_retry_after(const http::Response& response) {
    quiet_until_ = std::max(quiet_until_, network_.loop().now() + wait_of(response));
}

WallTime ConsulBackend::until(Duration ttl) const {
    return network_.loop().wall_now() + ttl;
}

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
    http::Request request{.method = std::move(method), .target = std::move(target)};
    if (!body.empty()) request.headers.push_back({"Content-Type", "application/json"});
    request.body = std::move(body);
    return ask_twice(std::move(request), deadline);
}

io::Task<Result<http::Response>> ConsulBackend::ask_twice(http::Request request, Instant deadline) {
    refresh_token(false);
    auto response = co_await ask_once(request, deadline);
    if (response) note_retry_after(*response);
    // A token that has just been replaced is tried before anybody hears of it.
    if (!response || response->status != 403 || !refresh_token(true)) co_return std::move(response);
    co_return co_await ask_once(std::move(request), deadline);
}

io::Task<Result<http::Response>> ConsulBackend::ask_once(http::Request request, Instant deadline) {
    const std::string asked = fmt::format("{} {}", request.method, request.target.substr(0, 200));
    if (!token_.empty()) request.headers.push_back({"X-Consul-Token", token_});
    if (!config_.user.empty()) {
        const std::string pair = config_.user + ":" + config_.password;
        request.headers.push_back({"Authorization", "Basic " + core::base64_encode(pair)});
    }
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

io::Task<Result<http::Response>> ConsulBackend::question(
    std::string target, std::string delta, Instant deadline
) {
    const std::string asked = "GET " + target.substr(0, 200);
    const Instant now = network_.loop().now();
    if (now < quiet_until_) {
        co_return explained(
            asked,
            {.code = Code::unavailable,
             .what = fmt::format(
                 "not asked: Consul wants to be left alone for another {}",
                 core::format_duration(quiet_until_ - now)
             ),
             .source = Source::registry,
             .retryable = true,
             .retry_after = quiet_until_ - now}
        );
    }
    http::Request request{.method = "GET", .target = std::move(target)};
    if (!delta.empty()) {
        request.headers.push_back({std::string(kDeltaHeader), std::move(delta)});
    }
    auto response = co_await ask_twice(std::move(request), deadline);
    if (!response) co_return std::move(response);
    // The index of an error answer is 1 and means nothing.
    if (response->status != 200) co_return refused(asked, *response);
    co_return std::move(response);
}

io::Task<Result<>> ConsulBackend::put(std::string target, std::string body, Instant deadline) {
    const std::string asked = fmt::format("PUT {}", target.substr(0, 200));
    const std::string method = "PUT";
    auto response = co_await ask(method, std::move(target), std::move(body), deadline);
    if (!response) co_return std::move(response).error();
    if (response->status != 200) co_return refused(asked, *response);
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
    if (config_.registration == ConsulRegistration::catalog) {
        co_return co_await register_in_catalog(std::move(config), deadline);
    }
    const std::string target = "/v1/agent/service/register?replace-existing-checks=true";
    const std::string body = registration_body(config);
    auto done = co_await put(target, body, deadline);
    co_return std::move(done);
}

io::Task<Result<>> ConsulBackend::register_in_catalog(ServiceConfig config, Instant deadline) {
    const Duration ttl = config.check.ttl;
    const CatalogPlace place{config_.node, config_.node_address};
    const std::string body = catalog_registration_body(config, place, until(ttl));
    const std::string target = "/v1/catalog/register";
    auto done = co_await put(target, body, deadline);
    if (done) ttls_[config.id] = ttl;
    co_return std::move(done);
}

io::Task<Result<std::optional<Metadata>>> ConsulBackend::find_in_catalog(
    std::string id, Instant deadline
) {
    // Not stale: a server that lags behind would deny what it was just told.
    const std::string target = "/v1/catalog/node/" + wire::percent_encode(config_.node);
    const std::string method = "GET";
    const std::string no_body;
    auto response = co_await ask(method, target, no_body, deadline);
    if (!response) co_return std::move(response).error();
    if (response->status != 200) co_return refused("GET " + target, *response);
    auto found = parse_node_service(response->body, id);
    if (!found) co_return explained("GET " + target, std::move(found).error());
    if (!*found && may_be_filtered(*response, !token_.empty())) {
        co_return explained("GET " + target, hidden_by_acls());
    }
    co_return std::move(found);
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
    if (config_.registration == ConsulRegistration::catalog) {
        const CatalogPlace place{config_.node, config_.node_address};
        const std::string body = catalog_deregistration_body(id, place);
        const std::string target = "/v1/catalog/deregister";
        auto done = co_await put(target, body, deadline);
        if (done) ttls_.erase(id);
        co_return std::move(done);
    }
    const std::string target = "/v1/agent/service/deregister/" + wire::percent_encode(id);
    const std::string no_body;
    auto done = co_await put(target, no_body, deadline);
    co_return std::move(done);
}

io::Task<Result<bool>> ConsulBackend::has_service(std::string id, Instant deadline) {
    auto found = co_await metadata_of(std::move(id), deadline);
    if (!found) co_return std::move(found).error();
    co_return found->has_value();
}

io::Task<Result<std::optional<Metadata>>> ConsulBackend::metadata_of(
    std::string id, Instant deadline
) {
    if (config_.registration == ConsulRegistration::catalog) {
        co_return co_await find_in_catalog(std::move(id), deadline);
    }
    const std::string method = "GET";
    const std::string target = "/v1/agent/service/" + wire::percent_encode(id);
    const std::string no_body;
    std::optional<Metadata> found;
    auto response = co_await ask(method, target, no_body, deadline);
    if (!response) co_return std::move(response).error();
    if (response->status == 200) {
        auto metadata = parse_agent_service(response->body);
        if (!metadata) co_return explained("GET " + target, std::move(metadata).error());
        found = *std::move(metadata);
        co_return found;
    }
    // An agent says so in words; a 404 without them comes from something that is no agent.
    const bool is_unknown =
        response->status == 404 && response->body.find("nknown service") != std::string::npos;
    if (is_unknown) co_return found;
    co_return refused("GET " + target, *response);
}

io::Task<Result<>> ConsulBackend::heartbeat(
    std::string id, Health health, std::string note, Instant deadline
) {
    if (config_.registration == ConsulRegistration::catalog) {
        const auto ttl = ttls_.find(id);
        if (ttl == ttls_.end()) {
            co_return explained(
                "heartbeat of " + id,
                {.code = Code::not_found,
                 .what = "not registered from here",
                 .source = Source::registry}
            );
        }
        const CatalogPlace place{config_.node, config_.node_address};
        const std::string body =
            catalog_heartbeat_body(id, health, note, place, until(ttl->second));
        const std::string target = "/v1/catalog/register";
        co_return co_await put(target, body, deadline);
    }
    const std::string target = "/v1/agent/check/update/" + wire::percent_encode(check_id(id));
    const std::string body = heartbeat_body(health, note);
    auto done = co_await put(target, body, deadline);
    co_return std::move(done);
}

ConsulBackend::HealthQuestion ConsulBackend::health_question(
    std::string_view service, std::uint64_t after, Duration longest, Instant deadline
) const {
    HealthQuestion out;
    out.target = "/v1/health/service/" + wire::percent_encode(service) + query();
    out.deadline = deadline;
    if (!config_.near.empty()) out.target += "&near=" + wire::percent_encode(config_.near);
    if (!config_.filter.empty()) out.target += "&filter=" + wire::percent_encode(config_.filter);
    if (after == 0 || longest <= Duration::zero()) return out;
    longest = std::clamp(longest, kWaitMin, config_.wait_max);
    const auto wait_ms = std::chrono::ceil<std::chrono::milliseconds>(longest).count();
    out.target += fmt::format("&index={}&wait={}ms", after, wait_ms);
    // Consul adds up to a sixteenth, so that many waits do not end together.
    const Instant latest = network_.loop().now() + longest + longest / 16 + config_.wait_slack;
    out.deadline = std::min(deadline, latest);
    return out;
}

io::Task<Result<Answer>> ConsulBackend::wait(
    std::string service, std::uint64_t after, Duration longest, Instant deadline
) {
    HealthQuestion asking = health_question(service, after, longest, deadline);
    const std::string asked = "GET " + asking.target.substr(0, 200);
    const std::string no_delta;
    auto response = co_await question(std::move(asking.target), no_delta, asking.deadline);
    if (!response) co_return std::move(response).error();
    auto index = parse_index(*response);
    if (!index) co_return explained(asked, std::move(index).error());
    auto endpoints = parse_health(response->body, network_.loop().wall_now());
    if (!endpoints) co_return explained(asked, std::move(endpoints).error());
    if (endpoints->empty() && may_be_filtered(*response, !token_.empty())) {
        co_return explained(asked, hidden_by_acls());
    }
    Answer answer{.endpoints = *std::move(endpoints), .index = *index};
    answer.is_stale = is_stale(*response, config_.last_contact_max);
    co_return answer;
}

io::Task<Result<News>> ConsulBackend::follow(
    std::string service, KnownAnswer known, Duration longest, Instant deadline
) {
    std::unique_ptr<HealthMemory> memory(static_cast<HealthMemory*>(known.memory.release()));
    HealthQuestion asking = health_question(service, known.index, longest, deadline);
    const std::string asked = "GET " + asking.target.substr(0, 200);
    std::string delta(memory == nullptr ? kDeltaAny : memory->token());
    auto response = co_await question(std::move(asking.target), std::move(delta), asking.deadline);
    if (!response) co_return std::move(response).error();
    auto index = parse_index(*response);
    if (!index) co_return explained(asked, std::move(index).error());
    const std::string_view since = response->header(kDeltaSinceHeader);
    if (!since.empty() && memory == nullptr) {
        co_return explained(
            asked, malformed_answer(response->body, "changes since an answer that we do not have")
        );
    }
    const HealthAnswer answer{
        .body = response->body,
        .token = response->header(kDeltaHeader),
        .since = since.empty()
                     ? std::nullopt
                     : std::optional(core::parse_number<std::uint64_t>(since).value_or(0)),
        .index = *index,
        .now = network_.loop().wall_now()
    };
    auto news = read_health(answer, known.index, std::move(memory), seed_);
    if (!news) co_return explained(asked, std::move(news).error());
    if (answer.since) ++deltas_;
    if (!*news) {
        // What we have is not what the registry thinks that we have.
        ++misfits_;
        KnownAnswer nothing;
        co_return co_await follow(std::move(service), std::move(nothing), longest, deadline);
    }
    const bool is_old = is_stale(*response, config_.last_contact_max);
    if (auto* patch = std::get_if<Patch>(&(*news)->what)) {
        patch->is_stale = is_old;
        co_return *std::move(*news);
    }
    auto& whole = std::get<Answer>((*news)->what);
    if (whole.endpoints.empty() && may_be_filtered(*response, !token_.empty())) {
        co_return explained(asked, hidden_by_acls());
    }
    whole.is_stale = is_old;
    co_return *std::move(*news);
}

io::Task<Result<std::vector<ServiceSummary>>> ConsulBackend::services(Instant deadline) {
    const std::string target = "/v1/catalog/services" + query();
    const std::string asked = "GET " + target;
    const std::string no_delta;
    auto response = co_await question(target, no_delta, deadline);
    if (!response) co_return std::move(response).error();
    auto summaries = parse_services(response->body);
    if (!summaries) co_return explained(asked, std::move(summaries).error());
    if (summaries->empty() && may_be_filtered(*response, !token_.empty())) {
        co_return explained(asked, hidden_by_acls());
    }
    co_return std::move(summaries);
}

}  // namespace datapunk::mesh::registry::consul
