#pragma once

// ConsulBackend: a registry behind Consul's HTTP API: a Consul agent, or our own registry in
// another process.
//
//   register    PUT /v1/agent/service/register     the service and its check in one call
//   deregister  PUT /v1/agent/service/deregister/  Consul < 1.12 answers 200 for unknown ids, so
//                                                  the agent is asked first
//   heartbeat   PUT /v1/agent/check/update/
//   wait        GET /v1/health/service/            a blocking query; one connection each
//   services    GET /v1/catalog/services
//
// Registrations reach the catalog by the agent's own sync: usually at once, but asynchronously. A
// Consul server takes 200 connections from one address, so about that many waits at a time.
// One loop's object; tasks must end before it does.
// Source: Consul's API documentation and recorded answers of 1.16.4 and 1.8.7.

#include <datapunk/mesh/result.h>

#include <memory>
#include <string>
#include <vector>

#include "http/client.h"
#include "io/network.h"
#include "registry/backend.h"
#include "registry/consul/consul_config.h"

namespace datapunk::mesh::registry::consul {

class ConsulBackend final : public Backend {
  public:
    // Talks to nobody yet. Code::invalid if the configuration is not usable.
    static Result<std::unique_ptr<ConsulBackend>> create(io::Network& network, ConsulConfig config);

    std::string_view kind() const noexcept override { return "consul"; }

    io::Task<Result<>> register_service(ServiceConfig config, Instant deadline) override;
    io::Task<Result<>> deregister_service(std::string id, Instant deadline) override;
    io::Task<Result<bool>> has_service(std::string id, Instant deadline) override;
    io::Task<Result<>> heartbeat(std::string id, Health health, std::string note, Instant deadline)
        override;
    io::Task<Result<Answer>> wait(
        std::string service, std::uint64_t after, Duration longest, Instant deadline
    ) override;
    io::Task<Result<std::vector<ServiceSummary>>> services(Instant deadline) override;

  private:
    ConsulBackend(io::Network& network, ConsulConfig config);

    // The answer, whatever its status; a failure to get one is the registry's.
    io::Task<Result<http::Response>> ask(
        std::string method, std::string target, std::string body, Instant deadline
    );
    io::Task<Result<>> put(std::string target, std::string body, Instant deadline);
    // "?stale&dc=…" as configured.
    std::string query() const;
    Error explained(std::string_view asked, Error error) const;

    io::Network& network_;
    ConsulConfig config_;
    http::Client client_;
};

}  // namespace datapunk::mesh::registry::consul
