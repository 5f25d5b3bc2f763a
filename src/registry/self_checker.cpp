#include "registry/self_checker.h"

#include <fmt/format.h>

#include <utility>

#include "core/health_check.h"

namespace datapunk::mesh::registry {

using Kind = HealthCheck::Kind;

bool runs_here(const HealthCheck& check, const Capabilities& capabilities) noexcept {
    if (!capabilities.can_register || check.kind == Kind::none || check.kind == Kind::ttl) {
        return false;
    }
    if (capabilities.kept_alive_by != KeptAliveBy::checks) return true;
    return !core::beyond_registry(check).empty();
}

ServiceConfig as_announced(ServiceConfig config, const Capabilities& capabilities) {
    if (!runs_here(config.check, capabilities)) return config;
    HealthCheck told;
    told.kind = Kind::ttl;
    told.ttl = config.check.ttl;
    told.initial = config.check.initial;
    told.deregister_after = config.check.deregister_after;
    config.check = std::move(told);
    return config;
}

ServiceConfig as_leaving(ServiceConfig config) {
    HealthCheck told;
    told.kind = Kind::ttl;
    told.ttl = config.check.ttl;
    told.initial = Health::critical;
    told.deregister_after = config.check.deregister_after;
    config.check = std::move(told);
    return config;
}

SelfChecker::SelfChecker(io::Network& network, Report report, io::Processes* processes)
    : may_exec_(processes != nullptr),
      probes_(network, std::move(report), probe::ProbeRunner::kConcurrentMax, processes) {}

Result<> SelfChecker::accepts(const ServiceConfig& config) const {
    if (config.check.kind == Kind::exec && !may_exec_) {
        return Error{
            .code = Code::denied,
            .what = fmt::format("{}: exec checks are not enabled here", config.id)
        };
    }
    if (config.check.kind == Kind::alias) {
        return Error{
            .code = Code::invalid,
            .what = fmt::format("{}: this registry does not run alias checks", config.id)
        };
    }
    return Ok{};
}

Result<> SelfChecker::start(const ServiceConfig& config) {
    if (auto verdict = accepts(config); !verdict) return verdict;
    probes_.set(config.id, probe::definition_of(config), config.check.initial);
    return Ok{};
}

void SelfChecker::stop(std::string_view id) {
    probes_.remove(id);
}

}  // namespace datapunk::mesh::registry
