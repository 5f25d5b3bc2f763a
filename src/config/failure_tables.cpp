// How the public structs of failure.h are written in the configuration.

#include <fmt/format.h>

#include <optional>

#include "config/failure_codec.h"
#include "core/health_check.h"

namespace datapunk::mesh::config {

namespace {

using namespace std::chrono_literals;

constexpr double kCountMax = 1'000'000;  // what one process can hold at the very most

// "5xx", "429", "500-504".
std::optional<std::pair<int, int>> parse_statuses(std::string_view text) {
    if (text.size() == 3 && text[0] >= '1' && text[0] <= '5' && text.substr(1) == "xx") {
        const int first = (text[0] - '0') * 100;
        return std::pair(first, first + 99);
    }
    return core::parse_status_range(text);
}

std::string statuses_text(int first, int last) {
    if (first == last) return std::to_string(first);
    if (first % 100 == 0 && last == first + 99) return fmt::format("{}xx", first / 100);
    return fmt::format("{}-{}", first, last);
}

}  // namespace

template <>
const EnumNames<BreakerForce>& names_of<BreakerForce>() {
    static const EnumNames<BreakerForce> names = {
        {BreakerForce::none, "none"}, {BreakerForce::open, "open"}, {BreakerForce::closed, "closed"}
    };
    return names;
}

Shape Codec<StatusSet>::shape() {
    return Codec<std::vector<std::string>>::shape();
}

void Codec<StatusSet>::read(StatusSet& to, const ReadSpot& spot) {
    std::vector<std::string> words;
    Codec<std::vector<std::string>>::read(words, spot);
    to = {};
    for (const std::string& word : words) {
        if (const auto range = parse_statuses(word)) {
            to.add(range->first, range->second);
            continue;
        }
        spot.reader.fail(
            spot.tree,
            spot.path,
            fmt::format("\"{}\" is not a status", word.substr(0, 32)),
            "write 5xx, 429 or 500-504"
        );
    }
}

Tree Codec<StatusSet>::write(const StatusSet& from) {
    Tree tree = Tree::of(Tree::Kind::list);
    for (int first = 100; first <= 599; ++first) {
        if (!from.contains(first)) continue;
        int last = first;  // within a class, so that 400 to 599 reads 4xx, 5xx
        while (last % 100 != 99 && from.contains(last + 1)) ++last;
        tree.list.push_back(Tree::of_text(statuses_text(first, last)));
        first = last;
    }
    return tree;
}

// clang-format off
template <>
const Table& table_of<CircuitBreakerConfig>() {
    using B = CircuitBreakerConfig;
    static const Table table =
        TableOf<B>("breaker", "When to stop calling an endpoint that fails, and when to try it again.")
            .field("enabled", &B::enabled, "Whether breakers act. On: a failing endpoint must not be paid for by every caller.")
            .field("force", &B::force, "Keeps it open or closed whatever is measured, until told otherwise through the admin API.")
            .field("window_calls", &B::window_calls, "Outcomes remembered, unless window_time is set. A hundred tell 50 % from chance.", between(1, 10'000))
            .field("window_time", &B::window_time, "If set, outcomes of the last so long are remembered instead, in tenths; 1s..1h.", between(0s, 1h))
            .field("min_calls", &B::min_calls, "Calls in the window before shares count; at most window_calls, unless window_time is set. Twenty keep one unlucky call from opening it.", between(1, kCountMax))
            .field("failure_rate", &B::failure_rate, "Share of failures in the window that opens the breaker; 0 = off. Half: below that the endpoint still serves most.", between(0, 1))
            .field("failure_count", &B::failure_count, "Failures in the window that open it, whatever their share; 0 = off.", between(0, kCountMax))
            .field("consecutive", &B::consecutive, "Failures in a row that open at once; 0 = off. Five notice a dead endpoint before the window does.", between(0, 10'000))
            .field("slow_call", &B::slow_call, "An answer that takes so long is slow; 0s = none is.", between(0s, 24h))
            .field("slow_rate", &B::slow_rate, "Share of slow calls in the window that opens the breaker.", above(0, 1))
            .field("open_for", &B::open_for, "How long it stays open the first time; doubles each time. Half a minute lets a restart finish.", between(1ms, 24h))
            .field("open_max", &B::open_max, "Longest time open, at least open_for. Five minutes bound how late a recovery is seen.", between(1ms, 24h))
            .field("half_open_probes", &B::half_open_probes, "Calls let through at a time when half-open, and successes needed to close or to begin the ramp.", between(1, 1000))
            .field("ramp", &B::ramp, "After the probes the share of admitted calls grows for so long from ramp_from to all; 0s = all at once.", between(0s, 24h))
            .field("ramp_from", &B::ramp_from, "Share of calls admitted when the ramp begins.", above(0, 1))
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
            .field("phi", &O::phi, "Suspicion (phi accrual) at which an endpoint that has calls and stopped answering is ejected; 0 = off. 8: wrong once in 10^8 silences, if answers come as regularly as they did.", between(0, 100))
            .field("phi_pause", &O::phi_pause, "Silence on top of the usual that raises no suspicion. 3 s outlast a collection of garbage.", between(0s, 1h))
            .field("base_ejection", &O::base_ejection, "Length of an ejection, times the number of ejections so far.", between(1ms, 24h))
            .field("max_ejection", &O::max_ejection, "Longest ejection, at least base_ejection.", between(1ms, 24h))
            .field("max_ejected_percent", &O::max_ejected_percent, "Share of endpoints that may be ejected at once. One always may, the last one never. Half: beyond it the fault is probably not theirs.", between(0, 100))
            .field("max_ejected", &O::max_ejected, "Endpoints that may be ejected at once, beside the percentage; 0 = only the percentage counts.", between(0, kCountMax))
            .table();
    return table;
}

template <>
const Table& table_of<DependencyConfig>() {
    using D = DependencyConfig;
    static const Table table =
        TableOf<D>("dependencies", "What follows when a service that this one declares to depend on fails.")
            .field("fail_fast", &D::fail_fast, "Whether calls are refused meanwhile. Off: they are made, and /endpoints says what is degraded and why.")
            .field("optional", &D::optional, "Services that it can do without: they never cause a refusal.")
            .table();
    return table;
}

template <>
const Table& table_of<ForecastConfig>() {
    using F = ForecastConfig;
    static const Table table =
        TableOf<F>("forecast", "Where each endpoint's latency and calls in flight are heading, by Holt's linear trend.")
            .field("enabled", &F::enabled, "Whether trends are kept.")
            .field("balance", &F::balance, "Whether an endpoint whose latency grows gets a smaller weight now: x level / forecast, at least 0.1; whatever the algorithm.")
            .field("horizon", &F::horizon, "How far ahead. Ten seconds: longer than a queue takes to build up.", between(1s, 10min))
            .field("memory", &F::memory, "Time constant of the trend: what is older counts little.", between(1s, 1h))
            .table();
    return table;
}
// clang-format on

}  // namespace datapunk::mesh::config
