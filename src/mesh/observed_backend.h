#pragma once

// ObservedBackend: passes everything on to a registry's backend, and remembers how it went:
// whether the registry answers, and if not, why; how long requests take. One loop's object, but for
// readiness(), which any thread may ask.

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "io/loop.h"
#include "metrics/metric_registry.h"
#include "registry/backend.h"

namespace datapunk::mesh::internal {

class ObservedBackend final : public registry::Backend {
  public:
    ObservedBackend(
        io::Loop& loop, std::unique_ptr<registry::Backend> backend, metrics::MetricRegistry& metrics
    );

    // Whether it answered last time. An answer that says no is an answer, but not the first.
    Result<> readiness() const;

    std::string_view kind() const noexcept override { return backend_->kind(); }

    registry::Capabilities capabilities() const noexcept override {
        return backend_->capabilities();
    }

    io::Task<Result<>> register_service(ServiceConfig config, Instant deadline) override;
    io::Task<Result<>> deregister_service(std::string id, Instant deadline) override;
    io::Task<Result<bool>> has_service(std::string id, Instant deadline) override;
    io::Task<Result<std::optional<Metadata>>> metadata_of(std::string id, Instant deadline)
        override;
    io::Task<Result<>> heartbeat(std::string id, Health health, std::string note, Instant deadline)
        override;
    io::Task<Result<registry::Answer>> wait(
        std::string service, std::uint64_t after, Duration longest, Instant deadline
    ) override;
    io::Task<Result<registry::News>> follow(
        std::string service, registry::KnownAnswer known, Duration longest, Instant deadline
    ) override;
    io::Task<Result<std::vector<registry::ServiceSummary>>> services(Instant deadline) override;

  private:
    // `took` unset: a long poll, whose time says nothing.
    void note(std::string_view operation, const Error* error, std::optional<Duration> took);

    template <class T>
    Result<T> noted(std::string_view operation, Instant begun, Result<T> result) {
        note(operation, result ? nullptr : &result.error(), loop_.now() - begun);
        return result;
    }

    io::Loop& loop_;
    std::unique_ptr<registry::Backend> backend_;
    metrics::MetricRegistry& metrics_;
    metrics::Gauge up_;
    mutable std::mutex mutex_;
    std::optional<Error> down_because_;
};

}  // namespace datapunk::mesh::internal
