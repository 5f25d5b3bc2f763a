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

// How a rate is kept; docs/policies.md compares them.
enum class RateAlgorithm : std::uint8_t {
    token_bucket,    // a burst at once after idleness, then evenly
    leaky_bucket,    // evenly always: who is early waits its turn (a call; a lease is refused)
    sliding_window,  // in no interval of length `per` are more than `calls` admitted
};

// How many calls may begin in a time. Retries and hedges are not counted again.
struct RateLimitConfig {
    std::uint32_t calls = 0;                 // 1..1000000 in each `per`; 0 = no limit
    Duration per = std::chrono::seconds(1);  // 10 ms .. 24 h
    RateAlgorithm algorithm = RateAlgorithm::token_bucket;
    // token_bucket: begin at once after idleness; leaky_bucket: may wait their turn. 0 = as `calls`
    std::uint32_t burst = 0;  // 0..1000000
    friend bool operator==(const RateLimitConfig&, const RateLimitConfig&) = default;
};

// What each caller may do, so that a noisy one does not take what all share. A caller of the proxy
// is who has proved a SPIFFE id; else what `header` says, if there is one; else the client's
// address (of IPv6 the first 64 bits). A caller in the library is CallOptions::caller.
struct CallersConfig {
    std::string header{};        // that names the caller; only where callers may be believed
    RateLimitConfig rate{};      // of each of them
    std::uint32_t requests = 0;  // calls in flight of each, 0..1000000; 0 = no bound
    std::uint32_t max = 10'000;  // remembered at a time, 16..1000000; others share what is left
    friend bool operator==(const CallersConfig&, const CallersConfig&) = default;
};

// Calls that an overloaded service would refuse are refused here already, with probability
// (calls - multiplier x accepted) / (calls + 1) over the window. Google SRE book, chapter 21.
struct ThrottleConfig {
    bool enabled = false;
    double multiplier = 2;                       // (1, 100]: calls per accepted one that are sent
    Duration window = std::chrono::seconds(30);  // 1 s .. 10 min
    std::uint32_t min_calls = 100;               // 1..1000000: in the window, before it judges
    double max_share = 0.9;                      // (0, 0.99]: the rest finds out whether it is over
    friend bool operator==(const ThrottleConfig&, const ThrottleConfig&) = default;
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
    RateLimitConfig rate{};   // of all calls of the service
    bool share_rate = false;  // `rate` is that of all processes together, through Redis
    CallersConfig callers{};
    ThrottleConfig throttle{};
    friend bool operator==(const LimitsConfig&, const LimitsConfig&) = default;
};

}  // namespace datapunk::mesh
