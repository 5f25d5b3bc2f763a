#include "mesh/call_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>
#include <variant>

#include "mesh/done.h"
#include "mesh/hedge_race.h"

namespace datapunk::mesh::internal {

namespace {

Outcome outcome_of(const Error& error) {
    switch (error.code) {
        case Code::unavailable:
            return Outcome::connect_failure;
        case Code::timeout:
            return Outcome::timeout;
        case Code::aborted:
            return Outcome::cancelled;
        case Code::exhausted:
        case Code::internal:
            return Outcome::server_error;
        case Code::invalid:
        case Code::not_found:
        case Code::conflict:
        case Code::denied:
            return Outcome::success;
    }
    return Outcome::server_error;
}

struct Ended {
    Outcome outcome = Outcome::success;
    bool by_status = false;  // nobody said how it ended, but what the endpoint answered
};

// What the function said; else the status it told; else its Error.
Ended ended_as(
    std::optional<Outcome> told,
    std::optional<std::uint32_t> grpc_status,
    int status,
    const Result<>& result
) {
    if (told) return {.outcome = *told};
    if (grpc_status) return {.outcome = resilience::outcome_of_grpc_status(*grpc_status)};
    if (status != 0) return {.outcome = resilience::outcome_of_status(status), .by_status = true};
    return {.outcome = result ? Outcome::success : outcome_of(result.error())};
}

// "connection refused (api_service at 10.0.0.7:80, attempt 3; no other: attempts used)"
Error with_history(
    Error error,
    std::string_view service,
    const std::string& address,
    std::uint32_t attempts,
    resilience::RetryReason why_no_other
) {
    error.what = fmt::format(
        "{} ({} at {}, attempt {}; no other: {})",
        error.what,
        service,
        address,
        attempts,
        resilience::to_string(why_no_other)
    );
    return error;
}

}  // namespace

// One attempt, or its hedge.
struct CallRun::Try {
    policy::HeldEndpoint held;
    Attempt told;
    Result<> result = Ok{};
    Instant ended{};
    bool is_beaten = false;  // told to end, since the other one had answered
    bool has_thrown = false;

    Ended how() const { return ended_as(told.outcome_, told.grpc_status_, told.status_, result); }

    resilience::AttemptEnd end(const CallOptions& options) const {
        std::optional<bool> verdict = told.worth_retrying_;
        if (!verdict && !result && options.retry_if) verdict = options.retry_if(result.error());
        return {
            .outcome = how().outcome,
            .idempotent = options.idempotent || !told.is_sent_,
            .user_verdict = verdict,
            .retry_after = told.retry_after_,
            .status = static_cast<std::uint16_t>(std::clamp(told.status_, 0, 599)),
            .grpc_status = told.grpc_status_
        };
    }

    void finish(policy::ServicePolicies& policies, const CallOptions& options) {
        const Ended how_it_ended = how();
        const Outcome outcome = is_beaten ? Outcome::cancelled : how_it_ended.outcome;
        std::optional<bool> is_failure;
        if (how_it_ended.by_status) is_failure = policies.judged(outcome, told.status_);
        if (options.is_failure && outcome != Outcome::cancelled) {
            is_failure = options.is_failure(
                {.outcome = outcome, .status = told.status_, .latency = ended - held.begun()}
            );
        }
        if (told.load_) policies.report_load(held, *told.load_, ended);
        const bool is_overload =
            resilience::tells_overload(outcome, told.status_, told.grpc_status_);
        policies.finish_attempt(std::move(held), outcome, ended, is_failure, is_overload);
    }
};

CallRun::Try CallRun::make_try(policy::HeldEndpoint held, Instant now) const {
    const Duration limit = policies_.policy()->retry.attempt_timeout;
    Instant latest = call_.deadline.at();
    if (limit > Duration::zero()) {
        latest = resilience::earlier(call_.deadline, resilience::Deadline::in(now, limit)).at();
    }
    return {.held = std::move(held), .told = Attempt(call_.attempts, latest, clock_)};
}

bool CallRun::is_good_answer(const resilience::AttemptEnd& end) const {
    return resilience::is_good_answer(policies_.policy()->retry, end);
}

// Runs `first` and, when that takes long, a hedge of it on another thread. Which of them answered;
// neither: nothing. Both functions have returned.
std::optional<std::size_t> CallRun::race(Try& first, std::optional<Try>& second, Duration delay) {
    constexpr int kNobody = -1;
    HedgeRace signals;
    std::atomic<int> winner{kNobody};
    const auto run = [&](Try& one, std::size_t slot) {
        one.told.race_ = &signals;
        one.result = attempt_(one.held.endpoint(), one.told);
        one.ended = clock_.now();
        signals.leave(slot);
        one.told.race_ = nullptr;
        one.is_beaten = signals.is_cancelled(slot);
        int nobody = kNobody;
        if (!one.is_beaten && is_good_answer(one.end(options_)) &&
            winner.compare_exchange_strong(nobody, static_cast<int>(slot))) {
            signals.cancel(1 - slot);
        }
    };
    // The caller's thread is in its function, or waits: the call's state is free.
    const auto hedge = [&] {
        const Instant now = clock_.now();
        auto begun = policies_.begin_hedge(call_, first.held, now);
        auto* held = std::get_if<policy::HeldEndpoint>(&begun);
        if (held == nullptr) return;
        second.emplace(make_try(std::move(*held), now));
        second->told.slot_ = 1;
        try {
            run(*second, 1);
        } catch (...) {  // it counts as abandoned; the first attempt's is the caller's to see
            signals.leave(1);
            second->has_thrown = true;
        }
    };
    const auto job = world_.hedger().schedule(first.held.begun() + delay, hedge);

    struct Settled {  // also if the first attempt throws
        Hedger& hedger;
        Hedger::Job& job;
        HedgeRace& signals;
        bool is_left = false;

        ~Settled() {
            if (!is_left) {
                signals.leave(0);
                signals.cancel(1);
            }
            hedger.settle(job);
        }
    };

    {
        Settled settled{.hedger = world_.hedger(), .job = *job, .signals = signals};
        try {
            run(first, 0);
        } catch (...) {
            // Cut short by its on_cancel(), most likely: the hedge's answer counts.
            if (winner.load() != 1) throw;
            signals.leave(0);
            first.has_thrown = true;
        }
        settled.is_left = true;
    }
    const int who = winner.load();
    if (who == kNobody) return std::nullopt;
    return static_cast<std::size_t>(who);
}

// The attempt that counts, its hedge finished if there was one; or the hedge, the attempt finished.
CallRun::Try CallRun::run_attempt(Try first) {
    const Instant begun = first.held.begun();
    std::optional<Duration> delay;
    if (options_.hedge) {
        delay = policies_.hedge_after(call_, options_.idempotent, first.told.deadline() - begun);
    }
    if (!delay) {
        first.result = attempt_(first.held.endpoint(), first.told);
        first.ended = clock_.now();
        return first;
    }
    std::optional<Try> second;
    std::optional<std::size_t> winner;
    try {
        winner = race(first, second, *delay);
    } catch (...) {
        if (second) policies_.count_hedge(policy::HedgeEnd::failed);
        if (second && !second->has_thrown) second->finish(policies_, options_);
        throw;
    }
    if (!second) return first;
    const bool is_hedges =
        winner ? *winner == 1 : !second->has_thrown && second->ended > first.ended;
    if (winner == 1) {
        policies_.count_hedge(policy::HedgeEnd::won);
    } else {
        const bool has_lost = second->is_beaten || (winner && !second->has_thrown &&
                                                    second->how().outcome == Outcome::success);
        policies_.count_hedge(has_lost ? policy::HedgeEnd::lost : policy::HedgeEnd::failed);
    }
    Try& other = is_hedges ? first : *second;
    if (!other.has_thrown) other.finish(policies_, options_);
    return is_hedges ? *std::move(second) : std::move(first);
}

Result<> CallRun::run() {
    std::optional<Error> last;
    for (;;) {
        Instant now = clock_.now();
        auto begun = policies_.begin_attempt(call_, now);
        if (auto* nobody = std::get_if<policy::NoEndpoint>(&begun)) {
            if (nobody->turn_at != kNever) {
                if (!world_.sleep_until(nobody->turn_at)) return stopping_error();
                continue;
            }
            if (nobody->may_wait) {
                const auto refused = world_.wait_for_place(policies_, call_, now);
                if (!refused) continue;
                if (world_.is_stopping()) return stopping_error();
                *nobody = *refused;
                now = clock_.now();
            }
            Error error = policies_.to_error(*nobody, now);
            if (last) error.what += fmt::format("; before: {}", last->what);
            return error;
        }
        auto& held = std::get<policy::HeldEndpoint>(begun);
        Try tried = run_attempt(make_try(std::move(held), now));
        if (tried.told.chosen_ != nullptr) *tried.told.chosen_ = tried.told.slot_;
        const std::string address = tried.result ? std::string() : tried.held.address();
        const resilience::AttemptEnd end = tried.end(options_);
        tried.finish(policies_, options_);
        Result<> result = std::move(tried.result);
        if (is_good_answer(end)) return result;
        const auto decision = policies_.after_attempt(call_, end, tried.ended);
        if (!decision) {
            if (result || end.outcome == Outcome::success) return result;
            return with_history(
                std::move(result).error(),
                policies_.name(),
                address,
                call_.attempts,
                decision.reason
            );
        }
        if (!result) last = std::move(result).error();
        if (!world_.sleep_until(tried.ended + decision.wait)) return stopping_error();
    }
}

}  // namespace datapunk::mesh::internal
