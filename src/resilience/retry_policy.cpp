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

constexpr std::array<std::pair<std::string_view, RetryOn>, 7> kConditions = {{
    {"5xx", RetryOn::server_error},
    {"connect-failure", RetryOn::connect_failure},
    {"refused-stream", RetryOn::refused_stream},
    {"timeout", RetryOn::timeout},
    {"reset", RetryOn::reset},
    {"gateway-error", RetryOn::gateway_error},
    {"retriable-4xx", RetryOn::retriable_4xx},
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

bool names_grpc(GrpcRetryOn set, std::uint32_t code) noexcept {
    return code < 32 && (static_cast<std::uint32_t>(set) >> code & 1U) != 0;
}

// Does `on` or one of the lists name this end?
bool is_condition(const RetryConfig& config, const AttemptEnd& end) noexcept {
    if (end.grpc_status) return names_grpc(config.on_grpc, *end.grpc_status);
    if (has(config.on, condition_of(end.outcome)) || end.has_named_header) return true;
    switch (end.status) {
        case 0:
            return false;
        case 409:
            if (has(config.on, RetryOn::retriable_4xx)) return true;
            break;
        case 502:
        case 503:
        case 504:
            if (has(config.on, RetryOn::gateway_error)) return true;
            break;
        default:
            break;
    }
    const auto& statuses = config.on_statuses;
    return std::find(statuses.begin(), statuses.end(), end.status) != statuses.end();
}

// May the call be sent twice, if it has had its effect already?
bool may_repeat(const RetryConfig& config, const AttemptEnd& end) noexcept {
    return is_unsent(end.outcome) || end.idempotent || config.non_idempotent ||
           (end.grpc_status && names_grpc(config.on_grpc, *end.grpc_status));
}

// All questions but the wait and the budget.
RetryReason first_objection(const RetryConfig& config, const AttemptEnd& end) noexcept {
    if (end.outcome == Outcome::cancelled) return RetryReason::cancelled;
    // An answer that does not blame the endpoint may be worth another attempt all the same: a 429
    // that is listed, or what a user's predicate says.
    const bool is_worth_it = end.user_verdict.value_or(is_condition(config, end));
    if (end.outcome == Outcome::success && !is_worth_it) return RetryReason::succeeded;
    if (end.attempt >= config.attempts) return RetryReason::attempts_used;
    if (!is_worth_it) return RetryReason::not_a_condition;
    if (!end.replayable || end.answer_begun) return RetryReason::not_replayable;
    if (!may_repeat(config, end)) return RetryReason::not_idempotent;
    const bool asks_too_much = end.retry_after && *end.retry_after > config.retry_after_max;
    if (end.pushed_back || asks_too_much) return RetryReason::told_not_to;
    return RetryReason::retry;
}

}  // namespace

Outcome outcome_of_grpc_status(std::uint32_t code) noexcept {
    switch (code) {
        case 0:   // OK
        case 1:   // CANCELLED
        case 3:   // INVALID_ARGUMENT
        case 5:   // NOT_FOUND
        case 6:   // ALREADY_EXISTS
        case 7:   // PERMISSION_DENIED
        case 8:   // RESOURCE_EXHAUSTED
        case 9:   // FAILED_PRECONDITION
        case 10:  // ABORTED
        case 11:  // OUT_OF_RANGE
        case 16:  // UNAUTHENTICATED
            return Outcome::success;
        default:
            return Outcome::server_error;
    }
}

bool may_retry_answers(const RetryConfig& config) noexcept {
    return !config.on_statuses.empty() || !config.on_headers.empty() ||
           has(config.on, RetryOn::retriable_4xx);
}

bool is_good_answer(const RetryConfig& config, const AttemptEnd& end) noexcept {
    return end.outcome == Outcome::success && !end.user_verdict.value_or(is_condition(config, end));
}

std::optional<Duration> parse_grpc_pushback(std::string_view text) noexcept {
    const auto wait = core::parse_number<std::uint32_t>(core::trim(text));
    if (!wait) return std::nullopt;
    return std::chrono::milliseconds(*wait);
}

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
        case RetryReason::told_not_to:
            return "the endpoint asked not to be asked again so soon";
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
    Duration wait = backoff(config.backoff, end.attempt - 1, end.previous_wait, rng);
    if (end.retry_after) wait = std::max(wait, *end.retry_after);
    if (wait >= end.deadline.remaining(now)) return {.reason = RetryReason::deadline};
    if (!budget.try_withdraw(now)) return {.reason = RetryReason::budget_exhausted};
    return {.reason = RetryReason::retry, .wait = wait};
}

}  // namespace datapunk::mesh::resilience
