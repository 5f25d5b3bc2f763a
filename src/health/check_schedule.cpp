#include "health/check_schedule.h"

#include "core/assert.h"

namespace datapunk::mesh::health {

CheckSchedule::CheckSchedule(Duration interval, Instant now, core::Rng& rng, double jitter) noexcept
    : interval_(interval), jitter_(jitter) {
    MESH_ASSERT(interval > Duration::zero() && jitter >= 0 && jitter <= 0.5);
    const auto phase = rng.below(static_cast<std::uint64_t>(interval.count()));
    grid_ = next_at_ = now + Duration(static_cast<std::int64_t>(phase));
}

bool CheckSchedule::take_due(Instant now, core::Rng& rng) noexcept {
    if (now < next_at_) return false;
    const bool missed = now - next_at_ >= interval_;
    grid_ += interval_;
    if (grid_ <= now) grid_ += interval_ * ((now - grid_) / interval_ + 1);
    aim(rng);
    return !missed;
}

void CheckSchedule::aim(core::Rng& rng) noexcept {
    const double offset = (2 * rng.unit() - 1) * jitter_;
    const auto shift = static_cast<std::int64_t>(static_cast<double>(interval_.count()) * offset);
    next_at_ = grid_ + Duration(shift);
}

}  // namespace datapunk::mesh::health
