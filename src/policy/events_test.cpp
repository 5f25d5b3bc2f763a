#include "policy/events.h"

#include <gtest/gtest.h>

namespace datapunk::mesh::policy {
namespace {

TEST(EventRing, KeepsTheNewestAndCountsTheDropped) {
    EventRing ring;
    for (std::size_t i = 0; i < EventRing::kEventsMax + 3; ++i) {
        ring.push({.what = std::to_string(i)});
    }
    EXPECT_EQ(ring.dropped(), 3U);
    const auto events = ring.drain();
    ASSERT_EQ(events.size(), EventRing::kEventsMax);
    EXPECT_EQ(events.front().what, "3");
    EXPECT_EQ(events.back().what, std::to_string(EventRing::kEventsMax + 2));
    EXPECT_TRUE(ring.drain().empty());
}

}  // namespace
}  // namespace datapunk::mesh::policy
