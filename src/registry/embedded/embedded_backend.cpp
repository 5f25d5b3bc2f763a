#include "registry/embedded/embedded_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "core/health_check.h"

namespace datapunk::mesh::registry::embedded {

namespace {

std::string check_id(std::string_view service_id) {
    return fmt::format("service:{}", service_id);
}

std::string probe_target(const ServiceConfig& config) {
    if (!config.check.target.empty()) return config.check.target;
    const ServiceEndpoint self{.host = config.host, .port = config.port};
    return self.address();
}

void describe_probe(const ServiceConfig& config, catalog::CheckDefinition& out) {
    const HealthCheck& check = config.check;
    out.tls_skip_verify = !check.tls.verify;
    out.tls_server_name = check.tls.server_name;
    switch (check.kind) {
        case HealthCheck::Kind::http:
            out.kind = catalog::CheckKind::http;
            out.url = fmt::format(
                "{}://{}{}", check.tls.enabled ? "https" : "http", probe_target(config), check.path
            );
            out.method = check.method;
            for (const auto& [name, value] : check.headers) out.header[name] = {value};
            if (!check.host.empty()) out.header["Host"] = {check.host};
            out.body = check.body;
            out.disable_redirects = !check.follow_redirects;
            break;
        case HealthCheck::Kind::grpc:
            out.kind = catalog::CheckKind::grpc;
            out.grpc = probe_target(config);
            if (!check.grpc_service.empty()) out.grpc += "/" + check.grpc_service;
            out.grpc_use_tls = check.tls.enabled;
            break;
        case HealthCheck::Kind::exec:
            out.kind = catalog::CheckKind::script;
            out.args = check.command;
            break;
        default:
            out.kind = check.kind == HealthCheck::Kind::udp ? catalog::CheckKind::udp
                                                            : catalog::CheckKind::tcp;
            out.place = probe_target(config);
    }
}

catalog::CheckRegistration check_of(const ServiceConfig& config) {
    const HealthCheck& check = config.check;
    catalog::CheckRegistration out;
    out.check.id = check_id(config.id);
    out.check.status = check.initial;
    out.has_status = check.initial != Health::critical;
    catalog::CheckDefinition& definition = out.check.definition;
    definition.deregister_after = check.deregister_after;
    if (check.kind == HealthCheck::Kind::ttl) {
        definition.kind = catalog::CheckKind::ttl;
        definition.ttl = check.ttl;
        return out;
    }
    if (check.kind == HealthCheck::Kind::alias) {
        definition.kind = catalog::CheckKind::alias;
        definition.alias_service = check.alias;
        return out;
    }
    definition.interval = check.interval;
    definition.timeout = check.timeout;
    definition.success_before_passing = check.successes_before_passing;
    definition.failures_before_critical = check.failures_before_critical;
    definition.failures_before_warning = check.failures_before_warning == 0
                                             ? check.failures_before_critical
                                             : check.failures_before_warning;
    describe_probe(config, definition);
    return out;
}

std::optional<Error> not_runnable(const HealthCheck& check) {
    const std::string_view what = core::beyond_registry(check);
    if (what.empty()) return std::nullopt;
    return Error{
        .code = Code::invalid,
        .what = fmt::format("{} cannot be run by the embedded registry", what),
        .source = Source::registry
    };
}

ServiceEndpoint endpoint_of(const catalog::InstanceRef& ref) {
    const catalog::ServiceRow& row = ref.instance->row;
    const Health health = ref.health();
    const std::uint32_t weight =
        health == Health::warning ? row.weights.warning : row.weights.passing;
    ServiceEndpoint out;
    out.id = row.id;
    out.service = row.name;
    out.host = row.address.empty() ? ref.node->row.address : row.address;
    out.port = row.port;
    out.weight = std::clamp<std::uint32_t>(weight, 1, 65535);
    out.tags = row.tags;
    out.metadata = row.meta;
    out.node = ref.node->row.name;
    out.health = health;
    return out;
}

// Ids are unique on a node only; callers need them unique in the service.
void make_ids_unique(std::vector<ServiceEndpoint>& sorted) {
    for (std::size_t begin = 0; begin < sorted.size();) {
        std::size_t end = begin + 1;
        while (end < sorted.size() && sorted[end].id == sorted[begin].id) ++end;
        if (end - begin > 1) {
            for (std::size_t i = begin; i < end; ++i) {
                sorted[i].id = fmt::format("{}@{}", sorted[i].id, sorted[i].node);
            }
        }
        begin = end;
    }
}

}  // namespace

io::Task<Result<>> EmbeddedBackend::execute(catalog::Command command, Instant deadline) {
    auto outcome = co_await registry_.execute(std::move(command), deadline);
    if (!outcome) {
        Error error = std::move(outcome).error();
        error.source = Source::registry;
        co_return error;
    }
    co_return Ok{};
}

io::Task<Result<>> EmbeddedBackend::register_service(ServiceConfig config, Instant deadline) {
    if (auto problem = not_runnable(config.check)) co_return *std::move(problem);
    catalog::RegisterService command;
    command.replace_existing_checks = true;
    command.service.id = config.id;
    command.service.name = config.name;
    command.service.address = config.host;
    command.service.port = config.port;
    command.service.tags = config.tags;
    command.service.meta = config.meta;
    // A warning is a hint, not a verdict: it does not change an endpoint's share.
    command.service.weights = {.passing = config.weight, .warning = config.weight};
    if (config.check.kind != HealthCheck::Kind::none) command.checks.push_back(check_of(config));
    co_return co_await execute(std::move(command), deadline);
}

io::Task<Result<>> EmbeddedBackend::deregister_service(std::string id, Instant deadline) {
    return execute(catalog::DeregisterService{std::move(id)}, deadline);
}

io::Task<Result<bool>> EmbeddedBackend::has_service(std::string id, Instant) {
    co_return registry_.catalog().agent_service(id) != nullptr;
}

io::Task<Result<std::optional<Metadata>>> EmbeddedBackend::metadata_of(std::string id, Instant) {
    std::optional<Metadata> found;
    const auto* const instance = registry_.catalog().agent_service(id);
    if (instance != nullptr) found = instance->row.meta;
    co_return found;
}

io::Task<Result<>> EmbeddedBackend::heartbeat(
    std::string id, Health health, std::string note, Instant deadline
) {
    catalog::UpdateCheck command{
        .check_id = check_id(id), .status = health, .output = std::move(note), .ttl_only = true
    };
    return execute(std::move(command), deadline);
}

io::Task<Result<Answer>> EmbeddedBackend::wait(
    std::string service, std::uint64_t after, Duration longest, Instant deadline
) {
    if (after > 0) {
        const Instant until = std::min(deadline, registry_.loop().now() + longest);
        catalog::WatchKey key{catalog::WatchTopic::health_service, service};
        auto waited = co_await registry_.wait(std::move(key), after, until);
        if (!waited) co_return std::move(waited).error();
    }
    const auto found = registry_.catalog().health_service(service);
    Answer answer{.endpoints = {}, .index = std::max<std::uint64_t>(found.index, 1)};
    for (const catalog::InstanceRef& ref : found.data) {
        ServiceEndpoint endpoint = endpoint_of(ref);
        if (!endpoint.host.empty() && endpoint.port != 0) {
            answer.endpoints.push_back(std::move(endpoint));
        }
    }
    std::sort(answer.endpoints.begin(), answer.endpoints.end(), [](const auto& a, const auto& b) {
        return std::tie(a.id, a.node) < std::tie(b.id, b.node);
    });
    make_ids_unique(answer.endpoints);
    co_return answer;
}

io::Task<Result<std::vector<ServiceSummary>>> EmbeddedBackend::services(Instant) {
    std::vector<ServiceSummary> out;
    const auto found = registry_.catalog().services();
    for (const auto& [name, tags] : found.data) {
        ServiceSummary summary{.name = std::string(name), .tags = {}};
        for (const std::string_view tag : tags) summary.tags.emplace_back(tag);
        out.push_back(std::move(summary));
    }
    co_return out;
}

}  // namespace datapunk::mesh::registry::embedded
