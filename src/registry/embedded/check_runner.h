#pragma once

// CheckRunner: runs the HTTP, TCP, gRPC and (if enabled) exec checks that services registered, and
// writes their results back.
//
//     catalog ── checks changed ──> definitions ──> ProbeRunner ── report ──> the registry's log
//
// A status that flips goes through the log, together with all others of the same turn; one that
// stays costs no write (CheckTimers). One loop's object; what it is given must outlive it.

#include <optional>
#include <string>
#include <vector>

#include "core/log.h"
#include "probe/probe_runner.h"
#include "registry/embedded/embedded_registry.h"

namespace datapunk::mesh::registry::embedded {

// What a check of the catalog means for the prober; nothing if it is of another kind. A target that
// cannot be understood becomes one that never answers: its output says why.
std::optional<probe::ProbeDefinition> probe_definition(const catalog::CheckDefinition& definition);

class CheckRunner {
  public:
    // Starts with the checks that the registry has already; takes its on_checks_changed().
    // Without `processes` exec checks are critical.
    CheckRunner(
        EmbeddedRegistry& registry,
        io::Network& network,
        core::Logger logger,
        io::Processes* processes = nullptr
    );
    ~CheckRunner();
    CheckRunner(const CheckRunner&) = delete;
    CheckRunner& operator=(const CheckRunner&) = delete;

    std::size_t size() const noexcept { return probes_.size(); }

  private:
    void sync(const std::vector<std::string>& check_ids);
    void write(const std::string& check_id, Health status, std::string output);

    EmbeddedRegistry& registry_;
    core::Logger logger_;
    bool is_dropping_ = false;  // results, since the registry cannot take them
    probe::ProbeRunner probes_;
};

}  // namespace datapunk::mesh::registry::embedded
