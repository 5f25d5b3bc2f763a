// The tables of ServicePolicy and of registrations: the public structs of include/datapunk/mesh/.

#include <optional>

#include "config/codecs.h"

namespace datapunk::mesh::config {

// In check_tables.cpp.
template <>
const Table& table_of<HealthCheck>();

namespace {

using namespace std::chrono_literals;

constexpr double kCountMax = 1'000'000;  // what one process can hold at the very most

enum class Algorithm : std::uint8_t {
    peak_ewma,
    round_robin,
    weighted_round_robin,
    random,
    least_request,
    ring_hash,
    maglev
};

// BalanceConfig as it is written: one map for every algorithm, so that a service may change the
// algorithm without undoing the parameters of `defaults`.
struct BalanceSettings {
    Algorithm algorithm = Algorithm::peak_ewma;
    std::uint32_t choices = PeakEwma{}.choices;
    Duration decay = PeakEwma{}.decay;
    Duration initial = PeakEwma{}.initial;
    std::uint32_t points_min = RingHash{}.points_min;
    std::uint32_t table_size = Maglev{}.table_size;
    double bounded_load = 0;
};

BalanceConfig balance_of(const BalanceSettings& settings) {
    switch (settings.algorithm) {
        case Algorithm::peak_ewma:
            return PeakEwma{settings.decay, settings.choices, settings.initial};
        case Algorithm::round_robin:
            return RoundRobin{};
        case Algorithm::weighted_round_robin:
            return WeightedRoundRobin{};
        case Algorithm::random:
            return Random{};
        case Algorithm::least_request:
            return LeastRequest{settings.choices};
        case Algorithm::ring_hash:
            return RingHash{settings.points_min, settings.bounded_load};
        case Algorithm::maglev:
            return Maglev{settings.table_size, settings.bounded_load};
    }
    return PeakEwma{};
}

struct ToSettings {
    BalanceSettings operator()(const PeakEwma& from) const {
        return {Algorithm::peak_ewma, from.choices, from.decay, from.initial};
    }

    BalanceSettings operator()(const RoundRobin&) const { return {Algorithm::round_robin}; }

    BalanceSettings operator()(const WeightedRoundRobin&) const {
        return {Algorithm::weighted_round_robin};
    }

    BalanceSettings operator()(const Random&) const { return {Algorithm::random}; }

    BalanceSettings operator()(const LeastRequest& from) const {
        return {Algorithm::least_request, from.choices};
    }

    BalanceSettings operator()(const RingHash& from) const {
        BalanceSettings settings{Algorithm::ring_hash};
        settings.points_min = from.points_min;
        settings.bounded_load = from.bounded_load;
        return settings;
    }

    BalanceSettings operator()(const Maglev& from) const {
        BalanceSettings settings{Algorithm::maglev};
        settings.table_size = from.table_size;
        settings.bounded_load = from.bounded_load;
        return settings;
    }
};

}  // namespace

template <>
const EnumNames<Algorithm>& names_of<Algorithm>() {
    static const EnumNames<Algorithm> names = {
        {Algorithm::peak_ewma, "peak_ewma"},
        {Algorithm::round_robin, "round_robin"},
        {Algorithm::weighted_round_robin, "weighted_round_robin"},
        {Algorithm::random, "random"},
        {Algorithm::least_request, "least_request"},
        {Algorithm::ring_hash, "ring_hash"},
        {Algorithm::maglev, "maglev"},
    };
    return names;
}

template <>
const EnumNames<AffinityConfig::Kind>& names_of<AffinityConfig::Kind>() {
    static const EnumNames<AffinityConfig::Kind> names = {
        {AffinityConfig::Kind::none, "none"},
        {AffinityConfig::Kind::header, "header"},
        {AffinityConfig::Kind::cookie, "cookie"},
        {AffinityConfig::Kind::address, "address"},
    };
    return names;
}

template <>
const EnumNames<RetryOn>& names_of<RetryOn>() {
    static const EnumNames<RetryOn> names = {
        {RetryOn::server_error, "5xx"},
        {RetryOn::connect_failure, "connect-failure"},
        {RetryOn::refused_stream, "refused-stream"},
        {RetryOn::timeout, "timeout"},
        {RetryOn::reset, "reset"},
    };
    return names;
}

template <>
const Table& table_of<BalanceSettings>() {
    using B = BalanceSettings;
    static const Table table = TableOf<B>("balance", "How an endpoint is chosen for each attempt.")
                                   .field(
                                       "algorithm",
                                       &B::algorithm,
                                       "peak_ewma sends to the lower of latency times load, and so "
                                       "avoids slow endpoints without being told."
                                   )
                                   .field(
                                       "choices",
                                       &B::choices,
                                       "peak_ewma, least_request: endpoints compared per pick. Two "
                                       "give most of the gain of more, at the least cost.",
                                       between(2, 64)
                                   )
                                   .field(
                                       "decay",
                                       &B::decay,
                                       "peak_ewma: how fast old latencies are forgotten. Ten "
                                       "seconds outlast a pause and forget a deployment.",
                                       between(1ms, 10min)
                                   )
                                   .field(
                                       "initial",
                                       &B::initial,
                                       "peak_ewma: latency assumed before the first answer, so "
                                       "that a new endpoint is neither flooded nor starved.",
                                       between(1us, 10min)
                                   )
                                   .field(
                                       "points_min",
                                       &B::points_min,
                                       "ring_hash: points on the ring, at least. Each endpoint has "
                                       "about a hundred.",
                                       between(1, 1 << 20)
                                   )
                                   .field(
                                       "table_size",
                                       &B::table_size,
                                       "maglev: places in the table; the next prime is taken. A "
                                       "hundred times the endpoints make shares equal to 1 %.",
                                       between(2, 5'000'011)
                                   )
                                   .field(
                                       "bounded_load",
                                       &B::bounded_load,
                                       "ring_hash, maglev: nobody carries more than so many times "
                                       "its share of the calls in flight (1.25 is usual); 0 = no "
                                       "bound.",
                                       between(0, 100)
                                   )
                                   .table();
    return table;
}

template <>
struct Codec<BalanceConfig> {
    static Shape shape() { return Codec<BalanceSettings>::shape(); }

    static void read(BalanceConfig& to, const ReadSpot& spot) {
        BalanceSettings settings;
        Codec<BalanceSettings>::read(settings, spot);
        to = balance_of(settings);
    }

    static Tree write(const BalanceConfig& from) {
        return Codec<BalanceSettings>::write(std::visit(ToSettings{}, from));
    }
};

template <>
struct Codec<RetryOn> {  // a set of flags, written as a list of names
    static Shape shape() {
        return {
            .kind = Shape::Kind::list,
            .choices = {},
            .element = std::make_shared<const Shape>(
                Shape{.kind = Shape::Kind::choice, .choices = choices_of<RetryOn>()}
            )
        };
    }

    static void read(RetryOn& to, const ReadSpot& spot) {
        if (!expect(Tree::Kind::list, spot)) return;
        to = RetryOn::none;
        for (std::size_t i = 0; i < spot.tree.list.size(); ++i) {
            const std::string path = join_path(spot.path, i);
            std::size_t index = 0;
            if (read_choice(
                    index,
                    choices_of<RetryOn>(),
                    {spot.tree.list[i], path, spot.limits, spot.reader}
                ))
                to = to | names_of<RetryOn>()[index].first;
        }
    }

    static Tree write(RetryOn from) {
        Tree tree = Tree::of(Tree::Kind::list);
        for (const auto& [flag, name] : names_of<RetryOn>()) {
            if (has(from, flag)) tree.list.push_back(Tree::of_text(name));
        }
        return tree;
    }
};

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

template <>
const Table& table_of<RetryBudgetConfig>() {
    using B = RetryBudgetConfig;
    static const Table table =
        TableOf<B>("budget", "Tokens that bound retries, so that they cannot multiply an outage.")
            .field("ratio", &B::ratio, "Retries allowed per call. 0.2: load grows by a fifth at most.", between(0, 10))
            .field("min_per_second", &B::min_per_second, "Retries per second allowed even when idle, so that rare callers may retry at all.", between(0, 1000))
            .field("window", &B::window, "How long the deposit of a call lives.", between(1s, 60s))
            .table();
    return table;
}

template <>
const Table& table_of<BackoffConfig>() {
    using B = BackoffConfig;
    static const Table table =
        TableOf<B>("backoff", "Wait before a retry: uniform between zero and the lesser of max and base times 2^n.")
            .field("base", &B::base, "Longest wait before the first retry. 25 ms outlasts a hiccup and not a caller's patience.", between(0s, 1h))
            .field("max", &B::max, "Longest wait at all, at least base.", between(0s, 1h))
            .table();
    return table;
}

template <>
const Table& table_of<RetryConfig>() {
    using R = RetryConfig;
    static const Table table =
        TableOf<R>("retry", "When to try again, at another endpoint if there is one.")
            .field("attempts", &R::attempts, "Attempts in all; 1 = no retries. Three survive one bad endpoint and one unlucky pick.", between(1, 10))
            .field("on", &R::on, "What is worth another attempt.")
            .field("non_idempotent", &R::non_idempotent, "Also retry calls that may have had an effect. Off: nobody wants to pay twice.")
            .field("attempt_timeout", &R::attempt_timeout, "Time limit of one attempt; 0s = the call's deadline.", between(0s, 1h))
            .field("backoff", &R::backoff, "Wait between attempts.")
            .field("budget", &R::budget, "Bound on all retries together.")
            .table();
    return table;
}

template <>
const Table& table_of<LimitsConfig>() {
    using L = LimitsConfig;
    static const Table table =
        TableOf<L>("limits", "What one service may occupy here; beyond it calls are refused at once. 1024 each, as Envoy has it.")
            .field("connections", &L::connections, "Open connections to its endpoints.", between(1, kCountMax))
            .field("requests", &L::requests, "Calls in flight.", between(1, kCountMax))
            .table();
    return table;
}

template <>
const Table& table_of<AffinityConfig>() {
    using A = AffinityConfig;
    static const Table table =
        TableOf<A>("affinity", "What keeps requests together at one endpoint; for ring_hash and maglev.")
            .field("by", &A::by, "address: the caller's IP address. A request without the header or cookie is spread.")
            .field("name", &A::name, "Of the header (any case) or the cookie.")
            .table();
    return table;
}

template <>
const Table& table_of<DiscoveryFilter>() {
    using D = DiscoveryFilter;
    static const Table table =
        TableOf<D>("subset", "Which of a service's endpoints are called. Everything that is set must hold.")
            .field("tags", &D::tags, "Tags, all of them; empty = any.")
            .field("metadata", &D::metadata, "Metadata, each with exactly this value.")
            .field("version", &D::version, "Version; empty = any.")
            .field("environment", &D::environment, "Environment; empty = any.")
            .field("region", &D::region, "Region; empty = any.")
            .field("zone", &D::zone, "Zone; empty = any.")
            .field("capabilities", &D::capabilities, "Capabilities, all of them; empty = any.")
            .field("healthy", &D::healthy, "Whether endpoints that the registry calls critical are left out even if it calls all of them so.")
            .table();
    return table;
}

template <>
const Table& table_of<ServicePolicy>() {
    using P = ServicePolicy;
    static const Table table =
        TableOf<P>("policy", "How a service is called.")
            .field("balance", &P::balance, "How an endpoint is chosen.")
            .field("affinity", &P::affinity, "Session affinity.")
            .field("breaker", &P::breaker, "Circuit breaker of each endpoint.")
            .field("outlier", &P::outlier, "Ejection of endpoints that fail.")
            .field("retry", &P::retry, "Retries.")
            .field("limits", &P::limits, "Concurrency limits.")
            .field("subset", &P::subset, "Which endpoints are called at all; empty = all.")
            .field("deadline", &P::deadline, "Time limit of a whole call, retries included. 15 s: longer than people wait.", between(1ms, 1h))
            .table();
    return table;
}

template <>
const Table& table_of<ServiceConfig>() {
    using S = ServiceConfig;
    static const Table table =
        TableOf<S>("register", "Service instances that this process announces and keeps alive in the registry.")
            .field("name", &S::name, "The name callers use: a-z, 0-9, - and _ inside, at most 63 bytes.", ValueRange{}.required())
            .field("id", &S::id, "Unique id of the instance; empty = name-host-port. The same id again replaces.")
            .field("host", &S::host, "Where callers reach it: an address or a host name.", ValueRange{}.required())
            .field("port", &S::port, "Its port.", between(1, 65535).required())
            .field("weight", &S::weight, "Relative share of traffic.", between(1, 65535))
            .field("tags", &S::tags, "Labels to select by, at most 64.")
            .field("meta", &S::meta, "Key and value pairs, such as zone and version; at most 64.")
            .field("version", &S::version, "Version of what runs there, such as 1.4.2. This and the next five stand in `meta` under their names.")
            .field("environment", &S::environment, "Environment, such as production.")
            .field("region", &S::region, "Region, such as eu-west.")
            .field("zone", &S::zone, "Zone; empty = node.zone.")
            .field("capabilities", &S::capabilities, "What it can do, as words to select by.")
            .field("dependencies", &S::dependencies, "Services that it calls.")
            .field("check", &S::check, "Its health check.")
            .table();
    return table;
}
// clang-format on

}  // namespace datapunk::mesh::config
