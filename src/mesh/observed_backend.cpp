#include "mesh/observed_backend.h"

#include <utility>

#include "metrics/names.h"

namespace datapunk::mesh::internal {

namespace names = metrics::names;

namespace {

bool is_silence(Code code) {
    return code == Code::unavailable || code == Code::timeout || code == Code::internal;
}

}  // namespace

ObservedBackend::ObservedBackend(
    io::Loop& loop, std::unique_ptr<registry::Backend> backend, metrics::MetricRegistry& metrics
)
    : loop_(loop),
      backend_(std::move(backend)),
      metrics_(metrics),
      up_(metrics.gauge(names::kRegistryUp, {backend_->kind()})),
      down_because_(Error{
          .code = Code::unavailable,
          .what = "the registry has not answered yet",
          .source = Source::registry,
          .retryable = true
      }) {}

Result<> ObservedBackend::readiness() const {
    const std::lock_guard lock(mutex_);
    if (down_because_) return *down_because_;
    return Ok{};
}

void ObservedBackend::note(
    std::string_view operation, const Error* error, std::optional<Duration> took
) {
    const bool is_down = error != nullptr && is_silence(error->code);
    up_.set(is_down ? 0 : 1);
    if (is_down) {
        metrics_.counter(names::kRegistryRequestFailures, {kind(), operation}).add();
    } else if (took) {
        metrics_.histogram(names::kRegistryRequestDuration, {kind(), operation}).record(*took);
    }
    const std::lock_guard lock(mutex_);
    // One that only ever said no, to a wrong token say, has told us nothing to work with.
    if (is_down || (error != nullptr && down_because_)) {
        down_because_ = *error;
    } else {
        down_because_.reset();
    }
}

io::Task<Result<>> ObservedBackend::register_service(ServiceConfig config, Instant deadline) {
    const Instant begun = loop_.now();
    auto result = co_await backend_->register_service(std::move(config), deadline);
    co_return noted("register", begun, std::move(result));
}

io::Task<Result<>> ObservedBackend::deregister_service(std::string id, Instant deadline) {
    const Instant begun = loop_.now();
    auto result = co_await backend_->deregister_service(std::move(id), deadline);
    co_return noted("deregister", begun, std::move(result));
}

io::Task<Result<bool>> ObservedBackend::has_service(std::string id, Instant deadline) {
    const Instant begun = loop_.now();
    auto result = co_await backend_->has_service(std::move(id), deadline);
    co_return noted("has", begun, std::move(result));
}

io::Task<Result<std::optional<Metadata>>> ObservedBackend::metadata_of(
    std::string id, Instant deadline
) {
    const Instant begun = loop_.now();
    auto result = co_await backend_->metadata_of(std::move(id), deadline);
    co_return noted("has", begun, std::move(result));
}

io::Task<Result<>> ObservedBackend::heartbeat(
    std::string id, Health health, std::string note_text, Instant deadline
) {
    const Instant begun = loop_.now();
    auto result =
        co_await backend_->heartbeat(std::move(id), health, std::move(note_text), deadline);
    co_return noted("heartbeat", begun, std::move(result));
}

io::Task<Result<registry::Answer>> ObservedBackend::wait(
    std::string service, std::uint64_t after, Duration longest, Instant deadline
) {
    // A question that is answered at once, or a long poll.
    const bool is_poll = after > 0 && longest > Duration::zero();
    const Instant begun = loop_.now();
    auto result = co_await backend_->wait(std::move(service), after, longest, deadline);
    if (!is_poll) co_return noted("discover", begun, std::move(result));
    note("wait", result ? nullptr : &result.error(), std::nullopt);
    co_return result;
}

io::Task<Result<registry::News>> ObservedBackend::follow(
    std::string service, registry::KnownAnswer known, Duration longest, Instant deadline
) {
    const bool is_poll = known.index > 0 && longest > Duration::zero();
    const Instant begun = loop_.now();
    auto result =
        co_await backend_->follow(std::move(service), std::move(known), longest, deadline);
    if (!is_poll) co_return noted("discover", begun, std::move(result));
    note("wait", result ? nullptr : &result.error(), std::nullopt);
    co_return std::move(result);
}

io::Task<Result<std::vector<registry::ServiceSummary>>> ObservedBackend::services(Instant deadline
) {
    const Instant begun = loop_.now();
    auto result = co_await backend_->services(deadline);
    co_return noted("services", begun, std::move(result));
}

}  // namespace datapunk::mesh::internal
