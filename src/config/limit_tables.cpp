// How the public structs of limits.h are written in the configuration.

#include "config/codecs.h"

namespace datapunk::mesh::config {

namespace {

using namespace std::chrono_literals;

constexpr double kCountMax = 1'000'000;  // what one process can hold at the very most

}  // namespace

template <>
const EnumNames<AdaptiveLimit>& names_of<AdaptiveLimit>() {
    static const EnumNames<AdaptiveLimit> names = {
        {AdaptiveLimit::none, "none"},
        {AdaptiveLimit::gradient, "gradient"},
        {AdaptiveLimit::vegas, "vegas"},
    };
    return names;
}

template <>
const EnumNames<PendingOrder>& names_of<PendingOrder>() {
    static const EnumNames<PendingOrder> names = {
        {PendingOrder::fifo, "fifo"},
        {PendingOrder::adaptive_lifo, "adaptive_lifo"},
    };
    return names;
}

template <>
const EnumNames<RateAlgorithm>& names_of<RateAlgorithm>() {
    static const EnumNames<RateAlgorithm> names = {
        {RateAlgorithm::token_bucket, "token_bucket"},
        {RateAlgorithm::leaky_bucket, "leaky_bucket"},
        {RateAlgorithm::sliding_window, "sliding_window"},
    };
    return names;
}

// clang-format off
template <>
const Table& table_of<RateLimitConfig>() {
    using R = RateLimitConfig;
    static const Table table =
        TableOf<R>("rate", "How many calls may begin in a time. Retries are not counted again.")
            .field("calls", &R::calls, "In each `per`; 0 = no limit.", between(0, kCountMax))
            .field("per", &R::per, "The time that calls is for.", between(10ms, 24h))
            .field("algorithm", &R::algorithm, "token_bucket: a burst at once, then evenly. leaky_bucket: evenly always, who comes too early waits. sliding_window: in no interval of length per more than calls.")
            .field("burst", &R::burst, "token_bucket: calls at once after idleness; leaky_bucket: calls that may wait their turn. 0 = as calls.", between(0, kCountMax))
            .table();
    return table;
}

template <>
const Table& table_of<CallersConfig>() {
    using C = CallersConfig;
    static const Table table =
        TableOf<C>("callers", "What each caller may do: who has proved a SPIFFE id, else what header says, else the client's address (of IPv6 the first 64 bits).")
            .field("header", &C::header, "Header that names the caller. Only where callers may be believed: who may choose the name has as many limits as names. Empty = none.")
            .field("rate", &C::rate, "Of each caller.")
            .field("requests", &C::requests, "Calls in flight of one caller, those that wait included; 0 = no bound.", between(0, kCountMax))
            .field("max", &C::max, "Callers that are remembered at a time; those that find no place share 64 limits. 10,000 take 3 MB at most.", between(16, kCountMax))
            .table();
    return table;
}

template <>
const Table& table_of<ThrottleConfig>() {
    using T = ThrottleConfig;
    static const Table table =
        TableOf<T>("throttle", "Adaptive throttling (Google SRE book, chapter 21): what an overloaded service would refuse is refused here, with probability (calls - multiplier x accepted) / (calls + 1).")
            .field("enabled", &T::enabled, "Whether it does so.")
            .field("multiplier", &T::multiplier, "Calls sent for each that is accepted. 2, as Google has it: half of what is sent may be refused over there before any is here.", between(1.01, 100))
            .field("window", &T::window, "Calls of so long count. Google has two minutes; 30 s forget an overload sooner.", between(1s, 10min))
            .field("min_calls", &T::min_calls, "Calls in the window before it judges: few of them say nothing.", between(1, kCountMax))
            .field("max_share", &T::max_share, "Refused at most; the rest finds out whether it is over.", between(0.01, 0.99))
            .table();
    return table;
}

template <>
const Table& table_of<PriorityConfig>() {
    using P = PriorityConfig;
    static const Table table =
        TableOf<P>("priority", "Which calls are shed first when the limit comes near: bulk at half of it, low at three quarters, normal at nine tenths, high at 95 %.")
            .field("enabled", &P::enabled, "Whether classes differ. Off: all may use the whole limit.")
            .field("header", &P::header, "Header that says a request's class: critical, high, normal, low or bulk. Only where callers may be believed; empty = all are normal.")
            .table();
    return table;
}

template <>
const Table& table_of<LimitsConfig>() {
    using L = LimitsConfig;
    static const Table table =
        TableOf<L>("limits", "What one service may occupy here.")
            .field("connections", &L::connections, "Open connections to its endpoints. 1024, as Envoy has it.", between(1, kCountMax))
            .field("requests", &L::requests, "Calls in flight; with adaptive the most that the limit may become. 1024, as Envoy has it.", between(1, kCountMax))
            .field("pending", &L::pending, "Calls that may wait for a place; 0 = refused at once. None: a queue in front of a service that cannot follow only makes every answer late.", between(0, kCountMax))
            .field("pending_timeout", &L::pending_timeout, "How long one may wait. It counts against the call's deadline.", between(1ms, 1h))
            .field("pending_order", &L::pending_order, "adaptive_lifo: the newest first while the queue does not empty; the oldest then have the least time left.")
            .field("adaptive", &L::adaptive, "Finds the limit by itself: by how much slower answers are than without load (gradient), or by how many calls must be queueing over there (vegas). gradient for the one caller in front of a service, vegas where several call it.")
            .field("adaptive_min", &L::adaptive_min, "The limit never goes below. Each process may hold so many, however many processes there are.", between(1, kCountMax))
            .field("priority", &L::priority, "Classes of calls.")
            .field("rate", &L::rate, "Of all calls of the service.")
            .field("share_rate", &L::share_rate, "Whether rate is that of all processes together, through Redis (redis.enabled), whatever its algorithm; sliding_window then needs a per of 1s at least. Redis slow or down: each goes on with its part.")
            .field("callers", &L::callers, "Of each caller.")
            .field("throttle", &L::throttle, "Calls that an overloaded service would refuse.")
            .table();
    return table;
}
// clang-format on

}  // namespace datapunk::mesh::config
