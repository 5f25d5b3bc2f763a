#pragma once

// What one service may occupy here, as plain values. Part of ServicePolicy (policy.h);
// docs/policies.md has the formulas.

#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string>

namespace datapunk::mesh {

// How the limit of calls in flight follows what the service can take; LimitsConfig::requests is
// then the most it may become.
enum class AdaptiveLimit : std::uint8_t {
    none,      // LimitsConfig::requests, always
    gradient,  // by how much slower answers are than without load (Netflix concurrency-limits)
    vegas,     // by how many calls must be queueing over there (TCP Vegas)
};

// Who gets the next free place of those that wait for one.
enum class PendingOrder : std::uint8_t {
    fifo,
    adaptive_lifo,  // the newest first while the queue does not empty (Facebook, "Fail at Scale")
};

// How much a call matters to its caller. The lower classes are shed first.
enum class CallPriority : std::uint8_t { critical, high, normal, low, bulk };

struct PriorityConfig {
    bool enabled = false;
    std::string header{};  // that says a request's class in the proxy; empty = none
    friend bool operator==(const PriorityConfig&, const PriorityConfig&) = default;
};

// Bounds on what one service may occupy here.
struct LimitsConfig {
    std::uint32_t connections = 1024;  // 1..1000000: open upstream connections
    std::uint32_t requests = 1024;     // 1..1000000: attempts in flight
    std::uint32_t pending = 0;         // 0..1000000: may wait for a place; 0 = refused at once
    Duration pending_timeout = std::chrono::seconds(1);  // 1 ms .. 1 h: of the wait
    PendingOrder pending_order = PendingOrder::fifo;
    AdaptiveLimit adaptive = AdaptiveLimit::none;
    std::uint32_t adaptive_min = 4;  // 1..requests: the limit never goes below
    PriorityConfig priority{};
    friend bool operator==(const LimitsConfig&, const LimitsConfig&) = default;
};

}  // namespace datapunk::mesh
