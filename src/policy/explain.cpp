// ServicePolicies: what is noted at each decision, in numbers, and made of it when somebody asks,
// in words.

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <tuple>
#include <unordered_map>

#include "balance/peak_ewma.h"
#include "core/strings.h"
#include "policy/service_policies.h"

namespace datapunk::mesh::policy {

namespace {

template <class Small>
Small capped(std::uint64_t value) noexcept {
    return static_cast<Small>(std::min<std::uint64_t>(value, std::numeric_limits<Small>::max()));
}

// What a refusal says of when the first endpoint may be asked again, in the place of a latency.
float ms_until(Instant then, Instant now) noexcept {
    if (then == kNever) return -1;
    if (then <= now) return 0;  // Instant::min() too: nobody waits
    return std::chrono::duration<float, std::milli>(then - now).count();
}

Instant when_again(const Decision& refusal) noexcept {
    const float wait_ms = refusal.latency_ms[0];
    if (wait_ms < 0) return kNever;
    const std::chrono::duration<double, std::milli> wait(wait_ms);
    return Instant(Duration(refusal.when_ns)) + std::chrono::duration_cast<Duration>(wait);
}

std::string in_words(Duration wait) {
    return core::format_duration(std::chrono::ceil<std::chrono::milliseconds>(wait));
}

}  // namespace

NoEndpoint ServicePolicies::note_refusal(
    Worker& worker, CallState& call, const NoEndpoint& why, Instant now
) const noexcept {
    if (call.number == 0) call.number = numbered(worker.index, worker.decisions.pushed() + 1);
    worker.decisions.push(
        {.when_ns = now.time_since_epoch().count(),
         .call = call.number,
         .kind = Decision::Kind::refusal,
         .attempt = capped<std::uint8_t>(call.attempts),
         .reason = static_cast<std::uint8_t>(why.reason),
         .known = why.known,
         .critical = capped<std::uint16_t>(why.critical),
         .tried = capped<std::uint8_t>(call.tried_count()),
         .cells = {why.ejected, why.open, why.in_flight, why.outside},
         .latency_ms = {ms_until(why.next_at, now)}}
    );
    return why;
}

// Who the numbered cells are. Those that have gone have no name any more.
struct ServicePolicies::Names {
    std::unordered_map<std::uint32_t, std::string> by_number;

    std::string of(std::uint32_t number) const {
        const auto found = by_number.find(number);
        return found == by_number.end() ? "one that has gone" : found->second;
    }
};

ServicePolicies::Names ServicePolicies::names() const {
    Names names;
    const std::lock_guard guard(mutex_);
    for (const auto* cells : {&cells_, &leaving_}) {
        for (const auto& cell : *cells) {
            names.by_number.emplace(
                cell->number(), fmt::format("{} ({})", cell->endpoint.id, cell->address)
            );
        }
    }
    return names;
}

namespace {

std::string load_text(float latency_ms, std::uint32_t in_flight) {
    if (latency_ms == 0) return fmt::format("{} in flight, no answer yet", in_flight);
    return fmt::format("{} in flight, {:.3g} ms", in_flight, latency_ms);
}

// "attempt 2: e2 (10.0.0.2:80), 0 in flight, 1.2 ms; rather than e1 (10.0.0.1:80), 3 in flight,
// 80 ms; of 12 known, 2 critical, 1 tried before"
template <class Names>
std::string pick_text(const Decision& noted, const Names& names) {
    std::string text = fmt::format("attempt {}: {}", noted.attempt, names.of(noted.picked));
    std::string others;
    for (std::size_t i = 0; i < noted.compared; ++i) {
        const std::string load = load_text(noted.latency_ms[i], noted.in_flight[i]);
        if (noted.cells[i] == noted.picked) {
            text += ", " + load;
        } else {
            others += others.empty() ? "; rather than " : " and ";
            others += fmt::format("{}, {}", names.of(noted.cells[i]), load);
        }
    }
    text += others;
    text += fmt::format("; of {} known", noted.known);
    if (noted.critical > 0) text += fmt::format(", {} critical", noted.critical);
    if (noted.tried > 0) text += fmt::format(", {} tried before", noted.tried);
    return text;
}

std::string refusal_text(const Decision& noted, std::string_view service) {
    const NoEndpoint why{
        .reason = static_cast<NoEndpoint::Reason>(noted.reason),
        .known = noted.known,
        .critical = noted.critical,
        .ejected = noted.cells[0],
        .open = noted.cells[1],
        .outside = noted.cells[3],
        .in_flight = noted.cells[2],
        .next_at = when_again(noted)
    };
    const Error error = to_error(why, service, Instant(Duration(noted.when_ns)));
    return fmt::format("refused after {} attempts: {}", noted.attempt, error.what);
}

// "after attempt 1 (timeout): retry in 12ms, 28.4 tokens left"
std::string retry_text(const Decision& noted) {
    const auto reason = static_cast<resilience::RetryReason>(noted.reason);
    const auto wait = std::uint64_t{noted.cells[1]} << 32U | noted.cells[0];
    std::string text = fmt::format(
        "after attempt {} ({}): ",
        noted.attempt,
        resilience::to_string(static_cast<resilience::Outcome>(noted.outcome))
    );
    if (reason == resilience::RetryReason::retry) {
        text += "retry in " + in_words(Duration(static_cast<std::int64_t>(wait)));
    } else {
        text += fmt::format("no other, {}", resilience::to_string(reason));
    }
    return text + fmt::format("; {:.1f} tokens in the retry budget", noted.tokens);
}

// "hedge of attempt 1 after 12ms: sent; 28.4 tokens in the retry budget"
std::string hedge_text(const Decision& noted) {
    const auto waited = std::uint64_t{noted.cells[1]} << 32U | noted.cells[0];
    return fmt::format(
        "hedge of attempt {} after {}: {}; {:.1f} tokens in the retry budget",
        noted.attempt,
        in_words(Duration(static_cast<std::int64_t>(waited))),
        to_string(static_cast<HedgeReason>(noted.reason)),
        noted.tokens
    );
}

}  // namespace

Decision ServicePolicies::decision_of(const HeldEndpoint& attempt) const noexcept {
    const Worker* worker =
        workers_.find(static_cast<std::uint32_t>(attempt.record_ >> kTicketBits) & kThreadMask);
    Decision noted;
    if (worker == nullptr || !worker->decisions.read(attempt.record_ & kTicketMask, noted)) {
        return {};
    }
    return noted;
}

std::string ServicePolicies::explain(const HeldEndpoint& attempt, Instant now) const {
    const Decision noted = decision_of(attempt);
    std::string text;
    if (noted.call != 0) {
        text = pick_text(noted, names());
    } else {
        text = fmt::format(
            "{} ({}), picked {} ago: the particulars have been overwritten since",
            attempt.endpoint().id,
            attempt.address(),
            in_words(now - attempt.begun())
        );
    }
    std::string left_out;
    for (const EndpointView& seen : view(now).endpoints) {
        std::string why;
        if (seen.ejected_until) {
            why = fmt::format(
                "ejected for {}, {} left", seen.ejected_for, in_words(*seen.ejected_until - now)
            );
        } else if (seen.breaker.state != resilience::BreakerState::closed) {
            why = fmt::format("breaker {}", resilience::to_string(seen.breaker.state));
        } else {
            continue;
        }
        left_out += fmt::format("{}{} ({})", left_out.empty() ? "" : ", ", seen.id, why);
    }
    if (!left_out.empty()) text += "; left out by now: " + left_out;
    return text;
}

namespace {

template <class Names>
std::string text_of(const Decision& noted, const Names& names, std::string_view service) {
    switch (noted.kind) {
        case Decision::Kind::pick:
            return pick_text(noted, names);
        case Decision::Kind::refusal:
            return refusal_text(noted, service);
        case Decision::Kind::retry:
            return retry_text(noted);
        case Decision::Kind::hedge:
            return hedge_text(noted);
    }
    return {};
}

}  // namespace

std::string ServicePolicies::describe(const Decision& decision) const {
    return text_of(decision, names(), name_);
}

std::vector<DecisionText> ServicePolicies::decisions() const {
    const Names names = this->names();
    std::vector<DecisionText> all;
    workers_.for_each([&](const Worker& worker) {
        worker.decisions.for_each([&](const Decision& noted) {
            DecisionText one{
                .when = Instant(Duration(noted.when_ns)), .call = noted.call, .order = all.size()
            };
            one.text = text_of(noted, names, name_);
            all.push_back(std::move(one));
        });
    });
    std::sort(all.begin(), all.end(), [](const DecisionText& a, const DecisionText& b) {
        return std::tie(a.when, a.order) < std::tie(b.when, b.order);
    });
    return all;
}

}  // namespace datapunk::mesh::policy
