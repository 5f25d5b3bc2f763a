#pragma once

// AdaptiveChooser: which algorithm a service needs, judged by how its endpoints differ. From the
// plainest to the most careful:
//
//   round_robin (weighted)   nothing differs: exactly equal shares at the least cost
//   least_request            calls in flight pile up at some: kInFlightApart x the mean
//   peak_ewma                latencies differ kLatencyApart-fold, or failure rates by
//   kFailuresApart
//
// Hysteresis: it becomes more careful at once (watched every second), and plainer only after
// kQuietIntervals in which even the lower thresholds were not reached; what cannot be judged (an
// endpoint that hardly anybody asked) keeps what there is. It begins with the most careful. The
// trap of the naive kind is to try a worse algorithm in order to measure it; here nothing is tried,
// endpoints are compared.
//
// Invariants: never plainer within kQuietIntervals judgements of the last reason to be careful; the
// same judgements give the same choices.
//
// One thread. O(n log n) per judgement.

#include <datapunk/mesh/balancing.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <span>
#include <string>

namespace datapunk::mesh::balance {

// One endpoint over one interval.
struct EndpointQuality {
    Duration latency{};  // its average; zero = not known
    std::uint64_t calls = 0;
    std::uint64_t failures = 0;
    double in_flight = 0;  // on average
    std::uint32_t weight = 1;
};

inline constexpr double kLatencyApart =
    3;  // averages that ride on peaks differ twofold among equals
inline constexpr double kLatencyAlike = 2.2;
inline constexpr double kFailuresApart = 0.05;
inline constexpr double kFailuresAlike = 0.02;
inline constexpr double kInFlightApart = 2;
inline constexpr double kInFlightAlike = 1.5;
inline constexpr int kQuietIntervals = 3;
inline constexpr std::uint64_t kJudgedCallsMin = 10;  // fewer say nothing about an endpoint

class AdaptiveChooser {
  public:
    enum class Choice : std::uint8_t { round_robin, least_request, peak_ewma };

    // At the end of an interval. Whether the choice has changed; why() says what was decisive.
    bool judge(std::span<const EndpointQuality> endpoints);
    // Within one: becomes more careful if it must, never plainer.
    bool watch(std::span<const EndpointQuality> endpoints);

    Choice choice() const noexcept { return choice_; }

    // "latencies differ 8.1-fold"
    const std::string& why() const noexcept { return why_; }

    // What to build for it.
    BalanceConfig config() const;

  private:
    bool become_careful(Choice needed, const std::string& why);

    Choice choice_ = Choice::peak_ewma;
    int quiet_ = 0;
    std::string why_ = "nothing is known yet";
};

std::string_view to_string(AdaptiveChooser::Choice choice) noexcept;

}  // namespace datapunk::mesh::balance
