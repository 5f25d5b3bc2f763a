#pragma once

// Retry policy: is another attempt worth it, and when? One pure decision, with its reason. The
// questions are asked in this order, cheapest and most certain first, so that the budget's token is
// the last thing taken and is never wasted:
//
//   succeeded? → given up by the caller? → attempts left? → does a condition (or the user's own
//   predicate) name this outcome? → may it be sent again (unsent, idempotent, body at hand, no byte
//   of the answer delivered)? → does the wait end before the deadline? → is there a token?
//
// The wait is BackoffConfig's, or the server's Retry-After if that is longer; a Retry-After beyond
// retry_after_max ends the call: its answer, which says so, is the caller's.
//
// An answer of gRPC is judged by RetryConfig::on_grpc alone, which also says that such a call may
// be sent again: every call of gRPC is a POST, and its HTTP status is 200. Invariants
// (retry_policy_test.cpp): a token is taken if and only if the decision is retry; no decision
// depends on anything but its arguments.
//
// Thread rule: functions; the budget is thread-safe, the Rng is the caller's.
// Source: Envoy router retry conditions; gRFC A6; RFC 9110 section 9.2.2 (idempotent methods).

#include <datapunk/mesh/outcome.h>
#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/rng.h"
#include "resilience/deadline.h"
#include "resilience/retry_budget.h"

namespace datapunk::mesh::resilience {

// The public value; named here as well, because everything on this floor speaks of it.
using mesh::Outcome;
using mesh::to_string;

// Does the outcome speak against the endpoint (breaker, outlier ejection)? `cancelled` says
// nothing.
constexpr bool is_failure(Outcome outcome) noexcept {
    return outcome != Outcome::success && outcome != Outcome::cancelled;
}

// What an ended attempt says about its endpoint.
enum class Verdict : std::uint8_t { success, failure, nothing };

constexpr Verdict verdict_of(Outcome outcome) noexcept {
    if (outcome == Outcome::cancelled) return Verdict::nothing;
    return is_failure(outcome) ? Verdict::failure : Verdict::success;
}

// The endpoint cannot have acted on the call.
constexpr bool is_unsent(Outcome outcome) noexcept {
    return outcome == Outcome::connect_failure || outcome == Outcome::refused_stream;
}

constexpr Outcome outcome_of_status(int http_status) noexcept {
    return http_status >= 500 ? Outcome::server_error : Outcome::success;
}

// As the HTTP status that stands for it (google.rpc.Code) would: unknown, deadline exceeded,
// unimplemented, internal, unavailable, data loss and what is beyond 16 blame the endpoint.
Outcome outcome_of_grpc_status(std::uint32_t code) noexcept;

// GET, HEAD, OPTIONS, TRACE, PUT, DELETE. Case-sensitive, as methods are.
bool is_idempotent_method(std::string_view method) noexcept;

// "5xx,connect-failure", blanks around names allowed; "" is none. The error names the unknown word
// and the nearest known one.
Result<RetryOn> parse_retry_on(std::string_view text);
// The names in the order of the enum, joined by ','.
std::string format_retry_on(RetryOn set);

enum class RetryReason : std::uint8_t {
    retry,             // yes
    succeeded,         // nothing to retry
    cancelled,         // nobody waits for the answer
    attempts_used,     // config.attempts reached
    not_a_condition,   // neither `on` nor the user's predicate names this outcome
    not_idempotent,    // it may have had an effect already
    not_replayable,    // the request's body is gone, or part of the answer was delivered
    told_not_to,       // the server asked not to be asked again, or not before retry_after_max
    deadline,          // the wait would end after the deadline
    budget_exhausted,  // too many retries lately
};

std::string_view to_string(RetryReason reason) noexcept;

// One ended attempt, and what is true of its call.
struct AttemptEnd {
    Outcome outcome = Outcome::success;
    std::uint32_t attempt = 1;            // which one ended, from 1
    bool idempotent = false;              // the method, or an Idempotency-Key
    bool replayable = true;               // the whole request is still at hand
    bool answer_begun = false;            // bytes of the answer went to the caller
    std::optional<bool> user_verdict;     // the user's predicate, which outranks config.on
    std::optional<Duration> retry_after;  // what the server asked for
    std::uint16_t status = 0;       // of an answer of HTTP; 0 = there is none, or it is unknown
    bool has_named_header = false;  // the answer has one of RetryConfig::on_headers
    std::optional<std::uint32_t> grpc_status;   // of an answer of gRPC
    bool pushed_back = false;                   // the server asked not to be asked again
    Duration previous_wait = Duration::zero();  // before the attempt that ended
    Deadline deadline;                          // of the whole call
};

// Whether answers that do not blame the endpoint can be worth another attempt: if not, nobody need
// ask.
bool may_retry_answers(const RetryConfig& config) noexcept;

// What grpc-retry-pushback-ms asks for: a wait, or nothing = never. Malformed is never, as gRFC A6
// wants it.
std::optional<Duration> parse_grpc_pushback(std::string_view text) noexcept;

struct RetryDecision {
    RetryReason reason = RetryReason::succeeded;
    Duration wait = Duration::zero();  // before the next attempt, if reason == retry

    explicit operator bool() const noexcept { return reason == RetryReason::retry; }

    friend bool operator==(const RetryDecision&, const RetryDecision&) = default;
};

// A success that is not worth another attempt: decide() need not be asked. The race of an attempt
// and its hedge is over.
bool is_good_answer(const RetryConfig& config, const AttemptEnd& end) noexcept;

// Takes a token from `budget` if and only if it says retry.
RetryDecision decide(
    const RetryConfig& config,
    const AttemptEnd& end,
    RetryBudget& budget,
    core::Rng& rng,
    Instant now
) noexcept;

}  // namespace datapunk::mesh::resilience
