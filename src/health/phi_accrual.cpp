#include "health/phi_accrual.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>

namespace datapunk::mesh::health {

namespace {

double seconds_of(Duration duration) noexcept {
    return std::chrono::duration<double>(duration).count();
}

Duration duration_of(double seconds) noexcept {
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

struct Moments {
    double mean = 0;
    double deviation = 0;
};

// Two passes: a sum of squares cancels when the deviation is small against the mean.
Moments moments(std::span<const float> values) noexcept {
    Moments out;
    if (values.empty()) return out;
    for (const float value : values) out.mean += value;
    out.mean /= static_cast<double>(values.size());
    double squares = 0;
    for (const float value : values) squares += (value - out.mean) * (value - out.mean);
    out.deviation = std::sqrt(squares / static_cast<double>(values.size()));
    return out;
}

}  // namespace

void PhiAccrual::heartbeat(Instant now) noexcept {
    if (is_interval_ && now > since_) {
        seconds_[at_] = static_cast<float>(seconds_of(now - since_));
        at_ = (at_ + 1) % kSamplesMax;
        count_ = std::min(count_ + 1, kSamplesMax);
    }
    since_ = now;
    is_interval_ = true;
}

void PhiAccrual::rest(Instant now) noexcept {
    since_ = now;
    is_interval_ = false;
}

double PhiAccrual::phi(Instant now) const noexcept {
    if (count_ < kSamplesMin || since_ == kNever || now <= since_) return 0;
    const Moments seen = moments(std::span(seconds_).first(count_));
    const double mean = seen.mean + seconds_of(pause_);
    const double deviation = std::max(seen.deviation, seconds_of(deviation_min_));
    if (deviation <= 0) return 0;
    const double y = (seconds_of(now - since_) - mean) / deviation;
    // P(later) = e / (1 + e) with e = exp(-x); its logarithm, on the side where e <= 1.
    const double x = y * (1.5976 + 0.070566 * y * y);
    const double later = x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
    return later / std::numbers::ln10;
}

Duration PhiAccrual::mean() const noexcept {
    return duration_of(moments(std::span(seconds_).first(count_)).mean);
}

Duration PhiAccrual::deviation() const noexcept {
    return duration_of(moments(std::span(seconds_).first(count_)).deviation);
}

}  // namespace datapunk::mesh::health
