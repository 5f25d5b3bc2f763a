#include "resilience/retry_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "core/strings.h"
#include "resilience/backoff.h"

namespace datapunk::mesh::resilience {

namespace {

constexpr std::array<std::pair<std::string_view, RetryOn>, 5> kConditions = {{
    {"5xx", RetryOn::server_error},
    {"connect-failure", RetryOn::connect_failure},
    {"refused-stream", RetryOn::refused_stream},
    {"timeout", RetryOn::timeout},
    {"reset", RetryOn::reset},
}};

RetryOn condition_of(Outcome outcome) noexcept {
    switch (outcome) {
        case Outcome::server_error:
            return RetryOn::server_error;
        case Outcome::connect_failure:
            return RetryOn::connect_failure;
        case Outcome::refused_stream:
            return RetryOn::refused_stream;
        case Outcome::timeout:
            return RetryOn::timeout;
        case Outcome::reset:
            return RetryOn::reset;
        case Outcome::success:
        case Outcome::cancelled:
            break;
    }
    return RetryOn::none;
}

// All questions but the wait and the budget.
RetryReason first_objection(const RetryConfig& config, const AttemptEnd& end) noexcept {
    if (end.outcome == Outcome::cancelled) return RetryReason::cancelled;
    // A user's predicate may call an answer a failure, for instance a 429.
    if (end.outcome == Outcome::success && !end.user_verdict.value_or(false)) {
        return RetryReason::succeeded;
    }
    if (end.attempt >= config.attempts) return RetryReason::attempts_used;
    if (!end.user_verdict.value_or(has(config.on, condition_of(end.outcome)))) {
        return RetryReason::not_a_condition;
    }
    if (!end.replayable || end.answer_begun) return RetryReason::not_replayable;
    if (!is_unsent(end.outcome) && !end.idempotent && !config.non_idempotent) {
        return RetryReason::not_idempotent;
    }
    return RetryReason::retry;
}

}  // namespace

bool is_idempotent_method(std::string_view method) noexcept {
    constexpr std::array<std::string_view, 6> kIdempotent = {
        "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"
    };
    return std::find(kIdempotent.begin(), kIdempotent.end(), method) != kIdempotent.end();
}

Result<RetryOn> parse_retry_on(std::string_view text) {
    RetryOn set = RetryOn::none;
    if (core::trim(text).empty()) return set;
    for (const std::string_view part : core::split(text, ',')) {
        const std::string_view name = core::trim(part);
        const auto* const found =
            std::find_if(kConditions.begin(), kConditions.end(), [&](const auto& one) {
                return one.first == name;
            });
        if (found != kConditions.end()) {
            set = set | found->second;
            continue;
        }
        std::vector<std::string_view> known;
        for (const auto& one : kConditions) known.push_back(one.first);
        const auto close = core::did_you_mean(name, known);
        return Error{
            .code = Code::invalid,
            .what = fmt::format(
                "unknown retry condition \"{}\"{}; known are {}",
                name.substr(0, 64),
                close ? fmt::format(", did you mean \"{}\"", *close) : "",
                fmt::join(known, ", ")
            ),
        };
    }
    return set;
}

std::string format_retry_on(RetryOn set) {
    std::string out;
    for (const auto& [name, flag] : kConditions) {
        if (!has(set, flag)) continue;
        if (!out.empty()) out += ',';
        out += name;
    }
    return out;
}

std::string_view to_string(RetryReason reason) noexcept {
    switch (reason) {
        case RetryReason::retry:
            return "retry";
        case RetryReason::succeeded:
            return "succeeded";
        case RetryReason::cancelled:
            return "cancelled";
        case RetryReason::attempts_used:
            return "attempts used up";
        case RetryReason::not_a_condition:
            return "not a retry condition";
        case RetryReason::not_idempotent:
            return "not idempotent";
        case RetryReason::not_replayable:
            return "not replayable";
        case RetryReason::deadline:
            return "deadline too near";
        case RetryReason::budget_exhausted:
            return "retry budget exhausted";
    }
    return "unknown";
}

RetryDecision decide(
    const RetryConfig& config,
    const AttemptEnd& end,
    RetryBudget& budget,
    core::Rng& rng,
    Instant now
) noexcept {
    const RetryReason objection = first_objection(config, end);
    if (objection != RetryReason::retry) return {.reason = objection};
    Duration wait = full_jitter(config.backoff, end.attempt - 1, rng);
    if (end.retry_after) wait = std::max(wait, *end.retry_after);
    if (wait >= end.deadline.remaining(now)) return {.reason = RetryReason::deadline};
    if (!budget.try_withdraw(now)) return {.reason = RetryReason::budget_exhausted};
    return {.reason = RetryReason::retry, .wait = wait};
}

}  // namespace datapunk::mesh::resilience
