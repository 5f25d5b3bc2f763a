#pragma once

// World: what a mesh stands on. Tests bring their own.

#include <datapunk/mesh/mesh.h>
#include <datapunk/mesh/result.h>

#include <memory>

#include "core/log.h"
#include "io/loop.h"
#include "io/network.h"
#include "io/thread_clock.h"
#include "registry/backend.h"
#include "registry/embedded/check_runner.h"
#include "registry/embedded/embedded_registry.h"

namespace datapunk::mesh::internal {

struct World {
    std::unique_ptr<io::Loop> loop;
    std::unique_ptr<io::Network> network;
    // Of Embedded only, and what probes the services in it.
    std::unique_ptr<registry::embedded::EmbeddedRegistry> embedded;
    std::unique_ptr<registry::embedded::CheckRunner> checks;
    std::unique_ptr<registry::Backend> backend;
    std::unique_ptr<io::ThreadClock> clock;
};

// The kernel's network and the registry that `options` name. Errors: bad options, no descriptors.
Result<World> make_world(const MeshOptions& options, const core::Logger& log);

// The policy's fields in their ranges, and what it needs at hand?
Result<> check_policy(const MeshOptions& options, const ServicePolicy& policy);
// Every option usable? The error names the ones that are not.
Result<> check(const MeshOptions& options);

}  // namespace datapunk::mesh::internal
