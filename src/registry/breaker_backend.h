#pragma once

// BreakerBackend: a circuit breaker in front of a registry, so that one that fails is not hammered
// by everybody who wants something of it: discovery, registrar, heartbeats. While it is open,
// questions are refused at once (Code::unavailable) without being sent.
//
//   discovery, registrar ──► BreakerBackend ──► (ObservedBackend) ──► the registry's backend
//
// * A failure is silence or incapacity (unavailable, timeout, exhausted, internal); a registry that
//   says no, answers.
// * A blocking query is no probe: it would occupy the probe's place for as long as nothing changes.
//   While the breaker is half-open, it becomes a question that is answered at once; its asker asks
//   again. One that began before the breaker opened is not counted when it ends.
// * A question whose task is destroyed counts as nothing.
//
// One loop's object, as the backend below it.

#include <datapunk/mesh/policy.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "core/log.h"
#include "io/loop.h"
#include "metrics/metric_registry.h"
#include "registry/backend.h"
#include "resilience/circuit_breaker.h"

namespace datapunk::mesh::registry {

class BreakerBackend final : public Backend {
  public:
    // `config` is checked already.
    BreakerBackend(
        io::Loop& loop,
        std::unique_ptr<Backend> backend,
        const CircuitBreakerConfig& config,
        metrics::MetricRegistry& metrics,
        core::Logger log
    );

    resilience::BreakerState state() const noexcept { return breaker_.state(loop_.now()); }

    // Called when it has closed: whoever waits to try again need not wait any longer.
    void on_closed(std::function<void()> tell) { on_closed_ = std::move(tell); }

    std::string_view kind() const noexcept override { return backend_->kind(); }

    Capabilities capabilities() const noexcept override { return backend_->capabilities(); }

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
    class Admission;

    Error refusal() const;
    void note(const resilience::BreakerTransition& changed);

    io::Loop& loop_;
    std::unique_ptr<Backend> backend_;
    resilience::CircuitBreaker breaker_;
    metrics::MetricRegistry& metrics_;
    metrics::Gauge state_;
    metrics::Counter refused_;
    core::Logger log_;
    std::function<void()> on_closed_;
};

}  // namespace datapunk::mesh::registry
