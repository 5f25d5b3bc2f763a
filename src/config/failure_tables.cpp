// How the public structs of failure.h are written in the configuration.

#include "config/codecs.h"

namespace datapunk::mesh::config {

namespace {

using namespace std::chrono_literals;

constexpr double kCountMax = 1'000'000;  // what one process can hold at the very most

}  // namespace

// clang-format off
template <>
const Table& table_of<CircuitBreakerConfig>() {
    using B = CircuitBreakerConfig;
    static const Table table =
        TableOf<B>("breaker", "When to stop calling an endpoint that fails, and when to try it again.")
            .field("enabled", &B::enabled, "Whether breakers act. On: a failing endpoint must not be paid for by every caller.")
            .field("window_calls", &B::window_calls, "Outcomes remembered per endpoint. A hundred tell 50 % from chance.", between(1, 10'000))
            .field("failure_rate", &B::failure_rate, "Share of failures in the window that opens the breaker. Half: below that the endpoint still serves most.", above(0, 1))
            .field("min_calls", &B::min_calls, "Calls in the window before the rate counts; at most window_calls. Twenty keep one unlucky call from opening it.", between(1, 10'000))
            .field("consecutive", &B::consecutive, "Failures in a row that open at once; 0 = off. Five notice a dead endpoint before the window does.", between(0, 10'000))
            .field("open_for", &B::open_for, "How long it stays open the first time; doubles each time. Half a minute lets a restart finish.", between(1ms, 24h))
            .field("open_max", &B::open_max, "Longest time open, at least open_for. Five minutes bound how late a recovery is seen.", between(1ms, 24h))
            .field("half_open_probes", &B::half_open_probes, "Calls let through at a time when half-open, and successes needed to close.", between(1, 1000))
            .table();
    return table;
}

template <>
const Table& table_of<OutlierConfig>() {
    using O = OutlierConfig;
    static const Table table =
        TableOf<O>("outlier", "Passive health: endpoints whose real calls fail are left out for a while.")
            .field("enabled", &O::enabled, "Whether endpoints are ejected. On: active checks miss what only real calls meet.")
            .field("consecutive_failures", &O::consecutive_failures, "Failures in a row that eject; 0 = off. Five, as Envoy has it.", between(0, 10'000))
            .field("interval", &O::interval, "Time between sweeps that compare success rates.", between(100ms, 1h))
            .field("request_volume", &O::request_volume, "Calls within the interval before an endpoint is judged. Fewer are chance.", between(1, kCountMax))
            .field("failure_percentage", &O::failure_percentage, "Percentage of failures that ejects. High, since the other rules catch what differs from its peers.", above(0, 100))
            .field("stdev_factor", &O::stdev_factor, "Ejected below the mean success rate less this many standard deviations; 0 = off. 1.9, as Envoy has it.", between(0, 100))
            .field("base_ejection", &O::base_ejection, "Length of an ejection, times the number of ejections so far.", between(1ms, 24h))
            .field("max_ejection", &O::max_ejection, "Longest ejection, at least base_ejection.", between(1ms, 24h))
            .field("max_ejected_percent", &O::max_ejected_percent, "Share of endpoints that may be ejected at once. One always may, the last one never. Half: beyond it the fault is probably not theirs.", between(0, 100))
            .table();
    return table;
}
// clang-format on

}  // namespace datapunk::mesh::config
