// AdaptiveLimiter against a queueing server in virtual time: a server with so many workers and one
// queue, and callers who come at random (or in bursts) and are refused while the limit is reached.

#include "resilience/adaptive_limit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <queue>
#include <string>
#include <vector>

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

double in_ms(Duration duration) {
    return std::chrono::duration<double, std::milli>(duration).count();
}

// What a stretch of a run has come to.
struct Summary {
    double calls_per_second = 0;  // answered
    double latency_ms = 0;        // mean
    double limit = 0;             // mean
    double limit_min = 1e9;
    double limit_max = 0;
};

class Simulation {
  public:
    struct Client {
        Client(AdaptiveLimit kind, std::uint32_t min, std::uint64_t seed)
            : limiter(kind, min, 1000, seed) {}

        AdaptiveLimiter limiter;
        std::uint32_t in_flight = 0;
        LimitWindow window;
        Instant window_from{};
    };

    Simulation(AdaptiveLimit kind, std::uint32_t workers, std::uint32_t min = 4, int clients = 1)
        : workers_(workers) {
        for (int i = 0; i < clients; ++i) {
            clients_.emplace_back(kind, min, static_cast<std::uint64_t>(i) + 1);
        }
    }

    double service_ms = 10;               // mean, exponential
    double added_ms = 0;                  // without occupying a worker
    std::function<double(Instant)> rate;  // of all clients, calls a second
    bool fails = false;                   // every call times out after a second
    AdaptiveLimiter& limiter() { return clients_.front().limiter; }

    Summary run(Duration how_long) {
        const Instant end = now_ + how_long;
        answered_ = 0;
        latency_sum_ = 0;
        Summary summary;
        double limits = 0;
        int samples = 0;
        Instant next_arrival = now_;
        Instant next_look = now_;
        while (now_ < end) {
            const Instant next_done = done_.empty() ? Instant::max() : done_.top().at;
            now_ = std::min({next_arrival, next_done, next_look, end});
            if (now_ == next_look) {
                next_look = now_ + milliseconds(10);
                for (Client& client : clients_) look(client);
                const double limit = limiter().limit();
                limits += limit;
                ++samples;
                summary.limit_min = std::min(summary.limit_min, limit);
                summary.limit_max = std::max(summary.limit_max, limit);
            }
            if (now_ == next_done) {
                finish(done_.top());
            } else if (now_ == next_arrival) {
                const double per_second = rate(now_);
                const double wait = per_second > 0 ? -std::log(1 - rng_.unit()) / per_second : 0.01;
                if (per_second > 0) arrive();
                next_arrival = now_ + Duration(std::max<std::int64_t>(1, std::llround(wait * 1e9)));
            }
        }
        summary.calls_per_second = answered_ / std::chrono::duration<double>(how_long).count();
        summary.latency_ms = answered_ == 0 ? 0 : latency_sum_ / answered_;
        summary.limit = limits / samples;
        return summary;
    }

    double capacity() const { return workers_ * 1000 / service_ms; }

  private:
    struct Call {
        Instant at;  // of its end, once known
        Instant since;
        std::size_t client;
        bool failed;
        bool has_worker;

        bool operator>(const Call& other) const { return at > other.at; }
    };

    void arrive() {
        const std::size_t i = rng_.below(clients_.size());
        Client& client = clients_[i];
        if (client.in_flight >= client.limiter.limit()) {
            client.window.was_limited = true;
            return;
        }
        ++client.in_flight;
        Call call{.at = {}, .since = now_, .client = i, .failed = fails, .has_worker = false};
        if (fails) {
            call.at = now_ + seconds(1);
            done_.push(call);
        } else if (busy_ < workers_) {
            start(call);
        } else {
            queue_.push_back(call);
        }
    }

    void start(Call call) {
        ++busy_;
        call.has_worker = true;
        const double took = -std::log(1 - rng_.unit()) * service_ms;
        call.at = now_ + Duration(std::llround(took * 1e6));
        done_.push(call);
    }

    void finish(Call call) {
        done_.pop();
        if (call.has_worker) {
            --busy_;
            if (!queue_.empty()) {
                const Call next = queue_.front();
                queue_.pop_front();
                start(next);
            }
            if (added_ms > 0) {
                call.has_worker = false;
                call.at = now_ + Duration(std::llround(added_ms * 1e6));
                done_.push(call);
                return;
            }
        }
        Client& client = clients_[call.client];
        --client.in_flight;
        if (call.failed) {
            ++client.window.dropped;
            return;
        }
        ++client.window.answers;
        client.window.latency_sum += now_ - call.since;
        ++answered_;
        latency_sum_ += in_ms(now_ - call.since);
    }

    void look(Client& client) {
        client.window.length = now_ - client.window_from;
        if (client.window.length < client.limiter.window()) return;
        if (!client.limiter.on_window(client.window)) return;
        client.window = {};
        client.window_from = now_;
    }

    const std::uint32_t workers_;
    core::Rng rng_{42};
    std::deque<Client> clients_;
    Instant now_{};
    std::uint32_t busy_ = 0;
    std::deque<Call> queue_;
    std::priority_queue<Call, std::vector<Call>, std::greater<>> done_;
    double answered_ = 0;
    double latency_sum_ = 0;
};

std::function<double(Instant)> steady(double per_second) {
    return [per_second](Instant) { return per_second; };
}

class Adaptive : public testing::TestWithParam<AdaptiveLimit> {};

INSTANTIATE_TEST_SUITE_P(
    Kinds,
    Adaptive,
    testing::Values(AdaptiveLimit::gradient, AdaptiveLimit::vegas),
    [](const auto& kind) {
        return kind.param == AdaptiveLimit::gradient ? std::string("gradient")
                                                     : std::string("vegas");
    }
);

TEST_P(Adaptive, FindsWhatServersOfAnySizeCanTake) {
    for (const std::uint32_t workers : {1U, 2U, 10U, 50U, 200U}) {
        SCOPED_TRACE(workers);
        Simulation sim(GetParam(), workers, 1);
        sim.rate = steady(2 * sim.capacity());
        sim.run(seconds(workers > 50 ? 30 : 90));
        const Summary found = sim.run(seconds(workers > 50 ? 30 : 90));
        // 200 workers are not quite found within a minute.
        EXPECT_GE(found.calls_per_second, (workers > 50 ? 0.8 : 0.93) * sim.capacity());
        // Without a limit half of the calls would time out. The queue that is kept is short.
        const double queue = found.latency_ms / sim.service_ms;
        EXPECT_LE(queue, workers >= 10 ? 3 : 8);
        EXPECT_LE(found.limit, 3 * workers + 10);
    }
}

TEST_P(Adaptive, GoesBelowItsFirstLimitAndNotBelowTheLeast) {
    Simulation sim(GetParam(), 2, 4);
    sim.rate = steady(10 * sim.capacity());
    sim.run(minutes(3));
    const Summary found = sim.run(minutes(2));
    EXPECT_LT(found.limit, AdaptiveLimiter::kInitial);
    EXPECT_GE(found.limit_max, 4);
}

TEST_P(Adaptive, DoesNotGrowWhileHardlyUsed) {
    Simulation sim(GetParam(), 100);
    sim.rate = steady(500);  // five of a hundred workers
    const Summary quiet = sim.run(minutes(5));
    EXPECT_LE(quiet.limit_max, 1.5 * AdaptiveLimiter::kInitial);
    EXPECT_GE(quiet.limit_min, 5) << "and refuses nothing";
    EXPECT_NEAR(quiet.calls_per_second, 500, 15);
}

TEST_P(Adaptive, AQuietHourDecidesNothing) {
    Simulation sim(GetParam(), 10);
    sim.rate = steady(2 * sim.capacity());
    sim.run(seconds(60));
    sim.rate = steady(0.2);
    sim.run(seconds(20));
    const std::uint32_t before = sim.limiter().limit();
    sim.run(std::chrono::hours(1));
    EXPECT_EQ(sim.limiter().limit(), before);
}

TEST_P(Adaptive, BurstsDoNotCollapseTheLimit) {
    Simulation sim(GetParam(), 20);
    // Ten times the capacity for 50 ms of every second, 60 % in between.
    sim.rate = [&](Instant now) {
        const bool is_burst = now.time_since_epoch() % seconds(1) < milliseconds(50);
        return sim.capacity() * (is_burst ? 10 : 0.6);
    };
    sim.run(seconds(60));
    const Summary found = sim.run(minutes(2));
    EXPECT_GE(found.limit, 20);
    EXPECT_GE(found.calls_per_second, 0.6 * sim.capacity());
}

// The trap of a long average: under steady overload the queue becomes the normal state.
TEST_P(Adaptive, TheBaselineDoesNotDriftUnderSteadyOverload) {
    Simulation sim(GetParam(), 10);
    sim.rate = steady(2 * sim.capacity());
    sim.run(seconds(60));
    const Summary early = sim.run(minutes(2));
    sim.run(minutes(15));
    const Summary late = sim.run(minutes(2));
    EXPECT_LE(late.latency_ms, 1.25 * early.latency_ms);
    EXPECT_LE(in_ms(sim.limiter().base()), 1.6 * sim.service_ms);
}

// The trap of the least latency ever seen: a service that is slower from now on is taken for one
// with a queue, and starved.
TEST_P(Adaptive, AServiceThatHasBecomeSlowerIsNotStarved) {
    Simulation sim(GetParam(), 20);
    sim.rate = steady(5'000);
    sim.run(minutes(1));
    sim.service_ms = 60;
    sim.run(seconds(90));
    const Summary slower = sim.run(minutes(2));
    EXPECT_GE(slower.calls_per_second, 0.9 * sim.capacity());
    sim.service_ms = 10;
    sim.run(seconds(60));
    const Summary again = sim.run(minutes(1));
    EXPECT_GE(again.calls_per_second, 0.9 * sim.capacity());
    EXPECT_LE(again.latency_ms, 2.5 * sim.service_ms);
}

// The same where the time is not spent at the service: a dependency that answers later.
TEST_P(Adaptive, ADependencyThatIsSlowerNeedsMoreCallsInFlightAndGetsThem) {
    Simulation sim(GetParam(), 20);
    sim.rate = steady(1.5 * sim.capacity());
    sim.run(minutes(1));
    sim.added_ms = 50;
    sim.run(minutes(2));
    const Summary found = sim.run(minutes(2));
    EXPECT_GE(found.calls_per_second, 0.85 * sim.capacity());
}

TEST_P(Adaptive, AnOutageDoesNotLeaveTheLimitAtTheBottom) {
    Simulation sim(GetParam(), 50);
    sim.rate = steady(1.5 * sim.capacity());
    sim.run(minutes(1));
    sim.fails = true;
    const Summary out = sim.run(seconds(30));
    EXPECT_LE(out.limit_min, 5) << "nobody needs more than a few calls to see that it is down";
    sim.fails = false;
    sim.run(seconds(15));
    const Summary back = sim.run(seconds(30));
    EXPECT_GE(back.calls_per_second, 0.9 * sim.capacity());
}

TEST_P(Adaptive, FastFailuresAreNotTakenForSpeed) {
    AdaptiveLimiter limiter(GetParam(), 4, 1000, 1);
    for (int i = 0; i < 100; ++i) {
        // Of each window's calls a half failed at once: not among the answers.
        ASSERT_TRUE(limiter.on_window(
            {.length = milliseconds(100),
             .answers = 100,
             .latency_sum = milliseconds(10) * 100,
             .dropped = 0,
             .was_limited = true}
        ));
    }
    EXPECT_EQ(limiter.base(), milliseconds(10));
}

// What gradient cannot do: one caller's share tells it nothing about the queue of all.
TEST(AdaptiveVegas, SeveralCallersShareAndDoNotPushEachOtherOut) {
    Simulation sim(AdaptiveLimit::vegas, 40, 4, 4);
    sim.rate = steady(2 * sim.capacity());
    sim.run(minutes(6));
    const Summary found = sim.run(minutes(2));
    EXPECT_GE(found.calls_per_second, 0.93 * sim.capacity());
    EXPECT_LE(found.latency_ms, 3.5 * sim.service_ms);
    EXPECT_GE(found.limit, 40.0 / 4 / 3) << "of the first of the four";
}

TEST(AdaptiveLimiter, StaysWithinItsBoundsWhateverItIsFed) {
    core::Rng rng(7);
    for (int run = 0; run < 200; ++run) {
        const auto min = static_cast<std::uint32_t>(1 + rng.below(50));
        const auto max = static_cast<std::uint32_t>(min + rng.below(2000));
        const auto kind = rng.chance(0.5) ? AdaptiveLimit::gradient : AdaptiveLimit::vegas;
        AdaptiveLimiter limiter(kind, min, max, rng());
        for (int i = 0; i < 300; ++i) {
            const LimitWindow window{
                .length = Duration(static_cast<std::int64_t>(1 + rng.below(20'000'000'000U))),
                .answers = rng.below(5000),
                .latency_sum = Duration(static_cast<std::int64_t>(rng.below(1'000'000'000'000U))),
                .dropped = rng.chance(0.3) ? rng.below(5000) : 0,
                .was_limited = rng.chance(0.5)
            };
            (void)limiter.on_window(window);
            ASSERT_LE(limiter.limit(), max);
            ASSERT_GE(limiter.limit(), 1U) << "a probe may go below the least";
            ASSERT_GE(limiter.window(), AdaptiveLimiter::kWindowMin);
            ASSERT_LE(limiter.window(), AdaptiveLimiter::kWindowMax);
        }
    }
}

}  // namespace
}  // namespace datapunk::mesh::resilience
