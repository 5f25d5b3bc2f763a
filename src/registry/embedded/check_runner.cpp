#include "registry/embedded/check_runner.h"

#include <utility>

#include "wire/url.h"

namespace datapunk::mesh::registry::embedded {

namespace {

using catalog::CheckDefinition;
using catalog::CheckKind;
using probe::ProbeDefinition;

// Consul's.
constexpr Duration kTimeoutDefault = std::chrono::seconds(10);
constexpr Duration kProgramTimeoutDefault = std::chrono::seconds(30);
constexpr std::uint32_t kRedirectsMax = 10;

void aim(ProbeDefinition& out, std::string_view place) {
    if (const auto at = wire::parse_host_port(place); at && at->port) {
        out.host = at->host;
        out.port = *at->port;
    }
}

void describe_http(const CheckDefinition& definition, ProbeDefinition& out) {
    out.kind = ProbeDefinition::Kind::http;
    out.display = definition.url;
    if (const auto url = wire::parse_url(definition.url)) {
        out.host = url->host;
        out.port = url->port;
        out.tls.enabled = url->scheme == "https";
        out.target = url->query.empty() ? url->path : url->path + "?" + url->query;
    }
    if (!definition.method.empty()) out.method = definition.method;
    out.body = definition.body;
    out.redirects_max = definition.disable_redirects ? 0 : kRedirectsMax;
    for (const auto& [name, values] : definition.header) {
        for (const std::string& value : values) out.headers.push_back({name, value});
    }
}

// "host:port" or "host:port/service".
void describe_grpc(const CheckDefinition& definition, ProbeDefinition& out) {
    out.kind = ProbeDefinition::Kind::grpc;
    const std::size_t slash = definition.grpc.find('/');
    out.display = definition.grpc.substr(0, slash);
    if (slash != std::string::npos) out.grpc_service = definition.grpc.substr(slash + 1);
    out.tls.enabled = definition.grpc_use_tls;
    aim(out, out.display);
}

}  // namespace

std::optional<ProbeDefinition> probe_definition(const CheckDefinition& definition) {
    ProbeDefinition out;
    switch (definition.kind) {
        case CheckKind::http:
            describe_http(definition, out);
            break;
        case CheckKind::tcp:
        case CheckKind::udp:
            out.kind = definition.kind == CheckKind::tcp ? ProbeDefinition::Kind::tcp
                                                         : ProbeDefinition::Kind::udp;
            out.display = definition.place;
            aim(out, definition.place);
            break;
        case CheckKind::grpc:
            describe_grpc(definition, out);
            break;
        case CheckKind::script:
            out.kind = ProbeDefinition::Kind::exec;
            out.command = definition.args;
            break;
        default:
            return std::nullopt;
    }
    const bool is_program = definition.kind == CheckKind::script;
    out.timeout = is_program ? kProgramTimeoutDefault : kTimeoutDefault;
    if (definition.timeout > Duration::zero()) out.timeout = definition.timeout;
    out.interval = definition.interval;
    out.tls.verify = !definition.tls_skip_verify;
    out.tls.server_name = definition.tls_server_name;
    out.successes_before_passing = definition.success_before_passing;
    out.failures_before_warning = definition.failures_before_warning;
    out.failures_before_critical = definition.failures_before_critical;
    return out;
}

CheckRunner::CheckRunner(
    EmbeddedRegistry& registry, io::Network& network, core::Logger logger, io::Processes* processes
)
    : registry_(registry),
      logger_(std::move(logger)),
      probes_(
          network,
          [this](const std::string& id, Health status, std::string output) {
              write(id, status, std::move(output));
          },
          probe::ProbeRunner::kConcurrentMax,
          processes
      ) {
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

void CheckRunner::write(const std::string& check_id, Health status, std::string output) {
    const auto written =
        registry_.report({.check_id = check_id, .status = status, .output = std::move(output)});
    // A check that went meanwhile is nothing to tell anybody; neither is each of a thousand results
    // that a full log cannot take: the next probe brings another.
    const bool is_refused = !written && written.error().code != Code::not_found;
    if (is_refused && !is_dropping_) {
        logger_.warn(
            "results of checks are not written",
            {{"check", check_id}, {"error", written.error().what}}
        );
    }
    is_dropping_ = is_refused;
}

}  // namespace datapunk::mesh::registry::embedded
