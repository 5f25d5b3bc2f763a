#pragma once

// Trends: where a measured value is heading. Two tools with one unit: the slope is per second.
//
//   Trend     least squares over the last kSamplesMax samples: slope, fit, time to a threshold
//   Forecast  Holt's linear trend for samples at any distance: level and slope in 16 bytes; what
//             is older than `memory` counts little
//
// Forecast, with d seconds since the last sample, a = 1 - e^(-3d/memory), b = 1 - e^(-d/memory):
//
//   guess = level + slope x d      level' = guess + a x (x - guess)
//                                  slope' = slope + b x ((level' - level) / d - slope)
//
// Invariants: a forecast is finite, at least 0 and at most kGrowthMax times the level: a line says
// little beyond that. A straight line is continued exactly. Samples at one instant are one.
//
// Thread rule: one owner. Source: Holt 1957; Wright 1986 for samples at irregular distances.

#include <datapunk/mesh/time.h>

#include <array>
#include <cstddef>
#include <optional>

namespace datapunk::mesh::health {

class Trend {
  public:
    static constexpr std::size_t kSamplesMax = 60;
    static constexpr std::size_t kSamplesMin = 5;

    void add(double value, Instant at) noexcept;

    struct Line {
        double value = 0;  // now, on the line
        double slope_per_second = 0;
        double fit = 0;  // r²: 1 = the samples are on the line, 0 = it says nothing
    };

    // Nothing before kSamplesMin samples.
    std::optional<Line> line(Instant now) const noexcept;
    // When the line reaches `threshold`, from now. Nothing if it does not within a day, if it has
    // passed it, or if the line says nothing (fit below kFitMin).
    std::optional<Duration> time_to(double threshold, Instant now) const noexcept;

    static constexpr double kFitMin = 0.5;

  private:
    struct Sample {
        double value = 0;
        Instant at{};
    };

    std::array<Sample, kSamplesMax> samples_{};
    std::size_t count_ = 0;
    std::size_t at_ = 0;
};

class Forecast {
  public:
    static constexpr double kGrowthMax = 10;

    explicit Forecast(Duration memory) noexcept : memory_(memory) {}

    void add(double value, Instant at) noexcept;

    double level() const noexcept { return level_; }

    double slope_per_second() const noexcept { return slope_; }

    // What it will be so long after the last sample.
    double after(Duration horizon) const noexcept;

  private:
    Duration memory_;
    double level_ = 0;
    double slope_ = 0;
    Instant last_ = kNever;  // kNever = no sample yet
};

// By how much to reduce a weight because of what is coming: level / forecast, from 0.1 to 1.
double weight_factor(const Forecast& forecast, Duration horizon) noexcept;

}  // namespace datapunk::mesh::health
