// Library and proxy decide alike: a trace of a million events (calls, how their attempts end,
// changes of membership, ticks) is replayed through mesh::CallRun and through proxy::serve_call,
// which are what both make their calls with, each over a ServicePolicies of its own, in virtual
// time. What they decided is compared one by one: picks, refusals, waits, retries, ejections,
// breakers.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/hash.h"
#include "core/rng.h"
#include "mesh/call_run.h"
#include "proxy/call_loop.h"

namespace datapunk::mesh {
namespace {

using policy::ServicePolicies;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kEventsMin = 1'000'000;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20261121;
}

// How an attempt ends, at an endpoint that is well or one that is not just then.
struct Fate {
    Outcome outcome = Outcome::success;
    int status = 0;  // of an answer
    Duration takes{};
    std::optional<Duration> retry_after{};
};

// Everything that happens, the decisions excepted.
struct Trace {
    struct Call {
        Duration apart{};  // since the one before ended
        Duration deadline{};
        bool idempotent = true;
        std::optional<std::uint64_t> hash{};
        CallPriority priority = CallPriority::normal;
    };

    Trace(std::size_t size, std::uint64_t seed) : luck_of_attempts(seed + 1) {
        core::Rng rng(seed);
        calls.reserve(size);
        for (std::size_t i = 0; i < size; ++i) {
            calls.push_back(
                {.apart = microseconds(200 + rng.below(3000)),
                 .deadline = rng.below(50) == 0 ? Duration(milliseconds(5)) : seconds(2),
                 .idempotent = rng.below(4) != 0,
                 .hash = rng.below(3) == 0 ? std::optional(rng.below(1000)) : std::nullopt,
                 .priority = static_cast<CallPriority>(rng.below(4))}
            );
        }
    }

    // The n-th attempt of all, at that endpoint, when one of ten (another every twenty seconds)
    // fails, and every eighth minute most do.
    Fate fate(std::uint64_t n, const std::string& endpoint, Instant now) const {
        core::Rng rng(luck_of_attempts + n * 0x9E3779B97F4A7C15ULL);
        const auto second = static_cast<std::uint64_t>(now.time_since_epoch() / seconds(1));
        const std::uint64_t who = core::hash64(endpoint) % 10;
        const bool is_outage = second / 60 % 8 == 7;
        const bool is_bad = who == second / 20 % 10 || (is_outage && who < 8);
        const Duration takes = microseconds(300 + rng.below(2000));
        const std::uint64_t luck = rng.below(100);
        if (luck >= (is_bad ? 70U : 10U)) {
            const int status = luck == 99 ? 429 : luck == 98 ? 404 : 200;
            return {.status = status, .takes = takes};
        }
        switch (rng.below(6)) {
            case 0:
                return {.outcome = Outcome::connect_failure, .takes = microseconds(100)};
            case 1:
                return {.outcome = Outcome::timeout, .takes = milliseconds(50)};
            case 2:
                return {.outcome = Outcome::reset, .takes = takes};
            case 3:
                return {.outcome = Outcome::refused_stream, .takes = takes};
            case 4:
                return {
                    .outcome = Outcome::server_error,
                    .status = 503,
                    .takes = takes,
                    .retry_after = milliseconds(rng.below(20))
                };
            default:
                return {.outcome = Outcome::server_error, .status = 500, .takes = takes};
        }
    }

    // Who is there in that second: some come and go, some are critical.
    EndpointSet set(std::uint64_t second) const {
        core::Rng rng(luck_of_attempts ^ second);
        EndpointSet set{.service = "api"};
        for (int i = 0; i < 12; ++i) {
            if (i >= 8 && rng.below(3) == 0) continue;
            set.endpoints.push_back(
                {.id = "e" + std::to_string(i),
                 .service = "api",
                 .host = "10.0.0." + std::to_string(i + 1),
                 .port = 80,
                 .weight = i % 3 == 0 ? 2U : 1U,
                 .health = rng.below(12) == 0 ? Health::critical : Health::passing}
            );
        }
        return set;
    }

    std::vector<Call> calls;
    std::uint64_t luck_of_attempts;
};

// What was decided, in the order in which it was.
class Log {
  public:
    void add(std::string_view what, std::uint64_t a, std::uint64_t b = 0) {
        entries.push_back({core::hash64(what), a, b});
    }

    std::vector<std::array<std::uint64_t, 3>> entries;
};

std::uint64_t ns(Instant time) {
    return static_cast<std::uint64_t>(time.time_since_epoch().count());
}

// One of the two: a service, its time, what it decided.
class Side {
  public:
    Side(const Trace& trace, const ServicePolicy& policy)
        : trace_(trace), service_("api", policy, test_seed()) {}

    virtual ~Side() = default;

    void replay() {
        for (const Trace::Call& call : trace_.calls) {
            pass(call.apart);
            ++events_;
            policy::CallState state(resilience::Deadline::in(now_, call.deadline));
            state.hash = call.hash;
            state.priority = call.priority;
            state.can_wait = true;
            make(call, state);
        }
        const policy::ServiceTotals totals = service_.totals();
        log_.add("attempts", totals.attempts, totals.retries);
        log_.add("refused retries", totals.retries_refused, totals.in_flight);
        for (const std::uint64_t count : totals.outcomes) log_.add("outcome", count);
        for (const std::uint64_t count : totals.refused) log_.add("refused", count);
        for (const auto& told : service_.decisions()) {
            log_.add(told.text, told.order, ns(told.when));
        }
        for (const auto& seen : service_.view(now_).endpoints) {
            log_.add(seen.id, seen.successes, seen.failures);
            log_.add(seen.ejected_for, static_cast<std::uint64_t>(seen.latency.count()));
        }
    }

    const Log& log() const { return log_; }

    std::size_t events() const { return events_; }

    ServicePolicies& service() { return service_; }

    std::size_t transitions = 0;
    std::size_t refusals = 0;

  protected:
    virtual void make(const Trace::Call& call, policy::CallState& state) = 0;

    // An attempt at that endpoint, which was picked just now.
    Fate meet(const ServiceEndpoint& endpoint, Instant deadline) {
        log_.add(endpoint.id, ns(now_));
        ++events_;
        Fate fate = trace_.fate(attempts_++, endpoint.id, now_);
        if (now_ + fate.takes > deadline) {
            fate = {.outcome = Outcome::timeout, .takes = deadline - now_};
        }
        pass(fate.takes);
        return fate;
    }

    void refused(const Error& error) {
        log_.add(error.what, ns(now_));
        ++refusals;
    }

    // Ticks and changes of membership are due at whole seconds.
    void pass(Duration time) {
        const Instant until = now_ + time;
        while (next_second_ <= until) {
            now_ = next_second_;
            next_second_ += seconds(1);
            const auto second = static_cast<std::uint64_t>(now_.time_since_epoch() / seconds(1));
            if (second % 5 == 0) {
                service_.update(trace_.set(second), now_);
                ++events_;
            }
            service_.tick(now_);
            ++events_;
            for (const auto& event : service_.drain_events()) {
                log_.add(event.endpoint + event.what + event.why, ns(event.when));
                ++transitions;
            }
        }
        now_ = until;
    }

    const Trace& trace_;
    ServicePolicies service_;
    Instant now_{seconds(999) + milliseconds(999)};
    Instant next_second_{seconds(1000)};
    Log log_;
    std::size_t events_ = 0;
    std::uint64_t attempts_ = 0;
};

// A place that is waited for never comes: calls come one after the other, so there is none to wait
// for.
std::optional<policy::NoEndpoint> no_place() {
    ADD_FAILURE() << "nobody has a place";
    return policy::NoEndpoint{};
}

class LibrarySide final : public Side, private internal::CallWorld {
  public:
    LibrarySide(const Trace& trace, const ServicePolicy& policy)
        : Side(trace, policy), hedger_(clock_) {}

  private:
    struct Clock final : io::ThreadClock {
        explicit Clock(const Instant& n) : time(n) {}

        Instant now() const override { return time; }

        void wait(std::unique_lock<std::mutex>&, std::condition_variable&, Instant) override {}

        const Instant& time;
    };

    io::ThreadClock& clock() override { return clock_; }

    internal::Hedger& hedger() override { return hedger_; }

    bool sleep_until(Instant until) override {
        pass(until - now_);
        return true;
    }

    std::optional<policy::NoEndpoint> wait_for_place(ServicePolicies&, policy::CallState&, Instant)
        override {
        return no_place();
    }

    bool is_stopping() override { return false; }

    void make(const Trace::Call& call, policy::CallState& state) override {
        const CallOptions options{.idempotent = call.idempotent};
        bool was_tried = false;
        const AttemptFunction function = [&](const ServiceEndpoint& endpoint,
                                             Attempt& attempt) -> Result<> {
            was_tried = true;
            const Fate fate = meet(endpoint, attempt.deadline());
            if (fate.retry_after) attempt.retry_after(*fate.retry_after);
            if (fate.status != 0) {
                attempt.answered(fate.status);
                return Ok{};
            }
            attempt.ended_as(fate.outcome);
            return Error{.code = Code::unavailable, .what = "no answer"};
        };
        const auto result = internal::CallRun(*this, service_, state, options, function).run();
        if (!result && !is_end_of_attempt(result.error())) {
            Error error = result.error();
            error.what = error.what.substr(0, error.what.find("; before: "));
            refused(error);
        }
        log_.add("call", state.attempts, static_cast<std::uint64_t>(was_tried));
    }

    static bool is_end_of_attempt(const Error& error) {
        return error.what.starts_with("no answer (");
    }

    Clock clock_{now_};
    internal::Hedger hedger_;
};

class ProxySide final : public Side, private proxy::CallSteps {
  public:
    using Side::Side;

  private:
    Instant now() const noexcept override { return now_; }

    bool has_left() const noexcept override { return false; }

    io::Task<std::optional<policy::NoEndpoint>> wait_for_place(policy::CallState&) override {
        co_return no_place();
    }

    io::Task<resilience::AttemptEnd> try_at(policy::CallState& call, policy::HeldEndpoint& at)
        override {
        was_tried_ = true;
        fate_ = meet(at.endpoint(), call.deadline.at());
        const resilience::AttemptEnd end{
            .outcome =
                fate_.status != 0 ? resilience::outcome_of_status(fate_.status) : fate_.outcome,
            .idempotent = idempotent_,
            .retry_after = fate_.retry_after,
            .status = static_cast<std::uint16_t>(fate_.status)
        };
        co_return end;
    }

    void note(const resilience::RetryDecision&) override {}

    io::Task<void> give_answer(policy::HeldEndpoint at) override {
        const Outcome ended = resilience::outcome_of_status(fate_.status);
        service_.finish_attempt(
            std::move(at), ended, now_, service_.judged(ended, fate_.status), is_overload(ended)
        );
        co_return;
    }

    io::Task<Dropped> drop_answer(const policy::HeldEndpoint&) override {
        const Outcome ended =
            fate_.status != 0 ? resilience::outcome_of_status(fate_.status) : fate_.outcome;
        Dropped said{.is_failure = {}, .is_overload = is_overload(ended)};
        if (fate_.status != 0) said.is_failure = service_.judged(ended, fate_.status);
        co_return said;
    }

    bool is_overload(Outcome ended) const {
        return resilience::tells_overload(ended, fate_.status, std::nullopt);
    }

    io::Task<bool> wait_for_turn(Instant turn) override {
        pass(turn - now_);
        co_return true;
    }

    io::Task<void> answer_without_endpoint(policy::NoEndpoint why) override {
        refused(service_.to_error(why, now_));
        co_return;
    }

    io::Task<void> answer_failure() override { co_return; }

    io::Task<bool> wait_before_retry(Duration wait) override {
        pass(wait);
        co_return true;
    }

    void make(const Trace::Call& call, policy::CallState& state) override {
        idempotent_ = call.idempotent;
        was_tried_ = false;
        io::TaskGroup group;
        group.spawn(proxy::serve_call(service_, state, *this));
        EXPECT_TRUE(group.empty()) << "nothing waits here";
        log_.add("call", state.attempts, static_cast<std::uint64_t>(was_tried_));
    }

    bool idempotent_ = true;
    bool was_tried_ = false;
    Fate fate_;
};

void expect_equal(const Log& a, const Log& b) {
    ASSERT_FALSE(a.entries.empty());
    for (std::size_t i = 0; i < std::min(a.entries.size(), b.entries.size()); ++i) {
        ASSERT_EQ(a.entries[i], b.entries[i]) << "decision " << i << ", seed " << test_seed();
    }
    ASSERT_EQ(a.entries.size(), b.entries.size());
}

TEST(Replay, AMillionEventsAreDecidedAlikeInLibraryAndProxy) {
    ServicePolicy policy{.balance = PeakEwma{}};
    policy.retry.on_statuses = {429};
    policy.retry.budget.ratio = 0.1;
    policy.outlier.base_ejection = seconds(5);
    policy.breaker.open_for = seconds(1);
    policy.breaker.open_max = seconds(6);
    policy.service_breaker.enabled = true;
    policy.service_breaker.failure_rate = 0.6;
    policy.service_breaker.open_for = seconds(1);
    policy.service_breaker.open_max = seconds(3);
    const Trace trace(520'000, test_seed());
    LibrarySide library(trace, policy);
    library.replay();
    ProxySide proxy(trace, policy);
    proxy.replay();
    EXPECT_GE(library.events(), kEventsMin);
    EXPECT_EQ(library.events(), proxy.events());
    // The trace has something of everything.
    EXPECT_GT(library.transitions, 100U);
    EXPECT_GT(library.refusals, 100U);
    EXPECT_GT(library.service().totals().retries, 10'000U);
    EXPECT_GT(library.service().totals().retries_refused, 100U);
    expect_equal(library.log(), proxy.log());
}

// Whatever balances: smaller, for each is the same code.
TEST(Replay, EveryAlgorithm) {
    const std::vector<BalanceConfig> all = {
        RoundRobin{}, LeastRequest{}, Random{}, RingHash{}, Maglev{}, Adaptive{}
    };
    const Trace trace(10'000, test_seed());
    for (const BalanceConfig& balance : all) {
        ServicePolicy policy{.balance = balance};
        policy.limits.requests = 100;
        LibrarySide library(trace, policy);
        library.replay();
        ProxySide proxy(trace, policy);
        proxy.replay();
        expect_equal(library.log(), proxy.log());
    }
}

// The test can fail: another seed of luck, other decisions.
TEST(Replay, AnotherTraceIsDecidedOtherwise) {
    const ServicePolicy policy;
    const Trace first(1'000, 1);
    const Trace second(1'000, 2);
    LibrarySide a(first, policy);
    ProxySide b(second, policy);
    a.replay();
    b.replay();
    EXPECT_NE(a.log().entries, b.log().entries);
}

}  // namespace
}  // namespace datapunk::mesh
