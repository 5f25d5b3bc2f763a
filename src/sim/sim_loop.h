#pragma once

// SimLoop: a loop in virtual time. Waiting costs nothing: time jumps to the next timer. When
// nothing is armed, posted or ready, nothing can ever happen again: the world is stuck, and
// run_until() says so instead of hanging.

#include <datapunk/mesh/result.h>

#include <functional>

#include "io/loop.h"

namespace datapunk::mesh::sim {

class SimLoop final : public io::Loop {
  public:
    explicit SimLoop(std::uint64_t seed);

    // 2026-01-01T00:00:00Z at the start, then in step with now().
    WallTime wall_now() const override;

    // Runs turns until `done`. Errors: timeout (virtual `deadline` passed), aborted (stuck: nothing
    // is left that could happen), internal (kTurnsMax turns without time moving: a busy loop).
    Result<> run_until(const std::function<bool()>& done, Instant deadline);
    // Lets virtual time pass, with all that happens in it.
    void run_for(Duration time);

    bool is_stuck() const noexcept { return stuck_; }

  private:
    void poll(Instant until) override;

    void wake() override {}

    static constexpr std::uint64_t kTurnsMax = 1'000'000;

    bool stuck_ = false;
};

}  // namespace datapunk::mesh::sim
