#include "registry/embedded/check_runner.h"

#include <utility>

#include "wire/url.h"

namespace datapunk::mesh::registry::embedded {

namespace {

constexpr Duration kTimeoutDefault = std::chrono::seconds(10);  // Consul's, for http and tcp
// A result that cannot be written in this time is dropped: the next probe brings another.
constexpr Duration kWriteTimeout = std::chrono::seconds(10);

}  // namespace

std::optional<probe::ProbeDefinition> probe_definition(const catalog::CheckDefinition& definition) {
    probe::ProbeDefinition out;
    out.interval = definition.interval;
    out.timeout = definition.timeout > Duration::zero() ? definition.timeout : kTimeoutDefault;
    out.successes_before_passing = definition.success_before_passing;
    out.failures_before_warning = definition.failures_before_warning;
    out.failures_before_critical = definition.failures_before_critical;
    if (definition.kind == catalog::CheckKind::tcp) {
        out.kind = probe::ProbeDefinition::Kind::tcp;
        out.display = definition.tcp;
        if (const auto at = wire::parse_host_port(definition.tcp); at && at->port) {
            out.host = at->host;
            out.port = *at->port;
        }
        return out;
    }
    if (definition.kind != catalog::CheckKind::http) return std::nullopt;
    out.display = definition.url;
    if (const auto url = wire::parse_url(definition.url)) {
        out.host = url->host;
        out.port = url->port;
        out.tls.enabled = url->scheme == "https";
        out.target = url->query.empty() ? url->path : url->path + "?" + url->query;
    }
    if (!definition.method.empty()) out.method = definition.method;
    out.body = definition.body;
    out.tls.verify = !definition.tls_skip_verify;
    out.tls.server_name = definition.tls_server_name;
    for (const auto& [name, values] : definition.header) {
        for (const std::string& value : values) out.headers.push_back({name, value});
    }
    return out;
}

CheckRunner::CheckRunner(EmbeddedRegistry& registry, io::Network& network, core::Logger logger)
    : registry_(registry),
      logger_(std::move(logger)),
      probes_(network, [this](const std::string& id, Health status, std::string output) {
          writes_.spawn(write(id, status, std::move(output)));
      }) {
    registry_.on_checks_changed([this](const std::vector<std::string>& ids) { sync(ids); });
    std::vector<std::string> ids;
    if (const catalog::CatalogNode* node = registry_.catalog().local(); node != nullptr) {
        for (const auto& [id, owner] : node->check_owner) ids.push_back(id);
    }
    sync(ids);
}

CheckRunner::~CheckRunner() {
    registry_.on_checks_changed({});
}

void CheckRunner::sync(const std::vector<std::string>& check_ids) {
    for (const std::string& id : check_ids) {
        const catalog::CheckRow* check = registry_.catalog().agent_check(id).check;
        auto definition = check == nullptr ? std::nullopt : probe_definition(check->definition);
        if (definition) {
            probes_.set(id, *std::move(definition), check->status);
        } else {
            probes_.remove(id);
        }
    }
}

io::Task<void> CheckRunner::write(std::string check_id, Health status, std::string output) {
    catalog::UpdateCheck command{
        .check_id = std::move(check_id), .status = status, .output = std::move(output)
    };
    const std::string id = command.check_id;
    const Instant deadline = registry_.loop().now() + kWriteTimeout;
    auto outcome = co_await registry_.execute(std::move(command), deadline);
    // A check that went meanwhile is nothing to tell anybody.
    if (!outcome && outcome.error().code != Code::not_found) {
        logger_.warn(
            "a check's result is not written", {{"check", id}, {"error", outcome.error().what}}
        );
    }
}

}  // namespace datapunk::mesh::registry::embedded
