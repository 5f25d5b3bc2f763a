#include "health/trend.h"

#include <algorithm>
#include <cmath>

namespace datapunk::mesh::health {

namespace {

constexpr double kDay = 24 * 60 * 60;

double seconds_of(Duration duration) noexcept {
    return std::chrono::duration<double>(duration).count();
}

}  // namespace

void Trend::add(double value, Instant at) noexcept {
    if (!std::isfinite(value)) return;
    samples_[at_] = {value, at};
    at_ = (at_ + 1) % kSamplesMax;
    count_ = std::min(count_ + 1, kSamplesMax);
}

std::optional<Trend::Line> Trend::line(Instant now) const noexcept {
    if (count_ < kSamplesMin) return std::nullopt;
    // Seconds before now, and both means taken off first: small numbers do not cancel.
    double mean_time = 0;
    double mean_value = 0;
    for (std::size_t i = 0; i < count_; ++i) {
        mean_time += seconds_of(samples_[i].at - now);
        mean_value += samples_[i].value;
    }
    const auto n = static_cast<double>(count_);
    mean_time /= n;
    mean_value /= n;
    double times = 0;
    double both = 0;
    double values = 0;
    for (std::size_t i = 0; i < count_; ++i) {
        const double time = seconds_of(samples_[i].at - now) - mean_time;
        const double value = samples_[i].value - mean_value;
        times += time * time;
        both += time * value;
        values += value * value;
    }
    if (times <= 0) return std::nullopt;  // all at one instant
    Line line;
    line.slope_per_second = both / times;
    line.value = mean_value - line.slope_per_second * mean_time;
    line.fit = values <= 0 ? 1 : std::clamp(both * both / (times * values), 0.0, 1.0);
    return line;
}

std::optional<Duration> Trend::time_to(double threshold, Instant now) const noexcept {
    const auto found = line(now);
    if (!found || found->fit < kFitMin || found->slope_per_second == 0) return std::nullopt;
    const double seconds = (threshold - found->value) / found->slope_per_second;
    if (!(seconds >= 0) || seconds > kDay) return std::nullopt;
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

void Forecast::add(double value, Instant at) noexcept {
    if (!std::isfinite(value)) return;
    if (last_ == kNever) {
        level_ = value;
        last_ = at;
        return;
    }
    const double passed = seconds_of(at - last_);
    if (passed <= 0) return;
    last_ = at;
    const double share = passed / std::max(seconds_of(memory_), 1e-9);
    const double guess = level_ + slope_ * passed;
    const double level = guess + (1 - std::exp(-3 * share)) * (value - guess);
    slope_ += (1 - std::exp(-share)) * ((level - level_) / passed - slope_);
    level_ = level;
}

double Forecast::after(Duration horizon) const noexcept {
    const double level = std::max(level_, 0.0);
    return std::clamp(level_ + slope_ * seconds_of(horizon), 0.0, kGrowthMax * level);
}

double weight_factor(const Forecast& forecast, Duration horizon) noexcept {
    const double coming = forecast.after(horizon);
    if (coming <= forecast.level() || coming <= 0) return 1;
    return std::clamp(forecast.level() / coming, 0.1, 1.0);
}

}  // namespace datapunk::mesh::health
