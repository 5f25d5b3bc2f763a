#pragma once

// How an endpoint is chosen for each attempt, as plain values; docs/policies.md says when to use
// which. Part of ServicePolicy (policy.h).

#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string>
#include <variant>

namespace datapunk::mesh {

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

// Which requests belong together, for balancing that hashes (RingHash, Maglev). The proxy goes by
// it; calls of the library say CallOptions::hash. A request that has no such thing is spread.
struct AffinityConfig {
    enum class Kind : std::uint8_t { none, header, cookie, address };

    Kind by = Kind::none;  // address: the caller's IP address
    std::string name{};    // of the header (any case) or the cookie
    friend bool operator==(const AffinityConfig&, const AffinityConfig&) = default;
};

}  // namespace datapunk::mesh
