#pragma once

// EmbeddedBackend: the registry of this process as a Backend, without a socket between. One loop's
// object, the registry's.

#include "registry/backend.h"
#include "registry/embedded/embedded_registry.h"

namespace datapunk::mesh::registry::embedded {

class EmbeddedBackend final : public Backend {
  public:
    // `registry` must outlive it.
    explicit EmbeddedBackend(EmbeddedRegistry& registry) : registry_(registry) {}

    std::string_view kind() const noexcept override { return "embedded"; }

    io::Task<Result<>> register_service(ServiceConfig config, Instant deadline) override;
    io::Task<Result<>> deregister_service(std::string id, Instant deadline) override;
    io::Task<Result<bool>> has_service(std::string id, Instant deadline) override;
    io::Task<Result<std::optional<Metadata>>> metadata_of(std::string id, Instant deadline)
        override;
    io::Task<Result<>> heartbeat(std::string id, Health health, std::string note, Instant deadline)
        override;
    io::Task<Result<Answer>> wait(
        std::string service, std::uint64_t after, Duration longest, Instant deadline
    ) override;
    io::Task<Result<News>> follow(
        std::string service, KnownAnswer known, Duration longest, Instant deadline
    ) override;
    io::Task<Result<std::vector<ServiceSummary>>> services(Instant deadline) override;

  private:
    io::Task<Result<>> execute(catalog::Command command, Instant deadline);
    // Until the service's index is above this one, or `longest` is over.
    io::Task<Result<>> wait_past(
        std::string service, std::uint64_t index, Duration longest, Instant deadline
    );

    EmbeddedRegistry& registry_;
};

}  // namespace datapunk::mesh::registry::embedded
