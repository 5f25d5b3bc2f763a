#pragma once

// Weights from what was measured, renewed about once a second by the owner of the balancer:
//
//   response time   1 / latency. Two traps of others: an endpoint that has not answered yet counts
//   as
//                   the mean of those that have, so it neither starves nor gets everything (a naive
//                   1 / (latency + 1) gives the unknown orders of magnitude more); and one that
//                   hangs is noticed before it answers, by its calls in flight (brpc's
//                   locality-aware one)
//   reported load   gRPC proposal A58: calls per second / (utilisation + penalty x failures per
//                   call), from LoadReports that are neither too young nor too old
//
// Invariants: every share is finite and positive, the mean of the known is 1, nobody is beyond
// 1/kShareSpreadMax .. kShareSpreadMax of it; with fewer than two known all are 1.
//
// Pure values; O(n).

#include <datapunk/mesh/balancing.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <span>
#include <vector>

namespace datapunk::mesh::balance {

inline constexpr double kShareSpreadMax = 10;

// The reports of one endpoint.
class LoadHistory {
  public:
    // Reports without calls or utilisation say nothing and are ignored.
    void add(const LoadReport& report, Instant now) noexcept;
    // Calls per second that it could answer if fully used; 0 = not known (now).
    double capacity(const ReportedLoad& config, Instant now) noexcept;

    const LoadReport& last() const noexcept { return last_; }

  private:
    LoadReport last_{};
    Instant known_since_ = kNever;
    Instant last_at_ = kNever;
};

// Shares from capacities of any unit, 0 = unknown.
std::vector<double> shares_of(std::span<const double> capacities);

struct TimedEndpoint {
    Duration latency{};  // expected now; zero = has not answered yet
    std::uint32_t in_flight = 0;
    std::uint32_t weight = 1;
};

std::vector<double> shares_by_response_time(std::span<const TimedEndpoint> endpoints);

}  // namespace datapunk::mesh::balance
