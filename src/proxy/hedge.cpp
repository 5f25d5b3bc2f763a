// Hedging: an attempt that takes long is repeated at another endpoint while it is still out. The
// second attempt is an Exchange of its own up to the head of its answer: its own upstream, answer
// and buffers, the same request. Who has a good answer first gives it; the other one's task is
// destroyed, and with its upstream its connection (HTTP/1.1) or stream (RST_STREAM).

#include <utility>

#include "proxy/exchange.h"
#include "proxy/proxy.h"

namespace datapunk::mesh::proxy {

using resilience::Outcome;

Exchange::Exchange(const Exchange& first, ExchangeBuffers& buffers)
    : proxy_(first.proxy_),
      listener_(first.listener_),
      caller_(first.caller_),
      buffers_(buffers),
      request_(first.request_),
      answer_(buffers.answer),
      service_(first.service_),
      upstream_state_(first.upstream_state_),
      started_(first.started_),
      deadline_(first.deadline_),
      target_(first.target_),
      starts_trace_(first.starts_trace_),
      request_pace_(first.request_pace_),
      answer_pace_(first.answer_pace_),
      wake_(first.proxy_.loop()),
      is_hedge_(true) {
    buffers_.from = first.buffers_.from;
    buffers_.traceparent = first.buffers_.traceparent;
    buffers_.request_body = first.buffers_.request_body;
}

// What of it is known when the attempt has ended, before anything is sent on.
resilience::AttemptEnd Exchange::end_of(const AttemptResult& result) const {
    return {
        .outcome = result.outcome,
        // Naming a gRPC status says that such calls may be sent again.
        .idempotent = is_idempotent(request_.method) || result.verdict.value_or(false),
        .replayable = body_is_whole_ || !result.sent,
        .user_verdict = result.verdict,
        .retry_after = result.retry_after,
        .status = result.has_answer ? static_cast<std::uint16_t>(answer_.status) : std::uint16_t{0},
        .has_named_header = result.has_named_header
    };
}

bool Exchange::is_good(const AttemptResult& result) const {
    return result.has_answer &&
           resilience::is_good_answer(service_->policy()->retry, end_of(result));
}

std::optional<Duration> Exchange::hedge_after(const policy::CallState& call) const {
    const bool may_repeat =
        body_is_whole_ && !is_grpc_ && upgrade_.empty() && is_idempotent(request_.method);
    return service_->hedge_after(call, may_repeat, deadline_ - now());
}

// As attempt(); `at` is the endpoint that answered.
io::Task<Exchange::AttemptResult> Exchange::hedged_attempt(
    policy::CallState& call, policy::HeldEndpoint& at, Duration delay
) {
    Race race(proxy_.loop());
    race.first.spawn(attempt_into(at, race.firsts, race.ended));
    co_await race.ended.wait(now() + delay);
    if (!race.firsts && !client_gone_) {
        auto begun = service_->begin_hedge(call, at, now());
        if (auto* second = std::get_if<policy::HeldEndpoint>(&begun)) {
            AttemptResult result = co_await run_race(race, at, std::move(*second));
            co_return result;
        }
    }
    while (!race.firsts) {
        race.ended.clear();
        co_await race.ended.wait(kNever);
    }
    co_return *std::move(race.firsts);
}

io::Task<void> Exchange::attempt_into(
    const policy::HeldEndpoint& at, std::optional<AttemptResult>& out, io::Event& ended
) {
    AttemptResult result = co_await attempt(at);
    out.emplace(std::move(result));
    ended.set();
}

io::Task<Exchange::AttemptResult> Exchange::run_race(
    Race& race, policy::HeldEndpoint& at, policy::HeldEndpoint other_at
) {
    if (!hedge_buffers_) hedge_buffers_.emplace(proxy_.shelf());
    Exchange second(*this, **hedge_buffers_);
    hedge_ = &second;
    std::optional<AttemptResult> seconds;
    io::TaskGroup running;
    running.spawn(second.attempt_into(other_at, seconds, race.ended));
    const auto is_decided = [&] {
        return (race.firsts && is_good(*race.firsts)) || (seconds && second.is_good(*seconds)) ||
               (race.firsts && seconds);
    };
    while (!is_decided()) {
        race.ended.clear();
        co_await race.ended.wait(kNever);
    }
    hedge_ = nullptr;
    const bool first_answers = race.firsts && is_good(*race.firsts);
    const bool second_answers = !first_answers && seconds && second.is_good(*seconds);
    // If neither did: an answer, however bad, is more than none.
    const bool takes_second =
        second_answers || (!first_answers && !race.firsts->has_answer && seconds->has_answer);
    if (second_answers) {
        service_->count_hedge(policy::HedgeEnd::won);
    } else {
        service_->count_hedge(seconds ? policy::HedgeEnd::failed : policy::HedgeEnd::lost);
    }
    AttemptResult result;
    if (takes_second) {
        race.first.cancel();
        finish_beaten(std::move(at), race.firsts);
        drop_upstream();
        upstream_ = std::move(second.upstream_);
        std::swap(answer_, second.answer_);
        answered_at_ = second.answered_at_;
        attempt_deadline_ = second.attempt_deadline_;
        speaks_http2_ = second.speaks_http2_;
        at = std::move(other_at);
        result = *std::move(seconds);
    } else {
        running.cancel();
        second.finish_beaten(std::move(other_at), seconds);
        second.drop_upstream();
        result = *std::move(race.firsts);
    }
    co_return result;
}

// The one whose answer is not given: cancelled, unless it had ended by itself.
void Exchange::finish_beaten(policy::HeldEndpoint at, const std::optional<AttemptResult>& ended) {
    const bool has_answer = ended && ended->has_answer;
    service_->finish_attempt(
        std::move(at),
        ended ? ended->outcome : Outcome::cancelled,
        has_answer ? answered_at_ : now(),
        has_answer ? judged(ended->outcome, answer_.status) : std::nullopt,
        ended && tells_overload(ended->outcome, has_answer)
    );
}

}  // namespace datapunk::mesh::proxy
