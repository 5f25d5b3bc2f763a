// MeshCore: calls. The loop of attempts; every decision is ServicePolicies'.

#include <fmt/format.h>

#include <algorithm>

#include "mesh/mesh_core.h"

namespace datapunk::mesh::internal {

namespace {

Outcome outcome_of(const Error& error) {
    switch (error.code) {
        case Code::unavailable:
            return Outcome::connect_failure;
        case Code::timeout:
            return Outcome::timeout;
        case Code::aborted:
            return Outcome::cancelled;
        case Code::exhausted:
        case Code::internal:
            return Outcome::server_error;
        case Code::invalid:
        case Code::not_found:
        case Code::conflict:
        case Code::denied:
            return Outcome::success;
    }
    return Outcome::server_error;
}

struct Ended {
    Outcome outcome = Outcome::success;
    bool by_status = false;  // nobody said how it ended, but what the endpoint answered
};

// What the function said; else the status it told; else its Error.
Ended ended_as(
    std::optional<Outcome> told,
    std::optional<std::uint32_t> grpc_status,
    int status,
    const Result<>& result
) {
    if (told) return {.outcome = *told};
    if (grpc_status) return {.outcome = resilience::outcome_of_grpc_status(*grpc_status)};
    if (status != 0) return {.outcome = resilience::outcome_of_status(status), .by_status = true};
    return {.outcome = result ? Outcome::success : outcome_of(result.error())};
}

// "connection refused (api_service at 10.0.0.7:80, attempt 3; no other: attempts used)"
Error with_history(
    Error error,
    std::string_view service,
    const std::string& address,
    std::uint32_t attempts,
    resilience::RetryReason why_no_other
) {
    error.what = fmt::format(
        "{} ({} at {}, attempt {}; no other: {})",
        error.what,
        service,
        address,
        attempts,
        resilience::to_string(why_no_other)
    );
    return error;
}

}  // namespace

Result<> MeshCore::run(
    std::string_view name, const CallOptions& options, const AttemptFunction& attempt
) {
    ServiceState* service = services_.find(name);
    if (service == nullptr) {
        auto used = use(name, nullptr);
        if (!used) return std::move(used).error();
        service = *used;
    }
    return run(*service, options, attempt);
}

Result<> MeshCore::run(
    ServiceState& service, const CallOptions& options, const AttemptFunction& attempt
) {
    const Gate::Pass pass(gate_);
    if (!pass) return stopping_error();
    const Instant begun = world_.clock->now();
    const Duration limit = options.deadline > Duration::zero()
                               ? options.deadline
                               : service.policies.policy()->deadline;
    policy::CallState call(resilience::earlier(
        resilience::Deadline::in(begun, limit), resilience::Deadline(options.latest)
    ));
    call.hash = options.hash;
    call.priority = options.priority;
    call.can_wait = true;
    if (!options.caller.empty() && service.policies.call_limits()->limits_callers()) {
        call.caller =
            service.policies.call_limits()->caller_key(policy::CallerKind::told, options.caller);
    }
    if (!service.is_known()) {
        const Instant latest = std::min(call.deadline.at(), begun + options_.timeout);
        auto known = service.wait_known(*world_.clock, latest);
        if (!known) return known;
    }
    auto result = attempts(service, call, options, attempt);
    service.call_duration.record(world_.clock->now() - begun);
    return result;
}

// Nothing: the call has a place now.
std::optional<policy::NoEndpoint> MeshCore::wait_for_place(
    policy::ServicePolicies& policies, policy::CallState& call, Instant now
) {
    std::mutex mutex;
    std::condition_variable changed;
    policy::PlaceWait wait(policies.admission(), [&mutex, &changed] {
        const std::lock_guard lock(mutex);
        changed.notify_one();
    });
    if (auto refused = wait.join(call, now)) return refused;
    {
        std::unique_lock lock(mutex);
        while (!wait.is_over() && world_.clock->now() < wait.latest()) {
            world_.clock->wait(lock, changed, wait.latest());
        }
    }
    return wait.end(call, world_.clock->now());
}

Result<> MeshCore::attempts(
    ServiceState& service,
    policy::CallState& call,
    const CallOptions& options,
    const AttemptFunction& attempt
) {
    auto& policies = service.policies;
    std::optional<Error> last;
    for (;;) {
        Instant now = world_.clock->now();
        auto begun = policies.begin_attempt(call, now);
        if (auto* nobody = std::get_if<policy::NoEndpoint>(&begun)) {
            if (nobody->turn_at != kNever) {
                if (!sleep_until(nobody->turn_at)) return stopping_error();
                continue;
            }
            if (nobody->may_wait) {
                const auto refused = wait_for_place(policies, call, now);
                if (!refused) continue;
                if (gate_.is_closed()) return stopping_error();
                *nobody = *refused;
                now = world_.clock->now();
            }
            Error error = policies.to_error(*nobody, now);
            if (last) error.what += fmt::format("; before: {}", last->what);
            return error;
        }
        auto& held = std::get<policy::HeldEndpoint>(begun);
        Instant latest = call.deadline.at();
        const Duration limit = policies.policy()->retry.attempt_timeout;
        if (limit > Duration::zero()) {
            latest = resilience::earlier(call.deadline, resilience::Deadline::in(now, limit)).at();
        }
        Attempt told(call.attempts, latest, *world_.clock);
        Result<> result = attempt(held.endpoint(), told);
        now = world_.clock->now();

        const Ended ended = ended_as(told.outcome_, told.grpc_status_, told.status_, result);
        const Outcome outcome = ended.outcome;
        std::optional<bool> is_failure;
        if (ended.by_status)
            is_failure = policies.policy()->failure_statuses.contains(told.status_);
        if (options.is_failure && outcome != Outcome::cancelled) {
            is_failure = options.is_failure(
                {.outcome = outcome, .status = told.status_, .latency = now - held.begun()}
            );
        }
        if (!told.worth_retrying_ && !result && options.retry_if) {
            told.worth_retrying_ = options.retry_if(result.error());
        }
        const bool is_final =
            result && outcome == Outcome::success && !told.worth_retrying_.value_or(false) &&
            !told.grpc_status_.has_value() &&
            (told.status_ == 0 || !resilience::may_retry_answers(policies.policy()->retry));
        const std::string address = result ? std::string() : held.address();
        if (told.load_) policies.report_load(held, *told.load_, now);
        const bool is_overload =
            resilience::tells_overload(outcome, told.status_, told.grpc_status_);
        policies.finish_attempt(std::move(held), outcome, now, is_failure, is_overload);
        if (is_final) return result;
        const auto decision = policies.after_attempt(
            call,
            {.outcome = outcome,
             .idempotent = options.idempotent || !told.is_sent_,
             .user_verdict = told.worth_retrying_,
             .retry_after = told.retry_after_,
             .status = static_cast<std::uint16_t>(std::clamp(told.status_, 0, 599)),
             .grpc_status = told.grpc_status_},
            now
        );
        if (!decision) {
            if (result || outcome == Outcome::success) return result;
            return with_history(
                std::move(result).error(), policies.name(), address, call.attempts, decision.reason
            );
        }
        if (!result) last = std::move(result).error();
        if (!sleep_until(now + decision.wait)) return stopping_error();
    }
}

bool MeshCore::sleep_until(Instant until) {
    std::unique_lock lock(sleep_mutex_);
    while (!gate_.is_closed()) {
        if (world_.clock->now() >= until) return true;
        world_.clock->wait(lock, woken_, until);
    }
    return false;
}

Result<> MeshCore::force_breaker(
    ServiceState& service, BreakerForce how, std::string_view endpoint
) {
    return service.policies.force_breaker(how, endpoint, world_.clock->now());
}

Result<> MeshCore::set_policy(ServiceState& service, const ServicePolicy& policy) {
    if (auto good = check_policy(options_, policy); !good) return good;
    service.policies.set_policy(policy, world_.clock->now());
    return Ok{};
}

Result<> MeshCore::set_policy(std::string_view name, const ServicePolicy& policy) {
    if (auto good = check_policy(options_, policy); !good) return good;
    auto used = use(name, &policy);
    if (!used) return std::move(used).error();
    return set_policy(**used, policy);
}

Result<Lease> MeshCore::lease(std::string_view name) {
    ServiceState* service = services_.find(name);
    if (service == nullptr) {
        auto used = use(name, nullptr);
        if (!used) return std::move(used).error();
        service = *used;
    }
    return lease(*service);
}

Result<Lease> MeshCore::lease(ServiceState& service) {
    if (!service.is_known()) [[unlikely]] {
        const Gate::Pass pass(gate_);
        if (!pass) return stopping_error();
        auto known = service.wait_known(*world_.clock, world_.clock->now() + options_.timeout);
        if (!known) return std::move(known).error();
    }
    // stop() waits for whoever has come past the check: their leases are counted by then.
    const core::EpochGuard guard;
    if (gate_.is_closed()) return stopping_error();
    const Instant now = world_.clock->now();
    policy::CallState call{resilience::Deadline()};
    auto begun = service.policies.begin_attempt(call, now);
    if (auto* attempt = std::get_if<policy::HeldEndpoint>(&begun)) [[likely]] {
        return Lease(LeaseState{.attempt = std::move(*attempt), .clock = world_.clock.get()});
    }
    return service.policies.to_error(std::get<policy::NoEndpoint>(begun), now);
}

}  // namespace datapunk::mesh::internal
