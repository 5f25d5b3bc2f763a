#include "sim/sim_loop.h"

#include <fmt/format.h>

#include "core/strings.h"

namespace datapunk::mesh::sim {

namespace {
constexpr Instant kStart{std::chrono::hours(1)};  // not 0: code that takes 0 for "never" must fail
constexpr WallTime kWallStart{std::chrono::seconds(1'767'225'600)};
}  // namespace

SimLoop::SimLoop(std::uint64_t seed) : Loop(kStart, seed) {}

WallTime SimLoop::wall_now() const {
    return kWallStart + (now() - kStart);
}

void SimLoop::poll(Instant until) {
    const bool idle = until > now_;
    stuck_ = idle && timers().next() == kNever;
    // Stuck with a horizon (run_for, a test's deadline) still reaches it.
    if (idle && until != kNever) now_ = until;
}

Result<> SimLoop::run_until(const std::function<bool()>& done, Instant deadline) {
    const Instant start = now();
    Instant last = start;
    std::uint64_t turns_here = 0;
    while (!done()) {
        const auto error = [&](Code code, std::string_view why) {
            return Error{
                .code = code,
                .what = fmt::format(
                    "{} after {} of virtual time", why, core::format_duration(now() - start)
                )
            };
        };
        if (now() >= deadline) return error(Code::timeout, "not reached");
        const Instant before = now();
        turn(deadline);
        if (stuck_) {
            if (done()) break;
            now_ = before;
            return error(Code::aborted, "stuck: nothing is left that could happen");
        }
        turns_here = now() == last ? turns_here + 1 : 0;
        last = now();
        if (turns_here > kTurnsMax) return error(Code::internal, "a loop that never waits");
    }
    return Ok{};
}

void SimLoop::run_for(Duration time) {
    const Instant end = now() + time;
    while (now() < end) turn(end);
}

}  // namespace datapunk::mesh::sim
