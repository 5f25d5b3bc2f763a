#include "policy/collector.h"

#include <algorithm>

#include "metrics/names.h"

namespace datapunk::mesh::policy {

namespace names = metrics::names;

namespace {

// As the labels of other metrics are written: "connect_failure", "half_open".
std::string word(std::string_view text) {
    std::string out(text);
    std::replace_if(out.begin(), out.end(), [](char c) { return c == ' ' || c == '-'; }, '_');
    return out;
}

}  // namespace

ServiceCollector::ServiceCollector(
    metrics::MetricRegistry& registry, const std::string& service, Refusals refusals
)
    : registry_(registry),
      service_(service),
      retries_refused_(registry.counter(names::kRetryBudgetExhausted, {service})),
      degraded_(registry.gauge(names::kServiceDegraded, {service})),
      breaker_(registry.gauge(names::kServiceBreakerState, {service})),
      breakers_forced_(registry.gauge(names::kBreakersForced, {service})),
      known_(registry.gauge(names::kEndpointsKnown, {service})),
      healthy_(registry.gauge(names::kEndpointsHealthy, {service})),
      ejected_(registry.gauge(names::kEndpointsEjected, {service})),
      limit_(registry.gauge(names::kLimit, {service})),
      waiting_(registry.gauge(names::kPending, {service})),
      callers_(registry.gauge(names::kLimitCallers, {service})),
      throttled_(registry.gauge(names::kThrottledShare, {service})),
      called_(registry.gauge(names::kEndpointsCalled, {service})),
      panic_(registry.gauge(names::kPanic, {service})),
      other_zone_(registry.counter(names::kAttemptsSpilled, {service, "zone"})),
      later_priority_(registry.counter(names::kAttemptsSpilled, {service, "priority"})) {
    if (refusals == Refusals::here) {
        for (std::size_t i = 0; i < kReasons; ++i) {
            const auto reason = static_cast<NoEndpoint::Reason>(i);
            refused_[i] = registry.counter(names::kRequestsRejected, {service, to_string(reason)});
        }
    }
    for (std::size_t i = 0; i < kOutcomes; ++i) {
        const auto outcome = static_cast<Outcome>(i);
        attempts_[i] = registry.counter(names::kAttempts, {service, word(to_string(outcome))});
        if (!resilience::is_failure(outcome)) continue;
        retries_[i] = registry.counter(names::kRetries, {service, word(to_string(outcome))});
    }
    // A predicate of the user's may find an answer wanting that is nobody's failure.
    retries_[static_cast<std::size_t>(Outcome::success)] =
        registry.counter(names::kRetries, {service, to_string(Outcome::success)});
}

void ServiceCollector::update(const ServicePolicies& policies, Instant now) {
    const ServiceTotals totals = policies.totals();
    for (std::size_t i = 0; i < kOutcomes; ++i) {
        attempts_[i].add(totals.outcomes[i] - counted_.outcomes[i]);
        retries_[i].add(totals.retries_after[i] - counted_.retries_after[i]);
    }
    retries_refused_.add(totals.retries_refused - counted_.retries_refused);
    for (std::size_t i = 0; i < kReasons; ++i) {
        refused_[i].add(totals.refused[i] - counted_.refused[i]);
    }
    other_zone_.add(totals.other_zone - counted_.other_zone);
    later_priority_.add(totals.later_priority - counted_.later_priority);
    const ServiceView view = policies.view(now);
    update_hedges(totals, view);
    counted_ = totals;
    limit_.set(view.limit);
    waiting_.set(view.waiting);
    callers_.set(static_cast<double>(view.callers));
    throttled_.set(view.throttled_share);
    update_endpoints(view);
}

void ServiceCollector::update_hedges(const ServiceTotals& totals, const ServiceView& view) {
    if (!hedges_ && !view.hedge_delay) return;
    if (!hedges_) {
        hedges_.emplace();
        for (std::size_t i = 0; i < kHedgeEnds; ++i) {
            (*hedges_)[i] =
                registry_.counter(names::kHedges, {service_, to_string(static_cast<HedgeEnd>(i))});
        }
        hedge_delay_ = registry_.gauge(names::kHedgeDelay, {service_});
    }
    for (std::size_t i = 0; i < kHedgeEnds; ++i) {
        (*hedges_)[i].add(totals.hedges[i] - counted_.hedges[i]);
    }
    const Duration delay = view.hedge_delay.value_or(Duration::zero());
    hedge_delay_->set(std::chrono::duration<double>(delay).count());
}

void ServiceCollector::update_endpoints(const ServiceView& view) {
    std::size_t known = 0;
    std::size_t healthy = 0;
    std::size_t ejected = 0;
    std::size_t forced = view.breaker.forced == BreakerForce::none ? 0 : 1;
    // Both are sorted by id. The gauges of those that have gone are no longer shown.
    auto at = endpoints_.begin();
    for (const EndpointView& endpoint : view.endpoints) {
        if (endpoint.is_leaving) continue;
        ++known;
        if (endpoint.health != Health::critical) ++healthy;
        if (endpoint.ejected_until) ++ejected;
        if (endpoint.breaker.forced != BreakerForce::none) ++forced;
        while (at != endpoints_.end() && at->first < endpoint.id) at = endpoints_.erase(at);
        if (at == endpoints_.end() || at->first != endpoint.id) {
            at = endpoints_.emplace_hint(
                at,
                endpoint.id,
                EndpointGauges{
                    .breaker = registry_.gauge(names::kBreakerState, {service_, endpoint.id})
                }
            );
        }
        EndpointGauges& gauges = (at++)->second;
        gauges.breaker.set(static_cast<double>(endpoint.breaker.state));
        if (!endpoint.latency_forecast || !endpoint.in_flight_forecast) continue;
        if (!gauges.latency_forecast) {
            gauges.latency_forecast =
                registry_.gauge(names::kEndpointLatencyForecast, {service_, endpoint.id});
            gauges.in_flight_forecast =
                registry_.gauge(names::kEndpointInFlightForecast, {service_, endpoint.id});
        }
        gauges.latency_forecast->set(
            std::chrono::duration<double>(*endpoint.latency_forecast).count()
        );
        gauges.in_flight_forecast->set(*endpoint.in_flight_forecast);
    }
    endpoints_.erase(at, endpoints_.end());
    degraded_.set(view.degraded_because.empty() ? 0 : 1);
    breaker_.set(static_cast<double>(view.breaker.state));
    breakers_forced_.set(static_cast<double>(forced));
    known_.set(static_cast<double>(known));
    healthy_.set(static_cast<double>(healthy));
    ejected_.set(static_cast<double>(ejected));
    called_.set(view.called);
    panic_.set(view.is_panic ? 1 : 0);
}

void ServiceCollector::count(std::span<const PolicyEvent> events) {
    for (const PolicyEvent& event : events) {
        if (event.what == "ejected") {
            registry_.counter(names::kEjections, {service_, word(event.label)}).add();
        } else if (event.what.starts_with("breaker ")) {
            registry_.counter(names::kBreakerTransitions, {service_, word(event.label)}).add();
        } else if (event.what.starts_with("service breaker ")) {
            registry_.counter(names::kServiceBreakerTransitions, {service_, word(event.label)})
                .add();
        } else if (event.what.starts_with("balanced by ")) {
            registry_.counter(names::kAlgorithmChanges, {service_, word(event.label)}).add();
        }
    }
}

}  // namespace datapunk::mesh::policy
