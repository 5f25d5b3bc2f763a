// MeshCore: calls and leases. The attempts of a call are CallRun's, every decision is
// ServicePolicies'.

#include <algorithm>

#include "mesh/mesh_core.h"

namespace datapunk::mesh::internal {

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
    auto result = CallRun(*this, service.policies, call, options, attempt).run();
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
