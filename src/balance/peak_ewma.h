#pragma once

// Peak EWMA: of `choices` random candidates the one with the lowest expected wait,
// latency x (in-flight + 1). After Finagle's PeakEwma and brpc's p2c_ewma; what differs, and why:
//
//   reading   the average decays with the time since the last answer without being written: an
//             endpoint nobody calls gets another chance, and picking writes no shared line
//   answer    average += (1 - e^(-elapsed/decay)) x (latency - average): by time, not per sample
//   peak      a slower answer counts at once, but raises the average at most 32-fold, so that one
//             pause of the endpoint is forgotten after 3.5 x decay
//   failure   is charged as an answer of max(latency, 1 s, 2 x average): who fails in a millisecond
//             must not look fastest. It is averaged, not a peak: the cost grows with the *rate* of
//             failures, and one error in ten thousand does not empty an endpoint
//   unknown   is asked as soon as it is drawn, and gets one call at a time until it has answered.
//             (If it were ranked by an assumed latency, a new endpoint of a service that answers
//             faster than that would never be asked.) `initial` is what is expected of it meanwhile
//   hanging   is noticed before it answers: the calls in flight multiply
//   alike     within a factor of two of each other, latencies say nothing: the fewer calls in
//             flight per weight win. Averages that ride on peaks differ that much among equals, and
//             one endpoint would get a tenth more than another
//   queue     an average of 10 ms taken with five calls in flight is 10 ms for a sixth of five
//             more, not 60: the average counts x (in-flight + 1) / (calls in flight that it is of),
//             from that on. Else a busy fast endpoint's queue, which its latencies have in them
//             already, would be counted twice, and slow idle ones would get calls it could take
//   all bad   when the best of the drawn costs more than twice what this thread's picks cost
//             lately, up to six are drawn anew: with half of four slow, two choices see slow ones
//             only in every sixth pick
//
// In flight is counted per weight (x mean weight / weight), so that a heavy endpoint carries more.
//
// Threads: pick() from anywhere; record_answer() by one thread at a time per endpoint. O(d).

#include <datapunk/mesh/policy.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "balance/candidate.h"
#include "balance/choices.h"
#include "balance/weighted_draw.h"

namespace datapunk::mesh::balance {

inline constexpr double kPeakRiseMax = 32;
inline constexpr Duration kFailureLatencyMin = std::chrono::seconds(1);
// No average exceeds it: the longest wait worth telling from a longer one.
inline constexpr Duration kLatencyMax = std::chrono::seconds(30);

void record_answer(
    EndpointLoad& load, const PeakEwma& config, Duration latency, bool failed, Instant now
) noexcept;

// The decayed average at `now`; `initial` if it has never answered.
Duration expected_latency(const EndpointLoad& load, const PeakEwma& config, Instant now) noexcept;

class PeakEwmaPicker {
  public:
    PeakEwmaPicker(const PeakEwma& config, std::span<const Candidate> candidates);

    std::optional<std::uint32_t> pick(const PickQuery& query, PickState& state) const noexcept;

  private:
    // What decides about a candidate, read once.
    struct Seen {
        double latency = 0;  // decayed; 0 = unknown
        double usual_calls = 1;
        std::uint32_t in_flight = 0;
        std::uint32_t weight = 1;
    };

    Seen see(const ChoiceRow& candidate, Instant now) const noexcept;
    double cost(const Seen& seen) const noexcept;
    bool is_better(const Seen& a, const Seen& b) const noexcept;
    // Of at most as many as there are.
    std::optional<std::uint32_t> best_of_drawn(
        std::uint32_t choices, const PickQuery& query, PickState& state
    ) const noexcept;
    std::uint32_t settle(
        std::uint32_t best, const Seen& seen, const PickQuery& query, PickState& state
    ) const noexcept;

    double per_decay_;  // 1 / ns
    std::uint32_t choices_;
    std::vector<ChoiceRow> candidates_;
    WeightedDraw draw_;
    double mean_weight_ = 1;
};

}  // namespace datapunk::mesh::balance
