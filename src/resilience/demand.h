#pragma once

// Demand: how many tokens a second a process asks for lately, refused or not, so that it can lease
// them ahead of their use. At once as high as it has just been: who is refused must not wait for an
// average.
//
// One thread's, but for the counter that it is told. Cost: an exp() each.

#include <datapunk/mesh/time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>

namespace datapunk::mesh::resilience {

class Demand {
  public:
    // `demanded`: of all time.
    double update(std::uint64_t demanded, Instant now) noexcept {
        if (asked_at_ && now > *asked_at_) {
            const double passed = std::chrono::duration<double>(now - *asked_at_).count();
            is_idle_ = demanded == before_;
            const double rate = static_cast<double>(demanded - before_) / passed;
            per_second_ += (rate - per_second_) * (1 - std::exp(-passed / kMemorySeconds));
            per_second_ = std::max(per_second_, rate);
        }
        asked_at_ = now;
        before_ = demanded;
        return per_second_;
    }

    double per_second() const noexcept { return per_second_; }

    // Nobody has asked since the last update: nothing is fetched ahead, for who has just stopped
    // would fill up with what others need.
    bool is_idle() const noexcept { return is_idle_; }

    // How many of them to have in hand: one exchange may be late, and the next one.
    double ahead(Duration exchange_interval) const noexcept {
        return per_second_ * 3 * std::chrono::duration<double>(exchange_interval).count();
    }

  private:
    // Shorter than a burst of calls is noise.
    static constexpr double kMemorySeconds = 1;

    std::optional<Instant> asked_at_;
    std::uint64_t before_ = 0;
    double per_second_ = 0;
    bool is_idle_ = true;
};

}  // namespace datapunk::mesh::resilience
