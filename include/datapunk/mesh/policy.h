#pragma once

// The policies of one service, as plain values: how to balance, when to stop calling an endpoint,
// when to try again. Defaults are the product's defaults; docs/config.md has the reasons.

#include <datapunk/mesh/export.h>
#include <datapunk/mesh/filter.h>
#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string>
#include <variant>

namespace datapunk::mesh {

// --- balancing
// ------------------------------------------------------------------------------------

struct RoundRobin {
    friend bool operator==(const RoundRobin&, const RoundRobin&) = default;
};

// Smooth weighted round robin: a heavy endpoint's turns are spread, not bunched.
struct WeightedRoundRobin {
    friend bool operator==(const WeightedRoundRobin&, const WeightedRoundRobin&) = default;
};

// Uniform random; weights are honoured.
struct Random {
    friend bool operator==(const Random&, const Random&) = default;
};

// The least loaded (in-flight / weight) of `choices` random endpoints. Mitzenmacher 2001.
struct LeastRequest {
    std::uint32_t choices = 2;  // 2..64
    friend bool operator==(const LeastRequest&, const LeastRequest&) = default;
};

// The lowest latency EWMA x (in-flight + 1) of `choices` random endpoints; peaks count at once,
// failures are charged as slow answers. Finagle's PeakEwma.
struct PeakEwma {
    Duration decay = std::chrono::seconds(10);         // time constant, 1 ms .. 10 min
    std::uint32_t choices = 2;                         // 2..64
    Duration initial = std::chrono::milliseconds(30);  // assumed before the first answer
    friend bool operator==(const PeakEwma&, const PeakEwma&) = default;
};

// Calls with the same hash (CallOptions::hash) go to the same endpoint; when endpoints come or go,
// only the calls of those move. Karger et al. 1997.
struct RingHash {
    std::uint32_t points_min = 1024;  // 1..1048576: on the ring, at least
    // Nobody carries more than so many times its share of the calls in flight; what is beyond goes
    // to the next on the ring. At least 1; 0 = no bound. Mirrokni et al. 2016.
    double bounded_load = 0;
    friend bool operator==(const RingHash&, const RingHash&) = default;
};

// The same with more equal shares and faster picks; a change moves a few other calls too.
// Eisenbud et al. 2016.
struct Maglev {
    std::uint32_t table_size = 65'537;  // 2..5000011; the next prime is taken
    double bounded_load = 0;            // as above
    friend bool operator==(const Maglev&, const Maglev&) = default;
};

using BalanceConfig =
    std::variant<PeakEwma, RoundRobin, WeightedRoundRobin, Random, LeastRequest, RingHash, Maglev>;

// --- failure
// --------------------------------------------------------------------------------------

// closed -> open when the window fails or too many calls fail in a row; open -> half-open after
// open_for, which doubles each time up to open_max; half-open admits a few probes.
struct CircuitBreakerConfig {
    bool enabled = true;
    std::uint32_t window_calls = 100;  // 1..10000: outcomes remembered
    double failure_rate = 0.5;      // (0, 1]: opens at or above, once min_calls are in the window
    std::uint32_t min_calls = 20;   // 1..window_calls
    std::uint32_t consecutive = 5;  // failures in a row that open at once; 0 = off
    Duration open_for = std::chrono::seconds(30);  // first time; positive
    Duration open_max = std::chrono::minutes(5);   // >= open_for
    std::uint32_t half_open_probes = 5;  // 1..1000: at a time, and successes needed to close
    friend bool operator==(const CircuitBreakerConfig&, const CircuitBreakerConfig&) = default;
};

// Passive health: endpoints whose real calls fail are left out for a while.
struct OutlierConfig {
    bool enabled = true;
    std::uint32_t consecutive_failures = 5;        // in a row; 0 = off
    Duration interval = std::chrono::seconds(10);  // between success-rate sweeps
    std::uint32_t request_volume = 20;  // calls in the interval before an endpoint is judged
    double failure_percentage = 85;     // (0, 100]: ejected at or above
    double stdev_factor = 1.9;          // below mean - factor x stdev of the others; 0 = off
    Duration base_ejection = std::chrono::seconds(30);  // x number of ejections so far
    Duration max_ejection = std::chrono::minutes(5);
    double max_ejected_percent = 50;  // [0, 100]; one is always allowed, the last one never
    friend bool operator==(const OutlierConfig&, const OutlierConfig&) = default;
};

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

struct RetryConfig {
    std::uint32_t attempts = 3;  // in all, 1..10; 1 = no retries
    RetryOn on = RetryOn::server_error | RetryOn::connect_failure | RetryOn::refused_stream |
                 RetryOn::timeout | RetryOn::reset;
    bool non_idempotent = false;                  // also calls that may have had an effect already
    Duration attempt_timeout = Duration::zero();  // of one attempt; zero = the call's deadline
    BackoffConfig backoff{};
    RetryBudgetConfig budget{};
    friend bool operator==(const RetryConfig&, const RetryConfig&) = default;
};

// Bounds on what one service may occupy here; beyond them calls are refused at once.
struct LimitsConfig {
    std::uint32_t connections = 1024;  // 1..1000000: open upstream connections
    std::uint32_t requests = 1024;     // calls in flight
    friend bool operator==(const LimitsConfig&, const LimitsConfig&) = default;
};

// Which requests belong together, for balancing that hashes (RingHash, Maglev). The proxy goes by
// it; calls of the library say CallOptions::hash. A request that has no such thing is spread.
struct AffinityConfig {
    enum class Kind : std::uint8_t { none, header, cookie, address };

    Kind by = Kind::none;  // address: the caller's IP address
    std::string name{};    // of the header (any case) or the cookie
    friend bool operator==(const AffinityConfig&, const AffinityConfig&) = default;
};

struct ServicePolicy {
    BalanceConfig balance{};
    AffinityConfig affinity{};
    CircuitBreakerConfig breaker{};
    OutlierConfig outlier{};
    RetryConfig retry{};
    LimitsConfig limits{};
    DiscoveryFilter subset{};                      // only these endpoints are called; empty = all
    Duration deadline = std::chrono::seconds(15);  // of a whole call, retries included
    friend bool operator==(const ServicePolicy&, const ServicePolicy&) = default;
};

// Every field in its range? The error names all that are not.
[[nodiscard]] DATAPUNK_MESH_API Result<> check(const ServicePolicy& policy);

}  // namespace datapunk::mesh
