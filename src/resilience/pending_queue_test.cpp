#include "resilience/pending_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <memory>
#include <vector>

#include "core/rng.h"

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::milliseconds;

Instant at(std::int64_t ms) {
    return Instant(milliseconds(ms));
}

constexpr auto kEveryone = CallPriority::bulk;

PendingConfig config_of(std::uint32_t max, PendingOrder order = PendingOrder::fifo) {
    return {.max = max, .aging = milliseconds(200), .order = order};
}

TEST(PendingQueue, IsFirstInFirstOut) {
    PendingQueue queue;
    queue.configure(config_of(3));
    PendingCall a, b, c, late;
    EXPECT_EQ(queue.push(a, at(0)), nullptr);
    EXPECT_EQ(queue.push(b, at(0)), nullptr);
    EXPECT_EQ(queue.push(c, at(1)), nullptr);
    EXPECT_EQ(queue.push(late, at(2)), &late) << "full of others that are no worse";
    EXPECT_EQ(queue.pop(kEveryone, at(3), at(3)), &a);
    EXPECT_EQ(queue.push(late, at(3)), nullptr);
    EXPECT_EQ(queue.pop(kEveryone, at(3), at(3)), &b);
    queue.remove(c);
    EXPECT_EQ(queue.pop(kEveryone, at(3), at(3)), &late);
    EXPECT_EQ(queue.pop(kEveryone, at(3), at(3)), nullptr);
}

TEST(PendingQueue, AFullQueueGivesUpTheNewestOfTheLowestClass) {
    PendingQueue queue;
    queue.configure(config_of(3));
    PendingCall old_bulk, new_bulk, normal, low, high, critical;
    old_bulk.priority = new_bulk.priority = CallPriority::bulk;
    low.priority = CallPriority::low;
    high.priority = CallPriority::high;
    critical.priority = CallPriority::critical;
    queue.push(old_bulk, at(0));
    queue.push(new_bulk, at(1));
    queue.push(normal, at(2));
    EXPECT_EQ(queue.push(low, at(3)), &new_bulk);
    EXPECT_EQ(queue.push(high, at(4)), &old_bulk);
    EXPECT_EQ(queue.push(critical, at(5)), &low);
    EXPECT_EQ(queue.push(low, at(6)), &low);
    EXPECT_EQ(queue.size(), 3U);
}

TEST(PendingQueue, ABulkCallThatHasWaitedLongEnoughGoesBeforeACriticalOne) {
    PendingQueue queue;
    queue.configure(config_of(10));
    PendingCall bulk, before, after;
    bulk.priority = CallPriority::bulk;
    before.priority = after.priority = CallPriority::critical;
    queue.push(bulk, at(0));
    queue.push(before, at(799));
    queue.push(after, at(801));
    EXPECT_EQ(queue.pop(kEveryone, at(900), at(900)), &before);
    EXPECT_EQ(queue.pop(kEveryone, at(900), at(900)), &bulk);
    EXPECT_EQ(queue.pop(kEveryone, at(900), at(900)), &after);
}

TEST(PendingQueue, AClassThatIsKeptOutPassesOnceItIsOld) {
    PendingQueue queue;
    queue.configure(config_of(10));
    PendingCall low;
    low.priority = CallPriority::low;
    queue.push(low, at(10));
    EXPECT_EQ(queue.pop(CallPriority::normal, at(10), at(500)), nullptr);
    EXPECT_EQ(queue.pop(CallPriority::normal, at(11), at(501)), &low);
}

TEST(PendingQueue, AdaptiveLifoServesTheNewestOnlyWhileTheQueueDoesNotEmpty) {
    PendingQueue queue;
    queue.configure(config_of(10, PendingOrder::adaptive_lifo));
    PendingCall a, b, c, d;
    queue.push(a, at(0));
    queue.push(b, at(1));
    queue.push(c, at(2));
    EXPECT_EQ(queue.pop(kEveryone, at(0), at(100)), &a) << "not long enough for an overload";
    EXPECT_EQ(queue.pop(kEveryone, at(0), at(101)), &c);
    EXPECT_EQ(queue.pop(kEveryone, at(0), at(101)), &b);
    queue.push(c, at(200));
    queue.push(d, at(200));
    EXPECT_EQ(queue.pop(kEveryone, at(0), at(250)), &c) << "it has been empty in between";
}

// A naive model: a vector, searched.
struct Model {
    struct Entry {
        PendingCall* call;
        Instant since;
        CallPriority priority;
    };

    PendingConfig config;
    std::deque<Entry> entries;  // oldest first

    PendingCall* push(PendingCall& call, Instant now) {
        PendingCall* out = nullptr;
        if (entries.size() >= config.max) {
            auto worst = entries.end();
            for (auto i = entries.begin(); i != entries.end(); ++i) {
                if (worst == entries.end() || i->priority >= worst->priority) worst = i;
            }
            if (worst == entries.end() || worst->priority <= call.priority) return &call;
            out = worst->call;
            entries.erase(worst);
        }
        entries.push_back({&call, now, call.priority});
        return out;
    }

    PendingCall* pop(CallPriority lowest, Instant old) {
        auto best = entries.end();
        const auto rank = [&](const Entry& e) {
            return e.since + config.aging * static_cast<int>(e.priority);
        };
        for (auto i = entries.begin(); i != entries.end(); ++i) {
            if (i->priority > lowest && i->since >= old) continue;
            const bool is_better = best == entries.end() || rank(*i) < rank(*best) ||
                                   (rank(*i) == rank(*best) && i->priority < best->priority);
            if (is_better) best = i;
        }
        if (best == entries.end()) return nullptr;
        PendingCall* call = best->call;
        entries.erase(best);
        return call;
    }
};

TEST(PendingQueue, DoesWhatANaiveModelDoes) {
    const char* given = std::getenv("SEED");
    const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 20261121;
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    for (int round = 0; round < 50; ++round) {
        PendingQueue queue;
        Model model{.config = config_of(static_cast<std::uint32_t>(rng.below(12)))};
        queue.configure(model.config);
        std::vector<std::unique_ptr<PendingCall>> calls;
        std::int64_t ms = 0;
        for (int step = 0; step < 400; ++step) {
            ms += static_cast<std::int64_t>(rng.below(60));
            if (rng.chance(0.55)) {
                auto call = std::make_unique<PendingCall>();
                call->priority = static_cast<CallPriority>(rng.below(kPriorities));
                ASSERT_EQ(queue.push(*call, at(ms)), model.push(*call, at(ms)));
                calls.push_back(std::move(call));
            } else {
                const auto lowest = static_cast<CallPriority>(rng.below(kPriorities));
                const Instant old = at(ms - 300);
                ASSERT_EQ(queue.pop(lowest, old, at(ms)), model.pop(lowest, old));
            }
            ASSERT_EQ(queue.size(), model.entries.size());
            ASSERT_LE(queue.size(), model.config.max);
        }
        while (queue.pop(kEveryone, at(ms), at(ms)) != nullptr) {
        }
    }
}

}  // namespace
}  // namespace datapunk::mesh::resilience
