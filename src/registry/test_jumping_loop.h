#pragma once

// A loop in virtual time whose wall clock can be set, as an administrator or NTP does. Tests only.

#include "io/loop.h"
#include "sim/run.h"

namespace datapunk::mesh::registry {

class JumpingLoop final : public io::Loop {
  public:
    JumpingLoop() : Loop(Instant(std::chrono::hours(1)), sim::seed_for_test(7)) {}

    WallTime wall_now() const override { return wall_at_0_ + now().time_since_epoch(); }

    void set_wall_clock(Duration ahead) { wall_at_0_ += ahead; }

    void run_for(Duration time) {
        const Instant end = now() + time;
        while (now() < end) turn(end);
    }

  private:
    void poll(Instant until) override {
        if (until > now_ && until != kNever) now_ = until;
    }

    void wake() override {}

    WallTime wall_at_0_ = WallTime(std::chrono::seconds(1'767'225'600));
};

}  // namespace datapunk::mesh::registry
