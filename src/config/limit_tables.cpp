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

// clang-format off
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
            .table();
    return table;
}
// clang-format on

}  // namespace datapunk::mesh::config
