#pragma once

// FixedBackend: services written down in the program instead of a registry. They never change;
// registering is refused. One loop's object.

#include <datapunk/mesh/endpoint.h>

#include <map>
#include <string>
#include <vector>

#include "io/loop.h"
#include "registry/backend.h"

namespace datapunk::mesh::internal {

class FixedBackend final : public registry::Backend {
  public:
    using Services = std::map<std::string, std::vector<ServiceEndpoint>>;

    // Ids and service names that are empty are filled in. Errors: a name, address or port that
    // cannot be, an id twice.
    static Result<Services> checked(Services services);

    FixedBackend(io::Loop& loop, Services services);

    std::string_view kind() const noexcept override { return "fixed"; }

    registry::Capabilities capabilities() const noexcept override {
        return {
            .can_register = false,
            .kept_alive_by = registry::KeptAliveBy::nobody,
            .knows_health = false,
        };
    }

    io::Task<Result<>> register_service(ServiceConfig config, Instant deadline) override;
    io::Task<Result<>> deregister_service(std::string id, Instant deadline) override;
    io::Task<Result<bool>> has_service(std::string id, Instant deadline) override;
    io::Task<Result<>> heartbeat(std::string id, Health health, std::string note, Instant deadline)
        override;
    io::Task<Result<registry::Answer>> wait(
        std::string service, std::uint64_t after, Duration longest, Instant deadline
    ) override;
    io::Task<Result<std::vector<registry::ServiceSummary>>> services(Instant deadline) override;

  private:
    io::Loop& loop_;
    const Services services_;
};

}  // namespace datapunk::mesh::internal
