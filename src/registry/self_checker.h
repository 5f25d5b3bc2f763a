#pragma once

// SelfChecker: runs the checks that a registry cannot run, or must not know, in the process that
// registered the service.
//
//     config ── runs_here? ──► as_announced(config) ──► Backend::register_service (kind ttl)
//        └────► SelfChecker::start ── probes ──► report(id, health, note) ──► Backend::heartbeat
//
// The registry sees a check of kind ttl: what is reported must be repeated every ttl/3, and silence
// means that this process is gone. Repeating is the caller's (the Registrar's). One loop's object.

#include <datapunk/mesh/registration.h>
#include <datapunk/mesh/result.h>

#include <string>
#include <string_view>

#include "io/process.h"
#include "probe/probe_runner.h"
#include "registry/backend.h"

namespace datapunk::mesh::registry {

// Whether this process has to run the check, for a registry of these capabilities.
bool runs_here(const HealthCheck& check, const Capabilities& capabilities) noexcept;

// What to tell the registry: `config` itself, or with a check of kind ttl in its place, which keeps
// its ttl, initial status and deregister_after.
ServiceConfig as_announced(ServiceConfig config, const Capabilities& capabilities);

// What to tell the registry of a service that is about to leave, with a critical heartbeat after
// it: it is critical then, whatever its check says, until it is registered again. Should its
// process end before it is deregistered, the check (a ttl that nobody renews) takes it out after
// deregister_after.
ServiceConfig as_leaving(ServiceConfig config);

class SelfChecker {
  public:
    // Each result that counts: thresholds and grace are applied. Called from the loop; may call
    // start() and stop().
    using Report = probe::ProbeRunner::Report;

    // Without `processes`, exec checks are refused. Everything outlives the checker.
    SelfChecker(io::Network& network, Report report, io::Processes* processes = nullptr);

    // Whether the check can be run here. Code::denied: exec checks are not enabled. Code::invalid:
    // only a registry can run an alias.
    Result<> accepts(const ServiceConfig& config) const;
    // `config` is checked(). The same id again replaces. Errors: as accepts().
    Result<> start(const ServiceConfig& config);
    void stop(std::string_view id);

    std::size_t size() const noexcept { return probes_.size(); }

  private:
    bool may_exec_;
    probe::ProbeRunner probes_;
};

}  // namespace datapunk::mesh::registry
