#include "core/epoch.h"

#include <gtest/gtest.h>

#include <latch>
#include <memory>
#include <optional>
#include <set>
#include <thread>

namespace datapunk::mesh::core {
namespace {

TEST(Epoch, KeepsWhatAReaderInsideMayHaveSeen) {
    RetiredList retired;
    bool destroyed = false;
    std::optional<EpochGuard> reader(std::in_place);
    retired.add([&] { destroyed = true; });
    EXPECT_EQ(retired.collect(), 0U);
    EXPECT_FALSE(destroyed);
    reader.reset();
    EXPECT_EQ(retired.collect(), 1U);
    EXPECT_TRUE(destroyed);
    EXPECT_EQ(retired.size(), 0U);
}

TEST(Epoch, AReaderThatCameLaterDoesNotKeepIt) {
    RetiredList retired;
    bool destroyed = false;
    retired.add([&] { destroyed = true; });
    const EpochGuard late;
    retired.collect();
    EXPECT_TRUE(destroyed);
}

TEST(Epoch, NestedGuardsEndWithTheOutermost) {
    RetiredList retired;
    std::optional<EpochGuard> outer(std::in_place);
    {
        const EpochGuard inner;
    }
    retired.add([] {});
    EXPECT_EQ(retired.collect(), 0U);
    outer.reset();
    EXPECT_EQ(retired.collect(), 1U);
}

TEST(Epoch, FreesTheOlderWhileAReaderHoldsTheNewer) {
    RetiredList retired;
    retired.add([] {});
    const EpochGuard reader;
    retired.add([] {});
    EXPECT_EQ(retired.collect(), 1U);
    EXPECT_EQ(retired.size(), 1U);
}

TEST(Epoch, DestroysTheRestWithTheList) {
    int destroyed = 0;
    {
        RetiredList retired;
        retired.add([&] { ++destroyed; });
        retired.add([&] { ++destroyed; });
    }
    EXPECT_EQ(destroyed, 2);
}

TEST(Epoch, NumbersLivingThreadsApartAndReusesNumbers) {
    constexpr int kThreads = 20;
    std::set<std::uint32_t> all;
    for (int round = 0; round < 3; ++round) {
        std::vector<std::uint32_t> seen(kThreads);
        std::latch everyone(kThreads);
        std::vector<std::thread> threads;
        for (int i = 0; i < kThreads; ++i) {
            threads.emplace_back([&, i] {
                seen[static_cast<std::size_t>(i)] = thread_index();
                everyone.arrive_and_wait();
            });
        }
        for (auto& thread : threads) thread.join();
        EXPECT_EQ(std::set(seen.begin(), seen.end()).size(), static_cast<std::size_t>(kThreads));
        all.insert(seen.begin(), seen.end());
    }
    EXPECT_LE(all.size(), kThreads + 1U);
}

TEST(Epoch, ThreadsBeyondTheMaximumStillReadSafely) {
    // One more thread than there are numbers, all alive at once.
    std::latch all_in(kThreadsMax + 1);
    std::latch may_go(1);
    std::atomic<int> shared = 0;
    std::vector<std::thread> threads;
    for (std::uint32_t i = 0; i < kThreadsMax + 1; ++i) {
        threads.emplace_back([&] {
            const EpochGuard guard;
            if (thread_index() == kThreadsMax) ++shared;
            all_in.arrive_and_wait();
            may_go.wait();
        });
    }
    all_in.wait();
    RetiredList retired;
    retired.add([] {});
    EXPECT_GE(shared, 1);
    EXPECT_EQ(retired.collect(), 0U);
    may_go.count_down();
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(retired.collect(), 1U);
}

TEST(Epoch, ReadersNeverSeeADestroyedObject) {
    struct Node {
        explicit Node(std::uint64_t v) : value(v), copy(v) {}

        ~Node() {
            value = 0;
            copy = 0;
        }

        volatile std::uint64_t value;
        volatile std::uint64_t copy;
    };
    std::atomic<Node*> published{new Node(1)};
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> bad{0};
    const auto read = [&] {
        while (!stop) {
            const EpochGuard guard;
            const Node* node = published.load(std::memory_order_acquire);
            if (node->value == 0 || node->value != node->copy) ++bad;
        }
    };
    std::thread one(read);
    std::thread two(read);
    RetiredList retired;
    std::size_t collected = 0;
    for (std::uint64_t i = 2; i < 5000; ++i) {
        Node* old = published.exchange(new Node(i));
        retired.add([old] { delete old; });
        collected += retired.collect();
    }
    stop = true;
    one.join();
    two.join();
    EXPECT_EQ(bad, 0U);
    collected += retired.collect();
    EXPECT_EQ(collected, 4998U);
    delete published.load();
}

}  // namespace
}  // namespace datapunk::mesh::core
