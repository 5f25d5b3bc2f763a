#include "resilience/adaptive_limit.h"

#include <algorithm>
#include <cmath>

namespace datapunk::mesh::resilience {

namespace {

constexpr double kTolerance = 2;    // latency over base that is not queueing yet
constexpr double kSmoothing = 0.2;  // of falling limits
constexpr double kLatencySmoothing = 0.3;
constexpr double kProbeShare = 0.75;  // of the calls in flight that the throughput needs
constexpr Duration kFirstProbe = std::chrono::seconds(2);  // it may begin in an overload
constexpr double kProbeAnswers = 100;                      // to believe a probe
constexpr int kProbeWindows = 10;                          // to wait for them
constexpr double kStillFalling = 0.85;  // of the base before a probe: another may find less
constexpr double kMuchMore = 2.2;     // than base: a queue that gradient and vegas would not leave
constexpr double kLowAnswers = 100;   // at half the limit before base is doubted
constexpr double kClearlyLess = 0.7;  // than base: more than chance
constexpr double kNoise = 1.15;       // times base: may be chance, and is followed
constexpr double kTracking = 0.1;     // how closely
constexpr double kSameLatency = 0.8;  // of that at twice the limit; 0.5 = all of it queueing

}  // namespace

AdaptiveLimiter::AdaptiveLimiter(
    AdaptiveLimit kind, std::uint32_t min, std::uint32_t max, std::uint64_t seed
)
    : kind_(kind),
      min_(min),
      max_(max),
      rng_(seed),
      limit_(std::clamp<double>(kInitial, min, max)),
      until_probe_(kFirstProbe) {}

void AdaptiveLimiter::set_bounds(std::uint32_t min, std::uint32_t max) noexcept {
    min_ = min;
    max_ = max;
    limit_ = clamped(limit_);
    if (draining_ > 0 || measuring_ > 0) probe_limit_ = clamped(probe_limit_);
}

double AdaptiveLimiter::clamped(double limit) const noexcept {
    return std::clamp(limit, min_, max_);
}

std::uint32_t AdaptiveLimiter::limit() const noexcept {
    const bool is_probing = draining_ > 0 || measuring_ > 0;
    return static_cast<std::uint32_t>(std::lround(is_probing ? probe_limit_ : limit_));
}

Duration AdaptiveLimiter::window() const noexcept {
    const auto one_answer = Duration(static_cast<std::int64_t>(latency_));
    return std::clamp(one_answer, kWindowMin, kWindowMax / 2);
}

bool AdaptiveLimiter::on_window(const LimitWindow& window) noexcept {
    const std::uint64_t calls = window.answers + window.dropped;
    if (calls < kAnswersMin) {
        if (window.length < kWindowMax) return false;
        draining_ = measuring_ = 0;  // a probe of nobody's calls
        return true;
    }
    if (window.dropped > 0) {
        const double share = static_cast<double>(window.dropped) / static_cast<double>(calls);
        limit_ = clamped(limit_ * (1 - share / 2));
        probe_limit_ = std::min(probe_limit_, limit_);
    }
    if (window.answers == 0) return true;
    const auto answers = static_cast<double>(window.answers);
    const auto sum = static_cast<double>(window.latency_sum.count());
    const auto length = static_cast<double>(std::max<std::int64_t>(1, window.length.count()));
    const double latency = std::max(1.0, sum / answers);
    if (draining_ > 0 || measuring_ > 0) {
        probe(latency, answers, window.length);
        return true;
    }
    // Little: calls in flight, on average.
    const bool is_used = window.was_limited || sum / length * 2 >= limit_;
    learn(latency, answers, is_used);
    if (window.dropped == 0 && is_used) adjust();
    if (window.was_limited) doubt_base(latency, answers);
    until_probe_ -= window.length;
    if (until_probe_ <= Duration::zero() && window.was_limited) start_probe(answers / length);
    return true;
}

void AdaptiveLimiter::learn(double latency, double answers, bool is_used) noexcept {
    latency_ = latency_ == 0 ? latency : latency_ + kLatencySmoothing * (latency - latency_);
    if (first_answers_ < kProbeAnswers) {
        // The first window has the answers that were fast enough to be in it.
        if (base_ > 0) {
            first_sum_ += latency * answers;
            first_answers_ += answers;
        }
        base_ = first_answers_ > 0 ? first_sum_ / first_answers_ : latency;
        return;
    }
    if (latency < kClearlyLess * base_ && answers >= kProbeAnswers / 2) {
        base_ += kSmoothing * (latency - base_);
    } else if (!is_used && latency < kNoise * base_) {
        base_ += kTracking * (latency - base_);
    }
}

void AdaptiveLimiter::adjust() noexcept {
    double aim = limit_;
    if (kind_ == AdaptiveLimit::gradient) {
        const double gradient = std::clamp(kTolerance * base_ / latency_, 0.5, 1.0);
        aim = limit_ * gradient + std::sqrt(limit_);
    } else {
        const double queue = limit_ * (1 - std::min(1.0, base_ / latency_));
        const double step = std::max(1.0, std::log10(limit_));
        if (queue <= step) {
            aim += 6 * step;
        } else if (queue < 3 * step) {
            aim += step;
        } else if (queue > 6 * step) {
            aim -= step;
        }
    }
    const bool is_smooth = kind_ == AdaptiveLimit::gradient && aim < limit_;
    limit_ = clamped(is_smooth ? limit_ + kSmoothing * (aim - limit_) : aim);
}

// Half the calls in flight and answers as slow as before: so they did not wait for each other.
void AdaptiveLimiter::doubt_base(double latency, double answers) noexcept {
    if (limit_ >= high_limit_) {
        high_limit_ = limit_;
        high_latency_ = latency_;
        low_sum_ = low_answers_ = 0;
        return;
    }
    if (limit_ * 2 > high_limit_ && limit_ > min_) {
        high_latency_ = std::max(high_latency_, latency_);  // answers follow the limit
        low_sum_ = low_answers_ = 0;
        return;
    }
    low_sum_ += latency * answers;
    low_answers_ += answers;
    if (low_answers_ < kLowAnswers) return;
    const double found = low_sum_ / low_answers_;
    if (found > kSameLatency * high_latency_ && found > kMuchMore * base_) base_ = found;
    high_limit_ = limit_;
    high_latency_ = latency_;
    low_sum_ = low_answers_ = 0;
}

// `throughput` in answers per nanosecond.
void AdaptiveLimiter::start_probe(double throughput) noexcept {
    until_probe_ = Duration(static_cast<std::int64_t>(
        static_cast<double>(kProbeEvery.count()) * (0.75 + rng_.unit() / 2)
    ));
    probe_limit_ = std::clamp(kProbeShare * throughput * base_, 1.0, limit_);
    // What is in flight and queueing now must be answered before anything is measured.
    draining_ = 2;
    measuring_ = kProbeWindows;
    probed_sum_ = 0;
    probed_answers_ = 0;
}

void AdaptiveLimiter::probe(double latency, double answers, Duration length) noexcept {
    if (draining_ > 0) {
        --draining_;
        return;
    }
    probed_sum_ += latency * answers;
    probed_answers_ += answers;
    --measuring_;
    if (probed_answers_ < kProbeAnswers && measuring_ > 0) return;
    measuring_ = 0;
    if (probed_answers_ < kProbeAnswers) return;
    const double found = probed_sum_ / probed_answers_;
    const bool is_falling = found < kStillFalling * base_;
    if (is_falling) {
        base_ = found;
    } else if (found < base_ * kNoise) {
        base_ += (found < base_ ? 0.5 : kTracking) * (found - base_);
    }
    if (is_falling) start_probe(answers / static_cast<double>(length.count()));
}

}  // namespace datapunk::mesh::resilience
