#pragma once

// ConsulBackend: a registry behind Consul's HTTP API: a Consul agent, or our own registry in
// another process. By http or https, with a token that may be replaced while we run.
//
//                 registration: agent                      catalog
//   register      PUT /v1/agent/service/register           PUT /v1/catalog/register
//                 the service and its check in one call
//   deregister    PUT /v1/agent/service/deregister/        PUT /v1/catalog/deregister
//                 Consul < 1.12 answers 200 for unknown    ids: asked first
//   heartbeat     PUT /v1/agent/check/update/              PUT /v1/catalog/register, check only
//   wait          GET /v1/health/service/                  a blocking query; one connection each
//   services      GET /v1/catalog/services
//
// Registrations at an agent reach the catalog by its own sync: usually at once, but asynchronously.
// In the catalog no agent runs a check or notices a death: each heartbeat writes how long it holds,
// and readers of this library take one that is over for critical (clocks must agree to about a
// ttl). Other readers see its last status until it is deregistered: use an agent if there is one.
//
// A Consul server takes 200 connections from one address, so about that many waits at a time. An
// answer 429 or 5xx with Retry-After (a proxy's: Consul sends none) stops our questions for so
// long; what keeps registrations alive goes on.
// One loop's object; tasks must end before it does.
// Source: Consul's API documentation and recorded answers of 1.16.4 and 1.8.7.

#include <datapunk/mesh/result.h>

#include <map>
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

    Capabilities capabilities() const noexcept override;

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
    // Of a large service, only what has changed is decoded; our own registry sends no more than
    // that (health_memory.h).
    io::Task<Result<News>> follow(
        std::string service, KnownAnswer known, Duration longest, Instant deadline
    ) override;
    io::Task<Result<std::vector<ServiceSummary>>> services(Instant deadline) override;

    // Answers that told only what has changed, and those of them that did not fit what we had.
    std::uint64_t deltas() const noexcept { return deltas_; }

    std::uint64_t misfits() const noexcept { return misfits_; }

  private:
    ConsulBackend(
        io::Network& network, ConsulConfig config, std::shared_ptr<const io::TlsContext> tls
    );

    // About a service's health, as a GET.
    struct HealthQuestion {
        std::string target;
        Instant deadline;
    };

    HealthQuestion health_question(
        std::string_view service, std::uint64_t after, Duration longest, Instant deadline
    ) const;

    // The answer, whatever its status; a failure to get one is the registry's.
    io::Task<Result<http::Response>> ask(
        std::string method, std::string target, std::string body, Instant deadline
    );
    io::Task<Result<http::Response>> ask_once(http::Request request, Instant deadline);
    io::Task<Result<http::Response>> ask_twice(http::Request request, Instant deadline);
    // A question that may wait: refused at once while Consul wants to be left alone. `delta`: of
    // kDeltaHeader, or empty.
    io::Task<Result<http::Response>> question(
        std::string target, std::string delta, Instant deadline
    );
    io::Task<Result<>> put(std::string target, std::string body, Instant deadline);
    io::Task<Result<>> register_in_catalog(ServiceConfig config, Instant deadline);
    io::Task<Result<std::optional<Metadata>>> find_in_catalog(std::string id, Instant deadline);
    // Reads the token file again if it is time, or if the token was refused. True: another token.
    bool refresh_token(bool was_refused);
    void note_retry_after(const http::Response& response);
    Duration wait_of(const http::Response& response) const;
    Error refused(std::string_view asked, const http::Response& response) const;
    WallTime until(Duration ttl) const;
    // "?stale&dc=…" as configured.
    std::string query() const;
    Error explained(std::string_view asked, Error error) const;

    io::Network& network_;
    ConsulConfig config_;
    http::Client client_;
    std::string token_;
    Instant token_read_at_;
    Instant quiet_until_;                                // no questions before
    std::map<std::string, Duration, std::less<>> ttls_;  // of what is registered in the catalog
    std::uint64_t seed_;  // of fingerprints: nobody can make two that are the same
    std::uint64_t deltas_ = 0;
    std::uint64_t misfits_ = 0;
};

}  // namespace datapunk::mesh::registry::consul
