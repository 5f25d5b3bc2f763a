// A chain of services in which each hop calls the next under its own policies, and what the last
// one calls is down: how much of the load arrives there. Event by event in virtual time.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <queue>
#include <vector>

#include "policy/service_policies.h"
#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kDepth = 5;
constexpr Duration kNeverAnswers = Duration::max();

class Events {
  public:
    Instant now{};

    void at(Instant when, std::function<void()> what) {
        queue_.push({.when = std::max(when, now), .order = ++order_, .what = std::move(what)});
    }

    void run() {
        while (!queue_.empty()) {
            const Event next = queue_.top();
            queue_.pop();
            now = next.when;
            next.what();
        }
    }

  private:
    struct Event {
        Instant when;
        std::uint64_t order;
        std::function<void()> what;

        bool operator<(const Event& other) const {  // the earliest is the top
            return std::pair(other.when, other.order) < std::pair(when, order);
        }
    };

    std::priority_queue<Event> queue_;
    std::uint64_t order_ = 0;
};

// hops[i] calls hop i + 1; the last of them calls the service that is down.
class Chain {
  public:
    using Done = std::function<void(Outcome)>;

    Chain(const ServicePolicy& policy, Duration refuses_after) : refuses_after_(refuses_after) {
        for (std::size_t i = 0; i < kDepth; ++i) {
            hops_[i] = std::make_unique<ServicePolicies>("hop", policy, i + 1);
            hops_[i]->update(test_set(5), Instant{});
        }
    }

    // Calls come in at the first hop, 100 a second, a minute of them unless told otherwise. What
    // arrives at the end, for each.
    double load_factor(int calls = 6'000) {
        for (int i = 0; i < calls; ++i) {
            events_.at(at(milliseconds(i * 10)), [this] {
                call(0, events_.now + seconds(15), [](Outcome) {});
            });
        }
        events_.run();
        for (const auto& hop : hops_) EXPECT_EQ(hop->totals().in_flight, 0U);
        return static_cast<double>(arrived_) / calls;
    }

    bool tells_time_left = true;

  private:
    struct Call {
        std::size_t hop;
        CallState state;
        Done done;
    };

    // Somebody who waits until `deadline` calls hop `i`.
    void call(std::size_t i, Instant deadline, Done done) {
        if (i < kDepth) {
            attempt(std::make_shared<Call>(
                Call{.hop = i, .state = CallState(resilience::Deadline(deadline)), .done = done}
            ));
            return;
        }
        ++arrived_;
        if (refuses_after_ == kNeverAnswers) return;
        events_.at(events_.now + refuses_after_, [done] { done(Outcome::server_error); });
    }

    void attempt(const std::shared_ptr<Call>& call) {
        ServicePolicies& policies = *hops_[call->hop];
        auto begun = policies.begin_attempt(call->state, events_.now);
        if (std::holds_alternative<NoEndpoint>(begun)) return call->done(Outcome::server_error);
        auto held =
            std::make_shared<std::optional<HeldEndpoint>>(std::move(std::get<HeldEndpoint>(begun)));
        const Instant deadline = call->state.deadline.at();
        const auto ended = [this, call, held](Outcome outcome) {
            if (!held->has_value()) return;  // the other of timeout and answer came first
            finish(call, *std::exchange(*held, std::nullopt), outcome);
        };
        events_.at(deadline, [ended] { ended(Outcome::timeout); });
        // Without the header the next hop gives itself all the time that its own policy allows.
        const Instant told = tells_time_left ? deadline : events_.now + policies.policy()->deadline;
        this->call(call->hop + 1, told, ended);
    }

    void finish(const std::shared_ptr<Call>& call, HeldEndpoint held, Outcome outcome) {
        ServicePolicies& policies = *hops_[call->hop];
        policies.finish_attempt(std::move(held), outcome, events_.now);
        const auto again = policies.after_attempt(
            call->state, {.outcome = outcome, .idempotent = true}, events_.now
        );
        if (!again) return call->done(outcome);
        events_.at(events_.now + again.wait, [this, call] { attempt(call); });
    }

    Events events_;
    std::array<std::unique_ptr<ServicePolicies>, kDepth> hops_;
    std::uint64_t arrived_ = 0;
    Duration refuses_after_;
};

ServicePolicy without_breakers() {
    ServicePolicy policy;
    policy.breaker.enabled = false;
    policy.outlier.enabled = false;
    return policy;
}

TEST(Chain, FiveHopsUnderTheDefaultsDoNotMultiplyAnOutageThatRefuses) {
    Chain chain({}, milliseconds(1));
    const double factor = chain.load_factor();
    RecordProperty("factor", std::to_string(factor));
    EXPECT_LE(factor, 1.2);
}

TEST(Chain, FiveHopsUnderTheDefaultsDoNotMultiplyAnOutageThatHangs) {
    Chain chain({}, kNeverAnswers);
    EXPECT_LE(chain.load_factor(), 1.2);
}

TEST(Chain, BudgetsAloneBoundEachHopAndSoTheProduct) {
    Chain chain(without_breakers(), milliseconds(1));
    const double factor = chain.load_factor();
    EXPECT_GT(factor, 1.2);  // it takes the breakers to stay below
    // A fifth of its calls at each hop, its 3 a second and a window's reserve of them.
    double most = 1;
    for (std::size_t i = 0; i < kDepth; ++i) most = most * 1.2 + (3 * 60 + 3 * 10) / 6'000.0;
    EXPECT_LE(factor, most);
}

TEST(Chain, WithoutABudgetFiveHopsMultiplyIt) {
    ServicePolicy policy = without_breakers();
    policy.retry.budget = {.ratio = 10, .min_per_second = 1000};
    Chain chain(policy, milliseconds(1));
    EXPECT_GT(chain.load_factor(300), 200);  // 3^5 = 243, but for what no longer fits the deadline
}

TEST(Chain, WithoutTheDeadlineHeaderHopsGoOnWorkingForNobody) {
    ServicePolicy policy = without_breakers();
    policy.retry.budget = {.ratio = 10, .min_per_second = 1000};
    policy.limits.requests = 1'000'000;
    constexpr int kCalls = 300;
    // The end refuses after four seconds: a caller who waits fifteen can have it try four times.
    Chain told(policy, seconds(4));
    EXPECT_LE(told.load_factor(kCalls), 4);
    Chain untold(policy, seconds(4));
    untold.tells_time_left = false;
    EXPECT_GE(untold.load_factor(kCalls), 5.5);
}

}  // namespace
}  // namespace datapunk::mesh::policy
