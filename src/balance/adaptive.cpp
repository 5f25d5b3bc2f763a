#include "balance/adaptive.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>
#include <vector>

namespace datapunk::mesh::balance {
namespace {

using Choice = AdaptiveChooser::Choice;

struct Differences {
    double latency = 1;    // slowest / median
    double failures = 0;   // highest rate - median rate
    double in_flight = 1;  // most / mean, by weight
    bool is_uncertain = false;
};

double median_of(std::vector<double>& values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

Differences differences_of(std::span<const EndpointQuality> endpoints) {
    Differences found;
    std::vector<double> latencies;
    std::vector<double> rates;
    double in_flight = 0;
    double weights = 0;
    double most = 0;
    for (const EndpointQuality& endpoint : endpoints) {
        if (endpoint.calls < kJudgedCallsMin) {
            found.is_uncertain = true;
        } else {
            rates.push_back(
                static_cast<double>(endpoint.failures) / static_cast<double>(endpoint.calls)
            );
        }
        if (endpoint.latency > Duration::zero()) {
            latencies.push_back(static_cast<double>(endpoint.latency.count()));
        }
        in_flight += endpoint.in_flight;
        weights += endpoint.weight;
        most = std::max(most, endpoint.in_flight / endpoint.weight);
    }
    if (latencies.size() > 1) {
        const double slowest = *std::max_element(latencies.begin(), latencies.end());
        found.latency = slowest / median_of(latencies);
    }
    if (rates.size() > 1) {
        const double highest = *std::max_element(rates.begin(), rates.end());
        found.failures = highest - median_of(rates);
    }
    // Below one call each, chance is all there is.
    const auto size = static_cast<double>(endpoints.size());
    if (in_flight >= size && weights > 0) found.in_flight = most / (in_flight / weights);
    return found;
}

std::string text_of(const char* format, double value) {
    std::array<char, 96> text{};
    const int length = std::snprintf(text.data(), text.size(), format, value);
    return {text.data(), static_cast<std::size_t>(std::clamp(length, 0, 95))};
}

// What differs so much calls for which choice?
struct Thresholds {
    double latency;
    double failures;
    double in_flight;
};

constexpr Thresholds kApart{kLatencyApart, kFailuresApart, kInFlightApart};
constexpr Thresholds kAlike{kLatencyAlike, kFailuresAlike, kInFlightAlike};

Choice level_of(const Differences& found, const Thresholds& limits) {
    if (found.latency >= limits.latency || found.failures >= limits.failures) {
        return Choice::peak_ewma;
    }
    return found.in_flight >= limits.in_flight ? Choice::least_request : Choice::round_robin;
}

std::string reason_of(const Differences& found) {
    if (found.latency >= kLatencyApart) return text_of("latencies differ %.1f-fold", found.latency);
    if (found.failures >= kFailuresApart) {
        return text_of("failure rates differ by %.1f %%", found.failures * 100);
    }
    return text_of("one has %.1f times the calls in flight", found.in_flight);
}

}  // namespace

std::string_view to_string(Choice choice) noexcept {
    switch (choice) {
        case Choice::round_robin:
            return "weighted_round_robin";
        case Choice::least_request:
            return "least_request";
        case Choice::peak_ewma:
            return "peak_ewma";
    }
    return "";
}

bool AdaptiveChooser::become_careful(Choice needed, const std::string& why) {
    if (needed <= choice_) return false;
    choice_ = needed;
    quiet_ = 0;
    why_ = why;
    return true;
}

bool AdaptiveChooser::judge(std::span<const EndpointQuality> endpoints) {
    if (endpoints.size() < 2) return false;
    const Differences found = differences_of(endpoints);
    if (become_careful(level_of(found, kApart), reason_of(found))) return true;
    const Choice enough = level_of(found, kAlike);
    if (enough >= choice_ || found.is_uncertain) {
        quiet_ = 0;
        return false;
    }
    if (++quiet_ < kQuietIntervals) return false;
    quiet_ = 0;
    choice_ = enough;
    why_ = text_of("endpoints have been alike for %.0f intervals", kQuietIntervals);
    return true;
}

bool AdaptiveChooser::watch(std::span<const EndpointQuality> endpoints) {
    if (endpoints.size() < 2) return false;
    const Differences found = differences_of(endpoints);
    return become_careful(level_of(found, kApart), reason_of(found));
}

BalanceConfig AdaptiveChooser::config() const {
    switch (choice_) {
        case Choice::round_robin:
            return WeightedRoundRobin{};
        case Choice::least_request:
            return LeastRequest{};
        case Choice::peak_ewma:
            break;
    }
    return PeakEwma{};
}

}  // namespace datapunk::mesh::balance
