#pragma once

// When to try a call again, and how much of that a service must bear, as plain values. Part of
// ServicePolicy (policy.h).

#include <datapunk/mesh/time.h>

#include <cstdint>

namespace datapunk::mesh {

// Tokens that bound retries (and hedges) together: amplification <= 1 + ratio.
struct RetryBudgetConfig {
    double ratio = 0.2;                          // [0, 10]: retries per call
    double min_per_second = 3;                   // [0, 1000]: allowed even when idle
    Duration window = std::chrono::seconds(10);  // 1..60 s: how long a call's deposit lives
    friend bool operator==(const RetryBudgetConfig&, const RetryBudgetConfig&) = default;
};

// Full jitter: the n-th wait is uniform in [0, min(max, base x 2^n)]. AWS Architecture Blog 2015.
struct BackoffConfig {
    Duration base = std::chrono::milliseconds(25);
    Duration max = std::chrono::milliseconds(250);
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
    bool non_idempotent = false;                  // also calls that may have had an effect already
    Duration attempt_timeout = Duration::zero();  // of one attempt; zero = the call's deadline
    BackoffConfig backoff{};
    RetryBudgetConfig budget{};
    friend bool operator==(const RetryConfig&, const RetryConfig&) = default;
};

}  // namespace datapunk::mesh
