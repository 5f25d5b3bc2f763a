// How the public structs of balancing.h are written in the configuration.

#include "config/balance_codec.h"

namespace datapunk::mesh::config {

namespace {

using namespace std::chrono_literals;

enum class Algorithm : std::uint8_t {
    peak_ewma,
    round_robin,
    weighted_round_robin,
    static_stride,
    random,
    least_request,
    weighted_response_time,
    reported_load,
    adaptive,
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
    Duration blackout = ReportedLoad{}.blackout;
    Duration expiration = ReportedLoad{}.expiration;
    double error_penalty = ReportedLoad{}.error_penalty;
    Duration interval = Adaptive{}.interval;
};

BalanceConfig balance_of(const BalanceSettings& settings) {
    switch (settings.algorithm) {
        case Algorithm::peak_ewma:
            return PeakEwma{settings.decay, settings.choices, settings.initial};
        case Algorithm::round_robin:
            return RoundRobin{};
        case Algorithm::weighted_round_robin:
            return WeightedRoundRobin{};
        case Algorithm::static_stride:
            return StaticStride{};
        case Algorithm::random:
            return Random{};
        case Algorithm::least_request:
            return LeastRequest{settings.choices};
        case Algorithm::weighted_response_time:
            return WeightedResponseTime{};
        case Algorithm::reported_load:
            return ReportedLoad{settings.blackout, settings.expiration, settings.error_penalty};
        case Algorithm::adaptive:
            return Adaptive{settings.interval};
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

    BalanceSettings operator()(const StaticStride&) const { return {Algorithm::static_stride}; }

    BalanceSettings operator()(const Random&) const { return {Algorithm::random}; }

    BalanceSettings operator()(const WeightedResponseTime&) const {
        return {Algorithm::weighted_response_time};
    }

    BalanceSettings operator()(const ReportedLoad& from) const {
        BalanceSettings settings{Algorithm::reported_load};
        settings.blackout = from.blackout;
        settings.expiration = from.expiration;
        settings.error_penalty = from.error_penalty;
        return settings;
    }

    BalanceSettings operator()(const Adaptive& from) const {
        BalanceSettings settings{Algorithm::adaptive};
        settings.interval = from.interval;
        return settings;
    }

    // An object of a program that embeds the library: no file can name one.
    BalanceSettings operator()(const CustomBalance&) const { return {}; }

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
        {Algorithm::static_stride, "static_stride"},
        {Algorithm::random, "random"},
        {Algorithm::least_request, "least_request"},
        {Algorithm::weighted_response_time, "weighted_response_time"},
        {Algorithm::reported_load, "reported_load"},
        {Algorithm::adaptive, "adaptive"},
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
const Table& table_of<BalanceSettings>() {
    using B = BalanceSettings;
    static const Table table =
        TableOf<B>("balance", "How an endpoint is chosen for each attempt.")
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
            .field(
                "blackout",
                &B::blackout,
                "reported_load: what an endpoint reports is believed so long "
                "after its first report; the first ones are of a cold start.",
                between(0s, 10min)
            )
            .field(
                "expiration",
                &B::expiration,
                "reported_load: a report is forgotten after so long.",
                between(1s, 1h)
            )
            .field(
                "error_penalty",
                &B::error_penalty,
                "reported_load: a failure per call counts as so much "
                "utilisation, so that who fails fast is not taken for idle.",
                between(0, 100)
            )
            .field(
                "interval",
                &B::interval,
                "adaptive: how often the algorithm is chosen anew.",
                between(1s, 10min)
            )
            .table();
    return table;
}

Shape Codec<BalanceConfig>::shape() {
    return Codec<BalanceSettings>::shape();
}

void Codec<BalanceConfig>::read(BalanceConfig& to, const ReadSpot& spot) {
    BalanceSettings settings;
    Codec<BalanceSettings>::read(settings, spot);
    to = balance_of(settings);
}

Tree Codec<BalanceConfig>::write(const BalanceConfig& from) {
    return Codec<BalanceSettings>::write(std::visit(ToSettings{}, from));
}

// clang-format off
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
const Table& table_of<SlowStartConfig>() {
    using S = SlowStartConfig;
    static const Table table =
        TableOf<S>("slow_start", "An endpoint that appears in a service that is known already gets its share little by little, whatever the algorithm.")
            .field("window", &S::window, "Until it has its whole share; 0s = off. peak_ewma finds out by itself who is slow while it is cold.", between(0s, 1h))
            .field("aggression", &S::aggression, "The share grows by (age / window)^(1 / aggression): 1 is a straight line, more is faster at first.", between(0.1, 10))
            .field("min_share", &S::min_share, "Of its weight, from the beginning: without calls it would never become warm.", between(0.01, 1))
            .table();
    return table;
}

template <>
const Table& table_of<ZonesConfig>() {
    using Z = ZonesConfig;
    static const Table table =
        TableOf<Z>("zones", "Calls stay in the own zone as far as it has its share of the capacity; the rest goes where there is more than a share.")
            .field("prefer_own", &Z::prefer_own, "Whether zones matter.")
            .field("own", &Z::own, "The caller's zone; empty = node.zone.")
            .field("endpoints_min", &Z::endpoints_min, "With fewer usable endpoints zones do not matter: one more or less would move too many calls.", between(1, 10'000))
            .field("callers_share", &Z::callers_share, "Of the service's callers, the share that is in this zone, if zones have unequal numbers of them; 0 = as many as in every other zone.", between(0, 1))
            .table();
    return table;
}

template <>
const Table& table_of<FailoverConfig>() {
    using P = FailoverConfig;
    static const Table table =
        TableOf<P>("failover", "Endpoints of a later priority are called as those before lose health.")
            .field("metadata", &P::metadata, "The metadata that has an endpoint's priority, 0 (first) to 127; empty = all are the same.")
            .field("overprovisioning", &P::overprovisioning, "A level takes all calls until less than 1 in so many of it are usable. 1.4, as Envoy has it: up to 28 % may fail.", between(1, 10))
            .table();
    return table;
}

template <>
const Table& table_of<PanicConfig>() {
    using P = PanicConfig;
    static const Table table =
        TableOf<P>("panic", "When so many endpoints are critical that checks are more likely wrong, checks are disregarded.")
            .field("enabled", &P::enabled, "Off: a service whose endpoints are all critical is not called.")
            .field("healthy_percent", &P::healthy_percent, "Panic below it; 0 = only when all are critical.", between(0, 100))
            .table();
    return table;
}

template <>
const EnumNames<SubsettingConfig::Kind>& names_of<SubsettingConfig::Kind>() {
    static const EnumNames<SubsettingConfig::Kind> names = {
        {SubsettingConfig::Kind::none, "none"},
        {SubsettingConfig::Kind::rendezvous, "rendezvous"},
        {SubsettingConfig::Kind::aperture, "aperture"},
    };
    return names;
}

template <>
const Table& table_of<SubsettingConfig>() {
    using S = SubsettingConfig;
    static const Table table =
        TableOf<S>("subsetting", "Which few of many endpoints this process calls, within each priority and zone; saves connections.")
            .field("by", &S::by, "rendezvous: each caller draws its own. aperture: exactly equal shares, but callers must be numbered.")
            .field("size", &S::size, "Endpoints, at least. Below 20, what rendezvous gives each endpoint varies much.", between(1, 10'000))
            .field("caller", &S::caller, "rendezvous: who this is among the callers; empty = somebody new at each start.")
            .field("callers", &S::callers, "aperture: how many callers there are.", between(0, 1'000'000))
            .field("caller_index", &S::caller_index, "aperture: which of them this is, from 0.", between(0, 999'999))
            .table();
    return table;
}
// clang-format on

}  // namespace datapunk::mesh::config
