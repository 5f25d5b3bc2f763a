#pragma once

// Backend: what the mesh needs of any registry: announce, withdraw, ask, and wait for a change.
// Embedded, Consul and the others implement it and pass the same conformance suite
// (test_conformance.h). Belongs to one loop; every call has a deadline and may be cancelled by
// destroying its task.
//
// Waiting: `wait` answers when the service's index has gone past `after`, or when `longest` is
// over, then with what it had. `after` = 0 answers at once. An index may go backwards (a registry
// that lost its data): the caller starts again from 0. Errors carry no index.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/registration.h>
#include <datapunk/mesh/result.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/task.h"

namespace datapunk::mesh::registry {

struct Answer {
    std::vector<ServiceEndpoint> endpoints;  // sorted by id; critical ones included
    std::uint64_t index = 0;                 // at least 1
};

struct ServiceSummary {
    std::string name;
    std::vector<std::string> tags;  // the union over its endpoints, sorted
};

class Backend {
  public:
    virtual ~Backend() = default;

    virtual std::string_view kind() const noexcept = 0;  // "embedded", "consul", …

    // Announces the service with its check in one atomic step; the same id again replaces. `config`
    // is checked() already.
    virtual io::Task<Result<>> register_service(ServiceConfig config, Instant deadline) = 0;
    // Code::not_found if the registry does not have it.
    virtual io::Task<Result<>> deregister_service(std::string id, Instant deadline) = 0;
    // Whether this registry still has the registration (it may have lost its data).
    virtual io::Task<Result<bool>> has_service(std::string id, Instant deadline) = 0;
    // For checks of kind ttl: the service's own word on its health.
    virtual io::Task<Result<>> heartbeat(
        std::string id, Health health, std::string note, Instant deadline
    ) = 0;

    virtual io::Task<Result<Answer>> wait(
        std::string service, std::uint64_t after, Duration longest, Instant deadline
    ) = 0;
    virtual io::Task<Result<std::vector<ServiceSummary>>> services(Instant deadline) = 0;
};

}  // namespace datapunk::mesh::registry
