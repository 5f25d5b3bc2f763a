// Ranges of the public policies: every problem, not only the first.

#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/registration.h>

#include <algorithm>
#include <cmath>

#include "core/problems.h"

namespace datapunk::mesh {

namespace {

using core::Problems;

void check_balance(const BalanceConfig& config, Problems& problems) {
    std::visit(
        [&](const auto& balance) {
            if constexpr (requires { balance.bounded_load; }) {
                problems.need(
                    balance.bounded_load == 0 ||
                        (balance.bounded_load >= 1 && balance.bounded_load <= 100),
                    "balance.bounded_load must be 0 (none) or 1..100"
                );
            }
            if constexpr (requires { balance.points_min; }) {
                problems.need(
                    balance.points_min >= 1 && balance.points_min <= 1U << 20U,
                    "balance.points_min must be 1..1048576"
                );
            }
            if constexpr (requires { balance.table_size; }) {
                problems.need(
                    balance.table_size >= 2 && balance.table_size <= 5'000'011,
                    "balance.table_size must be 2..5000011"
                );
            }
            if constexpr (requires { balance.choices; }) {
                problems.need(
                    balance.choices >= 2 && balance.choices <= 64, "balance.choices must be 2..64"
                );
            }
            if constexpr (requires { balance.decay; }) {
                problems.need(
                    balance.decay >= std::chrono::milliseconds(1) &&
                        balance.decay <= std::chrono::minutes(10),
                    "balance.decay must be 1ms..10m"
                );
                problems.need(
                    balance.initial > Duration::zero(), "balance.initial must be positive"
                );
            }
            if constexpr (requires { balance.blackout; }) {
                problems.need(
                    balance.blackout >= Duration::zero() &&
                        balance.blackout <= std::chrono::minutes(10),
                    "balance.blackout must be 0..10m"
                );
                problems.need(
                    balance.expiration >= std::chrono::seconds(1) &&
                        balance.expiration <= std::chrono::hours(1),
                    "balance.expiration must be 1s..1h"
                );
                problems.need(
                    balance.error_penalty >= 0 && balance.error_penalty <= 100,
                    "balance.error_penalty must be 0..100"
                );
            }
            if constexpr (requires { balance.interval; }) {
                problems.need(
                    balance.interval >= std::chrono::seconds(1) &&
                        balance.interval <= std::chrono::minutes(10),
                    "balance.interval must be 1s..10m"
                );
            }
            if constexpr (requires { balance.balancer; }) {
                problems.need(
                    balance.balancer != nullptr, "balance: CustomBalance without a balancer"
                );
            }
        },
        config
    );
}

void check_affinity(const AffinityConfig& affinity, Problems& problems) {
    const bool is_named =
        affinity.by == AffinityConfig::Kind::header || affinity.by == AffinityConfig::Kind::cookie;
    problems.need(
        !is_named || (core::is_token(affinity.name) && affinity.name.size() <= 128),
        "affinity.name must be the name of a header or cookie, is \"{}\"",
        affinity.name
    );
}

void check_slow_start(const SlowStartConfig& slow, Problems& problems) {
    problems.need(
        slow.window >= Duration::zero() && slow.window <= std::chrono::hours(1),
        "slow_start.window must be 0 (off) or up to 1h"
    );
    problems.need(
        slow.aggression >= 0.1 && slow.aggression <= 10, "slow_start.aggression must be 0.1..10"
    );
    problems.need(
        slow.min_share >= 0.01 && slow.min_share <= 1, "slow_start.min_share must be 0.01..1"
    );
}

void check_zones(const ZonesConfig& zones, Problems& problems) {
    problems.need(
        !zones.prefer_own || !zones.own.empty(),
        "zones.prefer_own needs to know the own zone: zones.own, or node.zone of the proxy"
    );
    problems.need(
        zones.endpoints_min >= 1 && zones.endpoints_min <= 10'000,
        "zones.endpoints_min must be 1..10000"
    );
    problems.need(
        zones.callers_share >= 0 && zones.callers_share <= 1, "zones.callers_share must be 0..1"
    );
}

void check_levels(const FailoverConfig& levels, const PanicConfig& panic, Problems& problems) {
    problems.need(
        levels.metadata.size() <= 128 && !core::has_control(levels.metadata),
        "failover.metadata must be the name of metadata, up to 128 bytes"
    );
    problems.need(
        levels.overprovisioning >= 1 && levels.overprovisioning <= 10,
        "failover.overprovisioning must be 1..10"
    );
    problems.need(
        panic.healthy_percent >= 0 && panic.healthy_percent <= 100,
        "panic.healthy_percent must be 0..100"
    );
}

void check_subsetting(const ServicePolicy& policy, Problems& problems) {
    const SubsettingConfig& s = policy.subsetting;
    problems.need(s.size >= 1 && s.size <= 10'000, "subsetting.size must be 1..10000");
    if (s.by != SubsettingConfig::Kind::aperture) return;
    problems.need(
        s.callers >= 1 && s.callers <= 1'000'000 && s.caller_index < s.callers,
        "subsetting: aperture needs callers (1..1000000) and caller_index (below callers)"
    );
    // Callers of one zone are not numbered in turn, so their shares would not be equal.
    problems.need(
        !policy.zones.prefer_own, "subsetting: aperture and zones.prefer_own exclude each other"
    );
}

void check_breaker(std::string_view key, const CircuitBreakerConfig& b, Problems& problems) {
    const auto need = [&](bool holds, std::string_view what) {
        problems.need(holds, "{}.{}", key, what);
    };
    const bool is_timed = b.window_time > Duration::zero();
    need(b.window_calls >= 1 && b.window_calls <= 10'000, "window_calls must be 1..10000");
    need(
        b.window_time == Duration::zero() ||
            (b.window_time >= std::chrono::seconds(1) && b.window_time <= std::chrono::hours(1)),
        "window_time must be 0 or 1s..1h"
    );
    need(
        b.min_calls >= 1 && (is_timed ? b.min_calls <= 1'000'000 : b.min_calls <= b.window_calls),
        is_timed ? "min_calls must be 1..1000000" : "min_calls must be 1..window_calls"
    );
    need(b.failure_rate >= 0 && b.failure_rate <= 1, "failure_rate must be 0 (off) to 1");
    need(
        is_timed || b.failure_count <= b.window_calls, "failure_count must be at most window_calls"
    );
    need(b.slow_call >= Duration::zero(), "slow_call must not be negative");
    need(b.slow_rate > 0 && b.slow_rate <= 1, "slow_rate must be in (0, 1]");
    need(b.open_for > Duration::zero(), "open_for must be positive");
    need(b.open_max >= b.open_for, "open_max must be at least open_for");
    need(b.half_open_probes >= 1 && b.half_open_probes <= 1000, "half_open_probes must be 1..1000");
    need(b.ramp >= Duration::zero() && b.ramp <= std::chrono::hours(24), "ramp must be 0s..24h");
    need(b.ramp_from > 0 && b.ramp_from <= 1, "ramp_from must be in (0, 1]");
}

void check_outlier(const OutlierConfig& o, Problems& problems) {
    problems.need(o.interval > Duration::zero(), "outlier.interval must be positive");
    problems.need(
        o.failure_percentage > 0 && o.failure_percentage <= 100,
        "outlier.failure_percentage must be in (0, 100]"
    );
    problems.need(
        o.stdev_factor >= 0 && std::isfinite(o.stdev_factor),
        "outlier.stdev_factor must not be negative"
    );
    problems.need(
        o.phi == 0 || (o.phi >= 1 && o.phi <= 100), "outlier.phi must be 0 (off) or 1..100"
    );
    problems.need(o.phi_pause >= Duration::zero(), "outlier.phi_pause must not be negative");
    problems.need(o.base_ejection > Duration::zero(), "outlier.base_ejection must be positive");
    problems.need(
        o.max_ejection >= o.base_ejection, "outlier.max_ejection must be at least base_ejection"
    );
    problems.need(
        o.max_ejected_percent >= 0 && o.max_ejected_percent <= 100,
        "outlier.max_ejected_percent must be 0..100"
    );
}

void check_dependencies(const DependencyConfig& d, Problems& problems) {
    for (const std::string& name : d.optional) {
        const auto valid = check_service_name(name);
        problems.need(valid.ok(), "dependencies.optional: {}", valid ? "" : valid.error().what);
    }
}

void check_forecast(const ForecastConfig& f, Problems& problems) {
    problems.need(
        f.horizon >= std::chrono::seconds(1) && f.horizon <= std::chrono::minutes(10),
        "forecast.horizon must be 1s..10m"
    );
    problems.need(
        f.memory >= std::chrono::seconds(1) && f.memory <= std::chrono::hours(1),
        "forecast.memory must be 1s..1h"
    );
    problems.need(f.enabled || !f.balance, "forecast.balance needs forecast.enabled");
}

void check_retry(const RetryConfig& r, Problems& problems) {
    problems.need(r.attempts >= 1 && r.attempts <= 10, "retry.attempts must be 1..10");
    problems.need(
        r.attempt_timeout >= Duration::zero(), "retry.attempt_timeout must not be negative"
    );
    problems.need(
        r.on_statuses.size() <= 32 &&
            std::all_of(
                r.on_statuses.begin(),
                r.on_statuses.end(),
                [](std::uint16_t status) { return status >= 100 && status <= 599; }
            ),
        "retry.on_statuses must be at most 32 of 100..599"
    );
    problems.need(
        r.on_headers.size() <= 32 &&
            std::all_of(
                r.on_headers.begin(),
                r.on_headers.end(),
                [](const std::string& name) { return core::is_token(name) && name.size() <= 128; }
            ),
        "retry.on_headers must be at most 32 names of headers"
    );
    problems.need(
        r.retry_after_max >= Duration::zero() && r.retry_after_max <= std::chrono::hours(1),
        "retry.retry_after_max must be 0..1h"
    );
    problems.need(r.backoff.base >= Duration::zero(), "retry.backoff.base must not be negative");
    problems.need(r.backoff.max >= r.backoff.base, "retry.backoff.max must be at least base");
    problems.need(r.budget.ratio >= 0 && r.budget.ratio <= 10, "retry.budget.ratio must be 0..10");
    problems.need(
        r.budget.min_per_second >= 0 && r.budget.min_per_second <= 1000,
        "retry.budget.min_per_second must be 0..1000"
    );
    problems.need(
        r.budget.window >= std::chrono::seconds(1) && r.budget.window <= std::chrono::seconds(60),
        "retry.budget.window must be 1s..60s"
    );
}

void check_hedge(const HedgeConfig& h, Problems& problems) {
    problems.need(h.max >= 0 && h.max <= 0.5, "hedge.max must be 0 (off) to 0.5");
    problems.need(
        h.percentile >= 50 && h.percentile <= 99.9, "hedge.percentile must be 50 .. 99.9"
    );
    problems.need(
        h.delay >= Duration::zero() && h.delay <= std::chrono::hours(1), "hedge.delay must be 0..1h"
    );
}

void check_rate(std::string_view key, const RateLimitConfig& r, Problems& problems) {
    problems.need(r.calls <= 1'000'000, "{}.calls must be 0 (no limit) to 1000000", key);
    problems.need(
        r.per >= std::chrono::milliseconds(10) && r.per <= std::chrono::hours(24),
        "{}.per must be 10ms..24h",
        key
    );
    problems.need(r.burst <= 1'000'000, "{}.burst must be 0 (as calls) to 1000000", key);
}

void check_callers(const CallersConfig& c, Problems& problems) {
    check_rate("limits.callers.rate", c.rate, problems);
    problems.need(
        c.header.empty() || (core::is_token(c.header) && c.header.size() <= 128),
        "limits.callers.header must be the name of a header, is \"{}\"",
        c.header
    );
    problems.need(c.requests <= 1'000'000, "limits.callers.requests must be 0..1000000");
    problems.need(c.max >= 16 && c.max <= 1'000'000, "limits.callers.max must be 16..1000000");
}

void check_throttle(const ThrottleConfig& t, Problems& problems) {
    problems.need(
        t.multiplier > 1 && t.multiplier <= 100, "limits.throttle.multiplier must be in (1, 100]"
    );
    problems.need(
        t.window >= std::chrono::seconds(1) && t.window <= std::chrono::minutes(10),
        "limits.throttle.window must be 1s..10m"
    );
    problems.need(
        t.min_calls >= 1 && t.min_calls <= 1'000'000, "limits.throttle.min_calls must be 1..1000000"
    );
    problems.need(
        t.max_share > 0 && t.max_share <= 0.99, "limits.throttle.max_share must be in (0, 0.99]"
    );
}

void check_limits(const LimitsConfig& l, Problems& problems) {
    check_rate("limits.rate", l.rate, problems);
    problems.need(!l.share_rate || l.rate.calls > 0, "limits.share_rate needs limits.rate.calls");
    problems.need(
        !l.share_rate || l.rate.algorithm != RateAlgorithm::sliding_window ||
            l.rate.per >= std::chrono::seconds(1),
        "limits.share_rate needs a limits.rate.per of 1s at least with sliding_window: what is "
        "leased ten times a second is old by then"
    );
    check_callers(l.callers, problems);
    check_throttle(l.throttle, problems);
    problems.need(
        l.connections >= 1 && l.connections <= 1'000'000, "limits.connections must be 1..1000000"
    );
    problems.need(l.requests >= 1 && l.requests <= 1'000'000, "limits.requests must be 1..1000000");
    problems.need(l.pending <= 1'000'000, "limits.pending must be 0..1000000");
    problems.need(
        l.pending_timeout >= std::chrono::milliseconds(1) &&
            l.pending_timeout <= std::chrono::hours(1),
        "limits.pending_timeout must be 1ms..1h"
    );
    problems.need(
        l.adaptive == AdaptiveLimit::none || (l.adaptive_min >= 1 && l.adaptive_min <= l.requests),
        "limits.adaptive_min must be 1..limits.requests"
    );
    problems.need(
        l.priority.header.empty() ||
            (core::is_token(l.priority.header) && l.priority.header.size() <= 128),
        "limits.priority.header must be the name of a header, is \"{}\"",
        l.priority.header
    );
}

}  // namespace

Result<> check(const ServicePolicy& policy) {
    Problems problems;
    check_balance(policy.balance, problems);
    check_affinity(policy.affinity, problems);
    check_slow_start(policy.slow_start, problems);
    check_zones(policy.zones, problems);
    check_levels(policy.failover, policy.panic, problems);
    check_subsetting(policy, problems);
    check_breaker("breaker", policy.breaker, problems);
    check_breaker("service_breaker", policy.service_breaker, problems);
    check_outlier(policy.outlier, problems);
    check_dependencies(policy.dependencies, problems);
    check_forecast(policy.forecast, problems);
    check_retry(policy.retry, problems);
    check_hedge(policy.hedge, problems);
    check_limits(policy.limits, problems);
    const auto subset = check(policy.subset);
    problems.need(subset.ok(), "subset: {}", subset ? "" : subset.error().what);
    problems.need(policy.deadline > Duration::zero(), "deadline must be positive");
    problems.need(
        policy.patience_min >= Duration::zero() && policy.patience_min <= std::chrono::hours(1),
        "patience_min must be 0..1h"
    );
    problems.need(
        policy.deadline_header.empty() ||
            (core::is_token(policy.deadline_header) && policy.deadline_header.size() <= 128 &&
             (policy.deadline_header.starts_with("x-") || policy.deadline_header.starts_with("X-"))
            ),
        "deadline_header must be the name of a header that begins with x-, is \"{}\"",
        policy.deadline_header
    );
    return problems.result("policy");
}

}  // namespace datapunk::mesh
