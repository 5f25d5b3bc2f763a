#pragma once

// The behaviours of waiting: when a wait ends, and when it must not. For tests only; listed in
// test_conformance_behaviours.h.

#include <memory>
#include <string>
#include <vector>

#include "registry/test_conformance.h"

namespace datapunk::mesh::registry::conformance {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::Field;

inline void a_wait_ends_with_the_change(RegistryUnderTest& registry) {
    Conversation talk(registry, "awaited");
    ASSERT_TRUE(talk.add(talk.config(1)));
    const std::uint64_t index = talk.until_size(1).index;
    PendingWait pending(talk, index, 15s);
    EXPECT_FALSE(pending.ends_within(50ms));
    ASSERT_TRUE(talk.add(talk.config(2)));
    ASSERT_TRUE(pending.ends_within(5s));
    EXPECT_GT(pending.answer().index, index);
    EXPECT_EQ(pending.answer().endpoints.size(), 2U);
}

inline void a_wait_for_an_unknown_service_ends_when_it_appears(RegistryUnderTest& registry) {
    Conversation talk(registry, "expected");
    const auto nothing = talk.wait(0, 0s);
    ASSERT_TRUE(nothing);
    PendingWait pending(talk, nothing->index, 15s);
    ASSERT_TRUE(talk.add(talk.config(1)));
    ASSERT_TRUE(pending.ends_within(5s));
    EXPECT_EQ(pending.answer().endpoints.size(), 1U);
}

inline void a_wait_sleeps_through_other_services(RegistryUnderTest& registry) {
    Conversation talk(registry, "quiet");
    Conversation other(registry, "noisy");
    ASSERT_TRUE(talk.add(talk.config(1)));
    const std::uint64_t index = talk.until_size(1).index;
    PendingWait pending(talk, index, 1s);
    ASSERT_TRUE(other.add(other.config(1)));
    ASSERT_TRUE(other.add(other.config(2)));
    ASSERT_TRUE(other.remove(other.config(1)));
    EXPECT_FALSE(pending.ends_within(500ms));
    ASSERT_TRUE(pending.ends_within(5s));
    EXPECT_EQ(pending.answer().index, index);
}

inline void a_wait_without_change_ends_with_what_it_had(RegistryUnderTest& registry) {
    Conversation talk(registry, "unchanged");
    ASSERT_TRUE(talk.add(talk.config(1)));
    const Answer before = talk.until_size(1);
    const Instant start = talk.loop().now();
    const auto after = talk.wait(before.index, 300ms);
    ASSERT_TRUE(after) << after.error().what;
    EXPECT_GE(talk.loop().now() - start, 250ms);
    EXPECT_EQ(after->index, before.index);
    EXPECT_EQ(after->endpoints, before.endpoints);
}

inline void every_watcher_wakes(RegistryUnderTest& registry) {
    Conversation talk(registry, "popular");
    ASSERT_TRUE(talk.add(talk.config(1)));
    const std::uint64_t index = talk.until_size(1).index;
    std::vector<std::unique_ptr<PendingWait>> watchers;
    for (int i = 0; i < 20; ++i) {
        watchers.push_back(std::make_unique<PendingWait>(talk, index, 15s));
    }
    ASSERT_TRUE(talk.add(talk.config(2)));
    for (const auto& watcher : watchers) {
        ASSERT_TRUE(watcher->ends_within(5s));
        EXPECT_EQ(watcher->answer().endpoints.size(), 2U);
    }
}

}  // namespace datapunk::mesh::registry::conformance
