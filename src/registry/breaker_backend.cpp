#include "registry/breaker_backend.h"

#include <fmt/format.h>

#include <utility>

#include "core/strings.h"
#include "metrics/names.h"

namespace datapunk::mesh::registry {

namespace names = metrics::names;

namespace {

bool is_failure(Code code) {
    return code == Code::unavailable || code == Code::timeout || code == Code::exhausted ||
           code == Code::internal;
}

}  // namespace

// One question's way past the breaker: settled with its result, or given back unsettled.
class BreakerBackend::Admission {
  public:
    explicit Admission(BreakerBackend& owner) : owner_(owner) {
        resilience::BreakerTransition changed;
        permit_ = owner_.breaker_.try_acquire(owner_.loop_.now(), &changed);
        owner_.note(changed);
        if (!permit_) owner_.refused_.add();
    }

    Admission(const Admission&) = delete;
    Admission& operator=(const Admission&) = delete;

    ~Admission() {
        if (permit_) owner_.breaker_.on_cancelled(permit_);
    }

    explicit operator bool() const noexcept { return permit_.admitted; }

    template <class T>
    Result<T> settled(Result<T> result) {
        resilience::BreakerTransition changed;
        const auto permit = std::exchange(permit_, {});
        const Instant now = owner_.loop_.now();
        if (!result && result.error().code == Code::aborted) {
            owner_.breaker_.on_cancelled(permit);
        } else if (!result && is_failure(result.error().code)) {
            owner_.breaker_.on_failure(permit, now, &changed);
        } else {
            owner_.breaker_.on_success(permit, now, &changed);
        }
        owner_.note(changed);
        return result;
    }

  private:
    BreakerBackend& owner_;
    resilience::CircuitBreaker::Permit permit_;
};

BreakerBackend::BreakerBackend(
    io::Loop& loop,
    std::unique_ptr<Backend> backend,
    const CircuitBreakerConfig& config,
    metrics::MetricRegistry& metrics,
    core::Logger log
)
    : loop_(loop),
      backend_(std::move(backend)),
      breaker_(config),
      metrics_(metrics),
      state_(metrics.gauge(names::kRegistryBreakerState, {backend_->kind()})),
      refused_(metrics.counter(names::kRegistryRequestsRefused, {backend_->kind()})),
      log_(std::move(log)) {
    state_.set(0);
}

Error BreakerBackend::refusal() const {
    const Instant probe = breaker_.next_probe_at();
    const Instant now = loop_.now();
    return {
        .code = Code::unavailable,
        .what = fmt::format(
            "{} is not asked because it keeps failing{}",
            kind(),
            probe > now
                ? ", again in " + core::format_duration(
                                      std::chrono::ceil<std::chrono::milliseconds>(probe - now)
                                  )
                : std::string(", a probe is under way")
        ),
        .source = Source::registry,
        .retryable = true
    };
}

void BreakerBackend::note(const resilience::BreakerTransition& changed) {
    if (!changed) return;
    state_.set(static_cast<double>(changed.to));
    metrics_.counter(names::kRegistryBreakerTransitions, {kind(), to_string(changed.to)}).add();
    if (changed.to == resilience::BreakerState::open) {
        log_.warn(
            "the registry keeps failing, it is left in peace",
            {{"registry", kind()},
             {"why", to_string(changed.reason)},
             {"failures", changed.failures},
             {"seconds", std::chrono::duration<double>(changed.next_probe_at - loop_.now()).count()}
            }
        );
    } else if (changed.to == resilience::BreakerState::closed) {
        log_.info("the registry may be asked again", {{"registry", kind()}});
        if (on_closed_) on_closed_();
    }
}

io::Task<Result<>> BreakerBackend::register_service(ServiceConfig config, Instant deadline) {
    Admission admission(*this);
    if (!admission) co_return refusal();
    auto result = co_await backend_->register_service(std::move(config), deadline);
    co_return admission.settled(std::move(result));
}

io::Task<Result<>> BreakerBackend::deregister_service(std::string id, Instant deadline) {
    Admission admission(*this);
    if (!admission) co_return refusal();
    auto result = co_await backend_->deregister_service(std::move(id), deadline);
    co_return admission.settled(std::move(result));
}

io::Task<Result<bool>> BreakerBackend::has_service(std::string id, Instant deadline) {
    Admission admission(*this);
    if (!admission) co_return refusal();
    auto result = co_await backend_->has_service(std::move(id), deadline);
    co_return admission.settled(std::move(result));
}

io::Task<Result<std::optional<Metadata>>> BreakerBackend::metadata_of(
    std::string id, Instant deadline
) {
    Admission admission(*this);
    if (!admission) co_return refusal();
    auto result = co_await backend_->metadata_of(std::move(id), deadline);
    co_return admission.settled(std::move(result));
}

io::Task<Result<>> BreakerBackend::heartbeat(
    std::string id, Health health, std::string note_text, Instant deadline
) {
    Admission admission(*this);
    if (!admission) co_return refusal();
    auto result =
        co_await backend_->heartbeat(std::move(id), health, std::move(note_text), deadline);
    co_return admission.settled(std::move(result));
}

io::Task<Result<Answer>> BreakerBackend::wait(
    std::string service, std::uint64_t after, Duration longest, Instant deadline
) {
    Admission admission(*this);
    if (!admission) co_return refusal();
    if (breaker_.state(loop_.now()) == resilience::BreakerState::half_open) {
        after = 0;
        longest = Duration::zero();
    }
    auto result = co_await backend_->wait(std::move(service), after, longest, deadline);
    co_return admission.settled(std::move(result));
}

io::Task<Result<News>> BreakerBackend::follow(
    std::string service, KnownAnswer known, Duration longest, Instant deadline
) {
    Admission admission(*this);
    if (!admission) co_return refusal();
    if (breaker_.state(loop_.now()) == resilience::BreakerState::half_open) {
        known = KnownAnswer();
        longest = Duration::zero();
    }
    auto result =
        co_await backend_->follow(std::move(service), std::move(known), longest, deadline);
    co_return admission.settled(std::move(result));
}

io::Task<Result<std::vector<ServiceSummary>>> BreakerBackend::services(Instant deadline) {
    Admission admission(*this);
    if (!admission) co_return refusal();
    auto result = co_await backend_->services(deadline);
    co_return admission.settled(std::move(result));
}

}  // namespace datapunk::mesh::registry
