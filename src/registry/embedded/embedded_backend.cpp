#include "registry/embedded/embedded_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "core/health_check.h"
#include "registry/delta_protocol.h"

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

bool is_callable(const ServiceEndpoint& endpoint) {
    return !endpoint.host.empty() && endpoint.port != 0;
}

// Which instances the asker knows of. There is none where ids of several nodes had to be told
// apart: those do not stay what they are when others come and go.
struct Told final : AnswerMemory {
    std::unordered_map<std::string, std::string> nodes;  // by id

    bool add(const catalog::InstanceRef& ref) {
        const std::string& node = ref.node->row.name;
        return nodes.try_emplace(ref.instance->row.id, node).first->second == node;
    }
};

std::unique_ptr<AnswerMemory> memory_of(const std::vector<catalog::InstanceRef>& instances) {
    if (instances.size() < kDeltaInstancesMin) return nullptr;
    auto told = std::make_unique<Told>();
    for (const catalog::InstanceRef& ref : instances) {
        if (!told->add(ref)) return nullptr;
    }
    return told;
}

// Unset: it cannot be said so.
std::optional<Patch> patch_of(
    const catalog::Catalog& catalog, std::string_view service, std::uint64_t since, Told& told
) {
    const auto changes = catalog.health_changes(service, since);
    if (!changes) return std::nullopt;
    Patch patch;
    patch.index = catalog.index_of({catalog::WatchTopic::health_service, std::string(service)});
    for (const auto& [node, id] : changes->gone) {
        const auto at = told.nodes.find(std::string(id));
        if (at == told.nodes.end() || at->second != node) continue;
        patch.removed.push_back(at->first);
        told.nodes.erase(at);
    }
    for (const catalog::InstanceRef& ref : changes->changed) {
        if (!told.add(ref)) return std::nullopt;
        ServiceEndpoint endpoint = endpoint_of(ref);
        std::erase(patch.removed, endpoint.id);
        if (is_callable(endpoint)) {
            patch.changed.push_back(std::move(endpoint));
        } else {
            patch.removed.push_back(std::move(endpoint.id));
        }
    }
    if (told.nodes.size() != catalog.instances_of(service)) return std::nullopt;
    const auto by_id = [](const auto& a, const auto& b) { return a.id < b.id; };
    std::sort(patch.changed.begin(), patch.changed.end(), by_id);
    std::sort(patch.removed.begin(), patch.removed.end());
    return patch;
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

Answer whole_of(const catalog::Indexed<std::vector<catalog::InstanceRef>>& found) {
    Answer answer{.endpoints = {}, .index = std::max<std::uint64_t>(found.index, 1)};
    for (const catalog::InstanceRef& ref : found.data) {
        ServiceEndpoint endpoint = endpoint_of(ref);
        if (is_callable(endpoint)) answer.endpoints.push_back(std::move(endpoint));
    }
    std::sort(answer.endpoints.begin(), answer.endpoints.end(), [](const auto& a, const auto& b) {
        return std::tie(a.id, a.node) < std::tie(b.id, b.node);
    });
    make_ids_unique(answer.endpoints);
    return answer;
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

io::Task<Result<>> EmbeddedBackend::wait_past(
    std::string service, std::uint64_t index, Duration longest, Instant deadline
) {
    if (index == 0) co_return Ok{};
    const Instant until = std::min(deadline, registry_.loop().now() + longest);
    catalog::WatchKey key{catalog::WatchTopic::health_service, std::move(service)};
    co_return co_await registry_.wait(std::move(key), index, until);
}

io::Task<Result<Answer>> EmbeddedBackend::wait(
    std::string service, std::uint64_t after, Duration longest, Instant deadline
) {
    auto waited = co_await wait_past(service, after, longest, deadline);
    if (!waited) co_return std::move(waited).error();
    co_return whole_of(registry_.catalog().health_service(service));
}

io::Task<Result<News>> EmbeddedBackend::follow(
    std::string service, KnownAnswer known, Duration longest, Instant deadline
) {
    auto waited = co_await wait_past(service, known.index, longest, deadline);
    if (!waited) co_return std::move(waited).error();
    const catalog::Catalog& catalog = registry_.catalog();
    News news;
    if (known.memory != nullptr) {
        auto patch = patch_of(catalog, service, known.index, static_cast<Told&>(*known.memory));
        if (patch) {
            news.what = *std::move(patch);
            news.memory = std::move(known.memory);
            co_return news;
        }
    }
    const auto found = catalog.health_service(service);
    news.what = whole_of(found);
    news.memory = memory_of(found.data);
    co_return news;
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
