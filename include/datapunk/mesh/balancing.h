#pragma once

// How an endpoint is chosen for each attempt, as plain values; docs/policies.md says when to use
// which. Part of ServicePolicy (policy.h).

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/export.h>
#include <datapunk/mesh/time.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
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

// Weighted round robin by skipping turns, as gRPC does it: needs no memory but a counter, and can
// be given other weights every second.
struct StaticStride {
    friend bool operator==(const StaticStride&, const StaticStride&) = default;
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

// Weights by the latencies of the last seconds, renewed every second: twice as slow, half the
// calls. An endpoint that has not answered yet counts as an average one.
struct WeightedResponseTime {
    friend bool operator==(const WeightedResponseTime&, const WeightedResponseTime&) = default;
};

// Weights by what endpoints say of their own load (LoadReport), renewed every second: calls per
// second / (utilisation + error_penalty x failures per call). Endpoints that say nothing count as
// average ones. gRPC proposal A58.
struct ReportedLoad {
    Duration blackout = std::chrono::seconds(10);   // reports are believed after so long; 0..10 min
    Duration expiration = std::chrono::minutes(3);  // and forgotten after so long; 1 s .. 1 h
    double error_penalty = 1;                       // 0..100
    friend bool operator==(const ReportedLoad&, const ReportedLoad&) = default;
};

// Whichever of round robin (by weight), least request and peak EWMA the endpoints need, judged
// anew every interval by how much they differ in latency, failures and calls in flight. Changes at
// once to the more careful, and back after three quiet intervals; an event says why.
struct Adaptive {
    Duration interval = std::chrono::seconds(10);  // 1 s .. 10 min
    friend bool operator==(const Adaptive&, const Adaptive&) = default;
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

// What an algorithm of the user's sees of the endpoints it may choose from. Valid during pick().
class PickCandidates {
  public:
    virtual std::size_t size() const noexcept = 0;
    virtual const ServiceEndpoint& endpoint(std::size_t i) const noexcept = 0;
    // Its share as it is now: by weight, slow start and the like. Only ratios mean something.
    virtual std::uint32_t weight(std::size_t i) const noexcept = 0;
    virtual std::uint32_t in_flight(std::size_t i) const noexcept = 0;
    virtual Duration latency(std::size_t i) const noexcept = 0;  // expected now; zero = unknown
    // Ejected, breaker open, or tried by this call already: must not be chosen.
    virtual bool is_excluded(std::size_t i) const noexcept = 0;

  protected:
    ~PickCandidates() = default;
};

struct PickRequest {
    Instant now{};
    std::optional<std::uint64_t> hash{};  // CallOptions::hash
    std::uint64_t random = 0;             // 64 random bits of this pick's own
};

// An algorithm of the user's. One object serves all threads at once and all services that name it;
// pick() runs inside of every call and must not block. What it costs is what the call costs.
class DATAPUNK_MESH_API CustomBalancer {
  public:
    virtual ~CustomBalancer();
    // A position, or nothing if it has no opinion. An excluded position, one out of range, nothing
    // and an exception have the same effect: the mesh draws an included one by weight.
    virtual std::optional<std::size_t> pick(
        const PickCandidates& candidates, const PickRequest& request
    ) const = 0;
};

struct CustomBalance {
    std::shared_ptr<const CustomBalancer> balancer{};  // not null
    friend bool operator==(const CustomBalance&, const CustomBalance&) = default;
};

using BalanceConfig = std::variant<
    PeakEwma,
    RoundRobin,
    WeightedRoundRobin,
    StaticStride,
    Random,
    LeastRequest,
    WeightedResponseTime,
    ReportedLoad,
    Adaptive,
    RingHash,
    Maglev,
    CustomBalance>;

// An endpoint that appears in a service that is known already gets its share little by little:
// weight x max(min_share, (age / window)^(1 / aggression)), whatever the algorithm. Envoy's
// formula.
struct SlowStartConfig {
    Duration window = Duration::zero();  // until it has its whole share; zero = off; up to 1 h
    double aggression = 1;               // 1 = linear, above 1 = faster at first; 0.1..10
    double min_share = 0.1;              // from the beginning; 0.01..1
    friend bool operator==(const SlowStartConfig&, const SlowStartConfig&) = default;
};

// Calls stay in the caller's own zone (ServiceEndpoint::zone) as far as that has its share of the
// service's capacity; the rest goes to zones that have more than theirs. As Envoy's zone aware
// routing.
struct ZonesConfig {
    bool prefer_own = false;
    std::string own{};                // the caller's zone; the proxy takes node.zone if empty
    std::uint32_t endpoints_min = 6;  // with fewer usable ones zones do not matter; 1..10000
    // Of the service's callers, the share that is in this zone; 0 = as many as in every other zone.
    double callers_share = 0;  // 0..1
    friend bool operator==(const ZonesConfig&, const ZonesConfig&) = default;
};

// Endpoints of the first priority get the calls; those of the next as the first lose health. Level
// p takes min(1, overprovisioning x its usable share) of what levels before it left.
struct FailoverConfig {
    // The metadata that has an endpoint's priority, 0 (first) to 127; empty = all are the same. An
    // endpoint without it, or with another value, is of priority 0.
    std::string metadata{};
    double overprovisioning = 1.4;  // 1..10
    friend bool operator==(const FailoverConfig&, const FailoverConfig&) = default;
};

// When so many endpoints are critical that the checks are more likely wrong than the endpoints, or
// the rest would drown: then checks are disregarded. Ejection and breakers still apply.
struct PanicConfig {
    bool enabled = true;
    double healthy_percent = 0;  // panic below it; 0 = only when all are critical; 0..100
    friend bool operator==(const PanicConfig&, const PanicConfig&) = default;
};

// Which few of many endpoints this process calls, so that a thousand callers do not keep a thousand
// connections each. Applied within each priority and zone.
struct SubsettingConfig {
    // rendezvous: every caller draws its own; endpoints get numbers of callers that vary by chance.
    // aperture: callers and endpoints stand on one ring, in turn; shares are exactly equal, but
    // callers must be numbered. Finagle's deterministic aperture.
    enum class Kind : std::uint8_t { none, rendezvous, aperture };

    Kind by = Kind::none;
    std::uint32_t size = 20;         // endpoints, at least; 1..10000
    std::string caller{};            // rendezvous: who this is; empty = somebody new at each start
    std::uint32_t callers = 0;       // aperture: how many there are; 1..1000000
    std::uint32_t caller_index = 0;  // aperture: which of them this is; 0..callers-1
    friend bool operator==(const SubsettingConfig&, const SubsettingConfig&) = default;
};

// What an endpoint says of its own load with an answer, as the header `endpoint-load-metrics`
// (ORCA) does.
struct LoadReport {
    double utilization = 0;        // 1 = all it can do; may be more
    double calls_per_second = 0;   // that it answers, from all callers
    double errors_per_second = 0;  // of these
    friend bool operator==(const LoadReport&, const LoadReport&) = default;
};

// Which requests belong together, for balancing that hashes (RingHash, Maglev). The proxy goes by
// it; calls of the library say CallOptions::hash. A request that has no such thing is spread.
struct AffinityConfig {
    enum class Kind : std::uint8_t { none, header, cookie, address };

    Kind by = Kind::none;  // address: the caller's IP address
    std::string name{};    // of the header (any case) or the cookie
    friend bool operator==(const AffinityConfig&, const AffinityConfig&) = default;
};

}  // namespace datapunk::mesh
