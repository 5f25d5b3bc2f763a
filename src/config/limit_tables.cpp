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
const EnumNames<CallerKeyConfig::Kind>& names_of<CallerKeyConfig::Kind>() {
    static const EnumNames<CallerKeyConfig::Kind> names = {
        {CallerKeyConfig::Kind::none, "none"},
        {CallerKeyConfig::Kind::header, "header"},
        {CallerKeyConfig::Kind::address, "address"},
        {CallerKeyConfig::Kind::listener, "listener"},
    };
    return names;
}

template <>
const EnumNames<CallRateConfig::Algorithm>& names_of<CallRateConfig::Algorithm>() {
    static const EnumNames<CallRateConfig::Algorithm> names = {
        {CallRateConfig::Algorithm::none, "none"},
        {CallRateConfig::Algorithm::token_bucket, "token_bucket"},
        {CallRateConfig::Algorithm::leaky_bucket, "leaky_bucket"},
        {CallRateConfig::Algorithm::sliding_window, "sliding_window"},
    };
    return names;
}

// clang-format off
template <>
const Table& table_of<CallerKeyConfig>() {
    using K = CallerKeyConfig;
    static const Table table =
        TableOf<K>("key", "By what callers are told apart.")
            .field("by", &K::by, "address: the caller's IP address; listener: where it connects. Callers without the header count as one.")
            .field("name", &K::name, "Of the header, any case.")
            .table();
    return table;
}

template <>
const Table& table_of<BulkheadConfig>() {
    using B = BulkheadConfig;
    static const Table table =
        TableOf<B>("callers", "Bulkheads: no caller may take the places of all the others.")
            .field("key", &B::key, "Who is a caller; none = no bulkheads.")
            .field("share", &B::share, "Share of the limit that one caller may hold while others hold some.", above(0, 1))
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
const Table& table_of<ThrottleConfig>() {
    using T = ThrottleConfig;
    static const Table table =
        TableOf<T>("throttle", "Refuses here what would be refused for overload over there (Google SRE book, chapter 21).")
            .field("enabled", &T::enabled, "Whether it acts. Off: a service must answer 429 or 503 for overload, and only then, to be understood.")
            .field("k", &T::k, "Calls per accepted one before any is refused. Two, as Google has it: the service still sees that there is more.", between(1, 10))
            .field("window", &T::window, "How far back is counted. Two minutes, as Google has it.", between(1s, 10min))
            .table();
    return table;
}

template <>
const Table& table_of<CallRateConfig>() {
    using R = CallRateConfig;
    static const Table table =
        TableOf<R>("rate", "How many calls in a time; beyond it they are answered 429 with Retry-After.")
            .field("algorithm", &R::algorithm, "token_bucket: at most burst + rate x T in any time T. leaky_bucket: evenly spaced, some wait. sliding_window: at most rate x window in any window.")
            .field("per_second", &R::per_second, "Calls a second.", above(0, 1e6))
            .field("burst", &R::burst, "token_bucket: calls at once after idleness. leaky_bucket: calls that may wait for their turn.", between(1, kCountMax))
            .field("window", &R::window, "sliding_window: its length.", between(10ms, 1h))
            .field("key", &R::key, "A limit for each caller; none = one for all.")
            .field("shared", &R::shared, "One limit together with all processes that use the same Redis. While it is away each goes on with its last share.")
            .table();
    return table;
}

template <>
const Table& table_of<LimitsConfig>() {
    using L = LimitsConfig;
    static const Table table =
        TableOf<L>("limits", "What one service may occupy here, and how much of it may be asked.")
            .field("connections", &L::connections, "Open connections to its endpoints. 1024, as Envoy has it.", between(1, kCountMax))
            .field("requests", &L::requests, "Calls in flight; with adaptive the most that the limit may become. 1024, as Envoy has it.", between(1, kCountMax))
            .field("pending", &L::pending, "Calls that may wait for a place; 0 = refused at once. None: a queue in front of a service that cannot follow only makes every answer late.", between(0, kCountMax))
            .field("pending_timeout", &L::pending_timeout, "How long one may wait. It counts against the call's deadline.", between(1ms, 1h))
            .field("pending_order", &L::pending_order, "adaptive_lifo: the newest first while the queue does not empty; the oldest then have the least time left.")
            .field("adaptive", &L::adaptive, "Finds the limit by itself: by how much slower answers are than without load (gradient), or by how many calls must be queueing over there (vegas).")
            .field("adaptive_min", &L::adaptive_min, "The limit never goes below. Each process may hold so many, however many processes there are.", between(1, kCountMax))
            .field("callers", &L::callers, "Bulkheads.")
            .field("priority", &L::priority, "Classes of calls.")
            .field("throttle", &L::throttle, "Adaptive throttling.")
            .field("rate", &L::rate, "Calls in a time.")
            .table();
    return table;
}
// clang-format on

}  // namespace datapunk::mesh::config
