#include "health/health_state.h"

#include <algorithm>
#include <limits>

namespace datapunk::mesh::health {

namespace {

Instant add(Instant at, Duration wait) noexcept {
    return at > kNever - wait ? kNever : at + wait;
}

void count_up(std::uint32_t& count) noexcept {
    if (count < std::numeric_limits<std::uint32_t>::max()) ++count;
}

// The first line, short: a reason goes into logs and events.
std::string_view first_line(std::string_view text) {
    constexpr std::size_t kReasonBytesMax = 200;
    return text.substr(0, std::min(text.find_first_of("\r\n"), kReasonBytesMax));
}

std::string in_a_row(std::uint32_t count, std::string_view what, std::string_view output) {
    std::string text = std::to_string(count);
    text += ' ';
    text += what;
    if (count != 1) text += what == "success" ? "es" : "s";
    text += " in a row";
    if (!output.empty()) {
        text += ": ";
        text += first_line(output);
    }
    return text;
}

}  // namespace

HealthState::HealthState(const HealthCheck& check, Health initial, Instant now, Duration grace)
    : check_(check),
      status_(initial),
      since_(now),
      grace_until_(add(now, grace)),
      last_report_(now) {}

std::optional<HealthTransition> HealthState::on_result(
    Health verdict, std::string_view output, Instant now
) {
    keep_output(output);
    last_report_ = now;
    expired_ = false;
    const bool is_ttl = check_.kind == HealthCheck::Kind::ttl;
    if (verdict == Health::critical) {
        successes_ = 0;
        if (now < grace_until_ && !is_ttl) return std::nullopt;
        count_up(failures_);
        if (!is_ttl && failures_ < check_.failures_before_critical) return std::nullopt;
        return move_to(verdict, in_a_row(failures_, "failure", output), now);
    }
    failures_ = 0;
    count_up(successes_);
    if (!is_ttl && successes_ < check_.successes_before_passing) return std::nullopt;
    return move_to(verdict, in_a_row(successes_, "success", output), now);
}

std::optional<HealthTransition> HealthState::expire(Instant now) {
    if (now < expires_at()) return std::nullopt;
    expired_ = true;
    successes_ = 0;
    count_up(failures_);
    keep_output("TTL expired");
    return move_to(Health::critical, "TTL expired", now);
}

Instant HealthState::expires_at() const noexcept {
    if (check_.kind != HealthCheck::Kind::ttl || expired_) return kNever;
    return add(last_report_, check_.ttl);
}

Instant HealthState::deregister_at() const noexcept {
    if (status_ != Health::critical || check_.deregister_after <= Duration::zero()) return kNever;
    return add(since_, check_.deregister_after);
}

std::optional<HealthTransition> HealthState::move_to(Health status, std::string why, Instant now) {
    if (status == status_) return std::nullopt;
    HealthTransition transition{.from = status_, .to = status, .reason = std::move(why), .at = now};
    status_ = status;
    since_ = now;
    return transition;
}

void HealthState::keep_output(std::string_view output) {
    output_.assign(output.substr(0, kOutputBytesMax));
}

}  // namespace datapunk::mesh::health
