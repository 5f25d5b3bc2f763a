#pragma once

// When to try a call again, and how much of that a service must bear, as plain values. Part of
// ServicePolicy (policy.h).

#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string>
#include <vector>

namespace datapunk::mesh {

// Tokens that bound retries (and hedges) together: amplification <= 1 + ratio.
struct RetryBudgetConfig {
    double ratio = 0.2;                          // [0, 10]: retries per call
    double min_per_second = 3;                   // [0, 1000]: allowed even when idle
    Duration window = std::chrono::seconds(10);  // 1..60 s: how long a call's deposit lives
    // min_per_second is what all processes have together, handed out to them in slices through
    // Redis; while Redis is away each has its part of it, by the number there last were.
    bool shared = false;
    friend bool operator==(const RetryBudgetConfig&, const RetryBudgetConfig&) = default;
};

// How waits grow from one attempt to the next; n counts from 0. The ceiling is
// min(max, base x 2^n). AWS Architecture Blog 2015.
enum class BackoffKind : std::uint8_t {
    full_jitter,          // uniform in [0, ceiling]
    equal_jitter,         // uniform in [ceiling / 2, ceiling]
    decorrelated_jitter,  // uniform in [base, 3 x the wait before], at most max
    exponential,          // the ceiling
    linear,               // base x (n + 1)
    fibonacci,            // base x 1, 1, 2, 3, 5, 8, ...
    fixed,                // base
};

struct BackoffConfig {
    Duration base = std::chrono::milliseconds(25);
    Duration max = std::chrono::milliseconds(250);
    BackoffKind kind = BackoffKind::full_jitter;
    friend bool operator==(const BackoffConfig&, const BackoffConfig&) = default;
};

// What counts as worth another attempt; a set of flags.
enum class RetryOn : std::uint8_t {
    none = 0,
    server_error = 1,     // "5xx"
    connect_failure = 2,  // "connect-failure": never reached the endpoint
    refused_stream = 4,   // "refused-stream": the endpoint said it did not start
    timeout = 8,          // "timeout": the attempt's own deadline passed
    reset = 16,           // "reset": connection lost before an answer began
    gateway_error = 32,   // "gateway-error": 502, 503, 504
    retriable_4xx = 64,   // "retriable-4xx": 409, which asks for just that
};

constexpr RetryOn operator|(RetryOn a, RetryOn b) noexcept {
    return static_cast<RetryOn>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}

constexpr bool has(RetryOn set, RetryOn one) noexcept {
    return (static_cast<unsigned>(set) & static_cast<unsigned>(one)) != 0;
}

// The status codes of gRPC that may speak for another attempt; a set of flags, 1 << code.
enum class GrpcRetryOn : std::uint32_t {
    none = 0,
    cancelled = 1U << 1U,
    unknown = 1U << 2U,
    deadline_exceeded = 1U << 4U,
    resource_exhausted = 1U << 8U,
    aborted = 1U << 10U,
    internal = 1U << 13U,
    unavailable = 1U << 14U,
};

constexpr GrpcRetryOn operator|(GrpcRetryOn a, GrpcRetryOn b) noexcept {
    return static_cast<GrpcRetryOn>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}

constexpr bool has(GrpcRetryOn set, GrpcRetryOn one) noexcept {
    return (static_cast<unsigned>(set) & static_cast<unsigned>(one)) != 0;
}

struct RetryConfig {
    std::uint32_t attempts = 3;  // in all, 1..10; 1 = no retries
    RetryOn on = RetryOn::server_error | RetryOn::connect_failure | RetryOn::refused_stream |
                 RetryOn::timeout | RetryOn::reset;
    // gRPC answers of these kinds too. Naming one says that such calls may be sent again; all gRPC
    // calls are POSTs, so that nothing else could.
    GrpcRetryOn on_grpc = GrpcRetryOn::none;
    // Answers with one of these statuses (100..599) or one of these headers too; at most 32 of
    // each.
    std::vector<std::uint16_t> on_statuses{};
    std::vector<std::string> on_headers{};
    bool non_idempotent = false;                  // also calls that may have had an effect already
    Duration attempt_timeout = Duration::zero();  // of one attempt; zero = the call's deadline
    BackoffConfig backoff{};
    // Longest Retry-After that is waited for; who asks for more is not asked again. 0..1 h
    Duration retry_after_max = std::chrono::seconds(5);
    RetryBudgetConfig budget{};
    friend bool operator==(const RetryConfig&, const RetryConfig&) = default;
};

// A second attempt at another endpoint while the first is still out; who answers first wins. Only
// of calls that may be repeated. Takes a token of the retry budget, too.
struct HedgeConfig {
    double max = 0;                     // [0, 0.5]: hedges per call at most; 0 = no hedging
    double percentile = 95;             // [50, 99.9]: sent when so many of 100 answers have come
    Duration delay = Duration::zero();  // sent after so long instead; zero = by the percentile
    friend bool operator==(const HedgeConfig&, const HedgeConfig&) = default;
};

}  // namespace datapunk::mesh
