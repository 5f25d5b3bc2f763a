// Rates that processes share, of each kind: many processes and one keeper, in virtual time.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "core/rng.h"
#include "resilience/rate_limit.h"
#include "resilience/test_keeper.h"

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20261122;
}

constexpr RateAlgorithm kAll[] = {
    RateAlgorithm::token_bucket, RateAlgorithm::leaky_bucket, RateAlgorithm::sliding_window
};

class Fleet {
  public:
    Fleet(std::size_t size, const RateLimitConfig& config, std::uint64_t seed)
        : config_(config), rng_(seed), processes_(size) {
        for (Process& process : processes_) {
            process.limit = std::make_unique<RateLimit>(config, true);
            process.next = now + milliseconds(1) + milliseconds(rng_.below(100));
        }
    }

    // In steps of 10 ms; `calls(process)`: how many it makes in this step.
    template <class Calls>
    void run(Duration time, Calls calls) {
        for (const Instant end = now + time; now < end; now += milliseconds(10)) {
            for (std::size_t i = 0; i < processes_.size(); ++i) {
                Process& process = processes_[i];
                if (process.next <= now) exchange(i, process);
                for (int n = calls(i); n > 0; --n) {
                    ++asked;
                    const RateDecision decided = process.limit->acquire(now, patience);
                    if (!decided.is_admitted) continue;
                    begun.push_back(now + decided.wait);
                    process.begun.push_back(now + decided.wait);
                }
            }
        }
    }

    void greedy(Duration time, int calls = 5) {
        run(time, [calls](std::size_t) { return calls; });
    }

    void change(const RateLimitConfig& config) {
        config_ = config;
        for (Process& process : processes_) {
            process.limit = std::make_unique<RateLimit>(config, true, process.limit.get(), now);
        }
    }

    // Most that have begun in an interval of that length.
    std::size_t most_in(Duration length) {
        std::sort(begun.begin(), begun.end());
        std::size_t most = 0;
        std::size_t first = 0;
        for (std::size_t last = 0; last < begun.size(); ++last) {
            while (begun[last] - begun[first] >= length) ++first;
            most = std::max(most, last - first + 1);
        }
        return most;
    }

    std::size_t begun_in(Instant from, Instant to) const {
        return static_cast<std::size_t>(std::count_if(begun.begin(), begun.end(), [=](Instant at) {
            return at >= from && at < to;
        }));
    }

    const std::vector<Instant>& begun_by(std::size_t i) const { return processes_[i].begun; }

    std::size_t size() const { return processes_.size(); }

    Instant now{seconds(1000)};
    Duration patience{};
    bool is_up = true;
    TestKeeper keeper;
    std::vector<Instant> begun;
    std::size_t asked = 0;

  private:
    struct Process {
        std::unique_ptr<RateLimit> limit{};
        Instant next{};
        std::vector<Instant> begun{};
    };

    void exchange(std::size_t i, Process& process) {
        process.next = now + milliseconds(50) + milliseconds(rng_.below(100));
        const std::string who = std::to_string(i);
        std::visit(
            [&](const auto& leased) {
                const auto ask = leased->ask(now);
                if (!is_up) return leased->failed(now);
                if constexpr (std::is_same_v<decltype(ask), const LeasedSlice::Ask>) {
                    if (ask.is_empty()) return leased->granted(0, 0, now);  // not sent
                } else {
                    if (ask.is_empty) return;
                }
                const auto granted = keeper.lease(who, leased->config(), ask, now);
                leased->granted(granted.tokens, granted.processes, now);
            },
            *process.limit->leased()
        );
    }

    RateLimitConfig config_;
    core::Rng rng_;
    std::vector<Process> processes_;
};

// The bound of the header, for any interval; a shared window's is exact.
double bound(const RateLimitConfig& config, std::size_t processes, Duration length) {
    const auto n = static_cast<double>(processes);
    const double rate = config.calls / std::chrono::duration<double>(config.per).count();
    const double two = std::max(1.0, rate / 5);
    const double named = config.burst == 0 ? config.calls : config.burst;
    const double passed = rate * std::chrono::duration<double>(length).count();
    switch (config.algorithm) {
        case RateAlgorithm::leaky_bucket:
            return passed + rate + two + std::max(two / 2, n) + std::max(named, n);
        case RateAlgorithm::sliding_window:
            return config.calls;
        case RateAlgorithm::token_bucket:
            break;
    }
    const double burst = std::max(named, two);
    return passed + rate + burst + std::max(burst / 2, n);
}

// Whatever they ask for and whenever: nobody, a few, all at once.
TEST(SharedRate, NeverExceedsTheBoundOfItsKind) {
    core::Rng rng(test_seed());
    for (const RateAlgorithm algorithm : kAll) {
        for (int round = 0; round < 8; ++round) {
            const RateLimitConfig config{
                .calls = static_cast<std::uint32_t>(20 + rng.below(200)),
                .per = seconds(1 + rng.below(5)),
                .algorithm = algorithm,
                .burst = static_cast<std::uint32_t>(rng.below(2) * (5 + rng.below(40)))
            };
            const std::size_t size = 1 + rng.below(12);
            Fleet fleet(size, config, rng());
            fleet.patience = milliseconds(rng.below(2) * 500);
            fleet.greedy(milliseconds(500));  // they get to know each other
            fleet.begun.clear();
            for (int phase = 0; phase < 8; ++phase) {
                const std::uint64_t busy = rng.below(3);
                const int calls = static_cast<int>(1 + rng.below(6));
                fleet.run(milliseconds(200 + rng.below(2500)), [&](std::size_t i) {
                    return busy == 0 || (busy == 1 && i != 0) ? 0 : calls;
                });
            }
            for (const Duration length :
                 {Duration(milliseconds(500)), config.per, 3 * config.per}) {
                if (algorithm == RateAlgorithm::sliding_window && length > config.per) continue;
                EXPECT_LE(
                    static_cast<double>(fleet.most_in(length)), bound(config, size, length) + 1
                ) << "kind "
                  << static_cast<int>(algorithm) << ", " << config.calls << " in "
                  << config.per / milliseconds(1) << " ms, burst " << config.burst << ", " << size
                  << " processes, seed " << test_seed();
            }
        }
    }
}

TEST(SharedRate, IsUsedUpByWhoeverAsks) {
    for (const RateAlgorithm algorithm : kAll) {
        for (const std::size_t size : {1U, 4U, 15U}) {
            Fleet fleet(
                size, {.calls = 200, .per = seconds(2), .algorithm = algorithm}, test_seed()
            );
            fleet.patience = milliseconds(300);
            fleet.greedy(seconds(5));
            const Instant from = fleet.now;
            fleet.greedy(seconds(20));
            const std::size_t all = fleet.begun_in(from, fleet.now);
            // Of a window so short a slice and an exchange are much.
            const bool is_window = algorithm == RateAlgorithm::sliding_window;
            EXPECT_GE(all, is_window ? 1600U : 1800U) << static_cast<int>(algorithm) << ' ' << size;
            // One that is busy among others that are not.
            fleet.run(seconds(12), [](std::size_t i) { return i == 0 ? 5 : 0; });
            const Instant alone = fleet.now;
            fleet.run(seconds(20), [](std::size_t i) { return i == 0 ? 5 : 0; });
            EXPECT_GE(fleet.begun_in(alone, fleet.now), is_window ? 1100U : 1800U)
                << static_cast<int>(algorithm) << ' ' << size;
        }
    }
}

TEST(SharedRate, WithoutAnswersEachHasItsPart) {
    for (const RateAlgorithm algorithm : kAll) {
        const RateLimitConfig config{.calls = 200, .per = seconds(2), .algorithm = algorithm};
        Fleet fleet(5, config, test_seed());
        fleet.greedy(seconds(5), 1);
        fleet.is_up = false;
        const Instant away = fleet.now;
        fleet.greedy(seconds(20), 1);
        const std::size_t all = fleet.begun_in(away + seconds(3), fleet.now);
        EXPECT_GE(all, 1500U) << static_cast<int>(algorithm);
        EXPECT_LE(all, 1800U) << static_cast<int>(algorithm);
        // The worst two seconds: nobody tells the others any more what has begun.
        EXPECT_LE(fleet.begun_in(away, away + seconds(2)), 400U);
        for (std::size_t i = 0; i < fleet.size(); ++i) {
            const auto& begun = fleet.begun_by(i);
            const auto own = std::count_if(begun.begin(), begun.end(), [&](Instant at) {
                return at >= away + seconds(3);
            });
            EXPECT_NEAR(static_cast<double>(own), 340, 60) << static_cast<int>(algorithm);
        }
        fleet.is_up = true;
        fleet.greedy(seconds(5), 1);
        const Instant back = fleet.now;
        fleet.greedy(seconds(10), 1);
        const std::size_t together = fleet.begun_in(back, fleet.now);
        EXPECT_GE(together, 780U);
        EXPECT_LE(together, 1100U);
    }
}

TEST(SharedRate, OfALeakyBucketNoTwoTurnsOfAProcessAreCloserThanAPeriod) {
    const RateLimitConfig config{
        .calls = 50, .per = seconds(1), .algorithm = RateAlgorithm::leaky_bucket, .burst = 20
    };
    Fleet fleet(4, config, test_seed());
    fleet.patience = seconds(1);
    core::Rng rng(test_seed());
    fleet.run(seconds(20), [&rng](std::size_t) { return rng.below(30) == 0 ? 10 : 0; });
    EXPECT_GE(fleet.begun.size(), 900U);
    for (std::size_t i = 0; i < fleet.size(); ++i) {
        const auto& begun = fleet.begun_by(i);
        for (std::size_t k = 1; k < begun.size(); ++k) {
            ASSERT_GE(begun[k] - begun[k - 1], milliseconds(20)) << i << ' ' << k;
        }
    }
}

// A policy that changes everywhere at once is no way to a burst for each process.
TEST(SharedRate, AChangedOneGoesOnFromWhatTheOldOneHadLeft) {
    for (const RateAlgorithm algorithm : kAll) {
        for (const std::uint32_t calls : {50U, 400U}) {
            RateLimitConfig config{.calls = 200, .per = seconds(2), .algorithm = algorithm};
            Fleet fleet(10, config, test_seed());
            fleet.greedy(seconds(6));
            config.calls = calls;
            const Instant changed = fleet.now;
            for (int again = 0; again < 10; ++again) {  // and there and back
                fleet.change(config);
                config.burst = config.burst == 0 ? 30 : 0;
            }
            fleet.greedy(seconds(1));
            const double rate = calls / 2.0;
            // What is granted in a second, and what ten slices had in hand.
            const double most = algorithm == RateAlgorithm::sliding_window ? calls : rate + 30 + 10;
            EXPECT_LE(static_cast<double>(fleet.begun_in(changed, changed + seconds(1))), most + 30)
                << static_cast<int>(algorithm) << ' ' << calls;
            const Instant later = fleet.now;
            fleet.greedy(seconds(10));
            const double all = static_cast<double>(fleet.begun_in(later, fleet.now));
            EXPECT_GE(all, 8 * rate) << static_cast<int>(algorithm) << ' ' << calls;
            EXPECT_LE(all, 10 * rate + calls) << static_cast<int>(algorithm) << ' ' << calls;
        }
    }
}

TEST(SharedRate, OneThatBecomesSharedOrEndsToBeGoesOnFromWhatIsLeft) {
    const Instant now{seconds(50)};
    for (const RateAlgorithm algorithm : kAll) {
        const RateLimitConfig config{.calls = 100, .per = seconds(10), .algorithm = algorithm};
        RateLimit own(config);
        while (own.acquire(now, seconds(60)).is_admitted) {
        }
        RateLimit shared(config, true, &own, now);
        EXPECT_FALSE(shared.acquire(now, {}).is_admitted) << static_cast<int>(algorithm);
        RateLimit again(config, false, &shared, now);
        EXPECT_FALSE(again.acquire(now, {}).is_admitted) << static_cast<int>(algorithm);
        EXPECT_TRUE(again.acquire(now + seconds(12), {}).is_admitted);
    }
}

}  // namespace
}  // namespace datapunk::mesh::resilience
