#pragma once

// OwnWrites: what this mesh has written, its own callers see at once. After a write, discovery's
// answer about the service is asked anew until it shows the write; only if somebody here has looked
// the service up, for otherwise there is no old answer to see.
//
// One loop's object.

#include <datapunk/mesh/registration.h>
#include <datapunk/mesh/result.h>

#include <functional>
#include <string>
#include <vector>

#include "discovery/service_discovery.h"
#include "io/loop.h"
#include "io/task.h"

namespace datapunk::mesh::internal {

class OwnWrites {
  public:
    OwnWrites(io::Loop& loop, discovery::ServiceDiscovery& discovery)
        : loop_(loop), discovery_(discovery) {}

    // It was registered. An error if the registry does not show it by the deadline.
    io::Task<Result<>> see_registered(ServiceConfig config, Instant deadline);
    // It was deregistered, or said this about its health. Waits a moment at most, and not for an id
    // that `is_back`: then it is somebody's again and may stay.
    io::Task<void> see_gone(
        std::string service, std::string id, std::function<bool()> is_back = {}
    );
    io::Task<void> see_health(std::string service, std::string id, Health health);

    // The services that are known to have this endpoint.
    std::vector<std::string> services_with(const std::string& id) const;

  private:
    using Seen = std::function<bool(const EndpointSet&)>;
    io::Task<Result<>> until(std::string service, Seen seen, Instant deadline);

    io::Loop& loop_;
    discovery::ServiceDiscovery& discovery_;
};

}  // namespace datapunk::mesh::internal
