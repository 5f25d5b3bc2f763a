// How the public structs of balancing.h are written in the configuration.

#include "config/balance_codec.h"

namespace datapunk::mesh::config {

namespace {

using namespace std::chrono_literals;

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
// clang-format on

}  // namespace datapunk::mesh::config
