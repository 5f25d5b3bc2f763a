#pragma once

// What one service may occupy here, and how much of it may be asked, as plain values. Part of
// ServicePolicy (policy.h); docs/policies.md has the formulas.

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

// By what callers are told apart. The library goes by CallOptions::caller instead, whatever kind is
// chosen here.
struct CallerKeyConfig {
    enum class Kind : std::uint8_t { none, header, address, listener };

    Kind by = Kind::none;  // address: the caller's IP address
    std::string name{};    // of the header, any case
    friend bool operator==(const CallerKeyConfig&, const CallerKeyConfig&) = default;
};

// Bulkheads: no caller may take the places of all the others.
struct BulkheadConfig {
    CallerKeyConfig key{};
    double share = 0.5;  // (0, 1]: of the limit, that one caller may hold while others hold some
    friend bool operator==(const BulkheadConfig&, const BulkheadConfig&) = default;
};

struct PriorityConfig {
    bool enabled = false;
    std::string header{};  // that says a request's class in the proxy; empty = none
    friend bool operator==(const PriorityConfig&, const PriorityConfig&) = default;
};

// Adaptive throttling: calls that would be refused for overload over there are refused here, with
// the probability (calls - k x accepted) / (calls + 1). Google SRE book, chapter 21.
struct ThrottleConfig {
    bool enabled = false;
    double k = 2;                                 // 1..10: calls per accepted one before any is
    Duration window = std::chrono::seconds(120);  // 1 s .. 10 min
    friend bool operator==(const ThrottleConfig&, const ThrottleConfig&) = default;
};

// How many calls in a time, not how many at once.
struct CallRateConfig {
    enum class Algorithm : std::uint8_t {
        none,
        token_bucket,    // at most burst + rate x T in any time T
        leaky_bucket,    // evenly spaced; up to `burst` wait for their turn
        sliding_window,  // at most rate x window in any `window`
    };

    Algorithm algorithm = Algorithm::none;
    double per_second = 100;                    // (0, 1e6]
    std::uint32_t burst = 100;                  // 1..1000000; not of sliding_window
    Duration window = std::chrono::seconds(1);  // 10 ms .. 1 h; of sliding_window
    CallerKeyConfig key{};                      // a limit for each caller; none = one for all
    // Together with all processes that use the same Redis. Ours goes on alone while Redis is away.
    bool shared = false;
    friend bool operator==(const CallRateConfig&, const CallRateConfig&) = default;
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
    BulkheadConfig callers{};
    PriorityConfig priority{};
    ThrottleConfig throttle{};
    CallRateConfig rate{};
    friend bool operator==(const LimitsConfig&, const LimitsConfig&) = default;
};

}  // namespace datapunk::mesh
