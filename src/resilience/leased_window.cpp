#include "resilience/leased_window.h"

#include <algorithm>
#include <cmath>

#include "resilience/leased_slice.h"

namespace datapunk::mesh::resilience {

namespace {

using std::chrono::seconds;

constexpr Duration kInterval = LeasedSlice::kExchangeInterval;
// Sooner than the keeper forgets who has not asked for long (ten seconds), and hands out what he
// held to others.
constexpr Duration kForgotten = seconds(5);
constexpr Duration kKeepAlive = seconds(2);

}  // namespace

LeasedWindow::LeasedWindow(const WindowConfig& config) noexcept
    : per_(config.per), begun_(config.calls, config.per) {}

void LeasedWindow::reconfigure(const WindowConfig& config, Instant now) noexcept {
    per_.store(config.per, std::memory_order_relaxed);
    begun_.reconfigure(config.calls, config.per, now);
}

// Of each process, alone. Before the first answer (or a while without) what a second brings: others
// begin likewise, and it is not known how many.
std::uint64_t LeasedWindow::part() const noexcept {
    const double calls = begun_.calls();
    double part = calls / static_cast<double>(processes_.load(std::memory_order_relaxed));
    if (!is_settled_.load(std::memory_order_relaxed)) {
        const std::chrono::duration<double> per = per_.load(std::memory_order_relaxed);
        part = calls * std::min(1.0, 1 / per.count());
    }
    return static_cast<std::uint64_t>(std::max(1.0, part));
}

bool LeasedWindow::is_alone(Instant now) const noexcept {
    return is_alone() || is_forgotten(now);
}

// What is held may have been handed out to others.
bool LeasedWindow::is_forgotten(Instant now) const noexcept {
    return now > answered_at_.load(std::memory_order_relaxed) + kForgotten;
}

bool LeasedWindow::try_take(Instant now) noexcept {
    demanded_.fetch_add(1, std::memory_order_relaxed);
    if (!is_forgotten(now)) [[likely]] {
        std::int64_t seen = held_.load(std::memory_order_relaxed);
        while (seen > 0) {
            if (held_.compare_exchange_weak(seen, seen - 1, std::memory_order_relaxed)) {
                begun_.count(now);
                return true;
            }
        }
    }
    if (!is_alone(now) || !begun_.try_acquire(now, part())) return false;
    held_.fetch_sub(1, std::memory_order_relaxed);
    return true;
}

Duration LeasedWindow::retry_in(Instant now) const noexcept {
    const Duration own = is_alone(now) ? begun_.retry_in(now, part()) : Duration::zero();
    return std::max(own, kInterval);
}

std::int64_t LeasedWindow::goal() const noexcept {
    const double calls = begun_.calls();
    const double each = calls / static_cast<double>(processes_.load(std::memory_order_relaxed));
    const double idle = each < 4 ? 0 : std::max(1.0, each / 16);
    const double ahead = std::max(idle, demand_.ahead(kInterval));
    return static_cast<std::int64_t>(std::ceil(std::min(calls, ahead)));
}

// Spent is what came less what is held: read at one instant, so that no call is in neither.
LeasedWindow::Ask LeasedWindow::told(std::int64_t held, Instant now) noexcept {
    if (held < 0) {  // begun alone, on nobody's account
        held_.fetch_sub(held, std::memory_order_relaxed);
        received_ -= held;
        held = 0;
    }
    asked_ = static_cast<std::uint64_t>(std::max<std::int64_t>(0, received_ - held));
    return {.held = held, .spent = asked_, .recent = begun_.begun(now)};
}

LeasedWindow::Ask LeasedWindow::ask(Instant now) noexcept {
    demand_.update(demanded_.load(std::memory_order_relaxed), now);
    is_exchanged_.store(true, std::memory_order_relaxed);
    const std::int64_t most = goal();
    std::int64_t held = held_.load(std::memory_order_relaxed);
    bool is_other = false;
    // What the keeper has forgotten it may have handed out to others.
    const std::int64_t kept = is_forgotten(now) ? 0 : most;
    while (held > kept + kept / 2) {
        if (held_.compare_exchange_weak(held, kept, std::memory_order_relaxed)) {
            received_ -= held - kept;
            held = kept;
            is_other = true;
        }
    }
    Ask ask = told(held, now);
    ask.wanted = std::max<std::int64_t>(0, most - ask.held);
    ask.is_empty = !is_other && ask.wanted == 0 && told_ == ask.spent && !is_alone() &&
                   now < answered_at_.load(std::memory_order_relaxed) + kKeepAlive;
    return ask;
}

LeasedWindow::Ask LeasedWindow::give_up(Instant now) noexcept {
    const std::int64_t held = held_.exchange(0, std::memory_order_relaxed);
    received_ -= held;
    return told(0, now);
}

void LeasedWindow::granted(std::int64_t tokens, std::int64_t processes, Instant now) noexcept {
    received_ += tokens;
    held_.fetch_add(tokens, std::memory_order_relaxed);
    if (processes > 0) processes_.store(processes, std::memory_order_relaxed);
    told_ = asked_;
    is_settled_.store(true, std::memory_order_relaxed);
    answered_at_.store(now, std::memory_order_relaxed);
    is_alone_.store(false, std::memory_order_relaxed);
}

void LeasedWindow::failed(Instant now) noexcept {
    if (!failed_at_) failed_at_ = now;
    if (now > *failed_at_ + kForgotten) is_settled_.store(true, std::memory_order_relaxed);
    is_alone_.store(true, std::memory_order_relaxed);
}

}  // namespace datapunk::mesh::resilience
