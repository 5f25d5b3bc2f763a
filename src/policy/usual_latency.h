#pragma once

// UsualLatency: the mean latency of a service's answers, those of the last minute or so: sums that
// fade with a time constant of a minute. Pure; one thread.

#include <datapunk/mesh/time.h>

#include <cmath>
#include <cstdint>
#include <optional>

namespace datapunk::mesh::policy {

class UsualLatency {
  public:
    // Totals since the start. The mean in ns; 0 = too few answers to say.
    std::int64_t learn(std::uint64_t answers, std::uint64_t latencies_ns, Instant now) noexcept {
        if (seen_at_ && now > *seen_at_) {
            const double kept = std::exp(-std::chrono::duration<double>(now - *seen_at_) / kMemory);
            answers_ *= kept;
            ns_ *= kept;
        }
        seen_at_ = now;
        answers_ += static_cast<double>(answers - answers_before_);
        ns_ += static_cast<double>(latencies_ns - ns_before_);
        answers_before_ = answers;
        ns_before_ = latencies_ns;
        return answers_ < kAnswersMin ? 0 : static_cast<std::int64_t>(ns_ / answers_);
    }

  private:
    static constexpr std::chrono::duration<double> kMemory = std::chrono::minutes(1);
    static constexpr double kAnswersMin = 10;

    std::optional<Instant> seen_at_;
    std::uint64_t answers_before_ = 0;
    std::uint64_t ns_before_ = 0;
    double answers_ = 0;
    double ns_ = 0;
};

}  // namespace datapunk::mesh::policy
