#include "core/record_ring.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace datapunk::mesh::core {
namespace {

struct Record {
    std::uint64_t number;
    std::uint64_t twice;
    std::uint64_t inverse;
};

constexpr Record record(std::uint64_t n) {
    return {.number = n, .twice = 2 * n, .inverse = ~n};
}

using Ring = RecordRing<Record, 8>;

std::vector<std::uint64_t> numbers(const Ring& ring) {
    std::vector<std::uint64_t> all;
    ring.for_each([&](const Record& r) { all.push_back(r.number); });
    return all;
}

TEST(RecordRing, KeepsTheLastInOrder) {
    Ring ring;
    EXPECT_TRUE(numbers(ring).empty());
    for (std::uint64_t i = 0; i < 8; ++i) EXPECT_EQ(ring.push(record(i)), i);
    EXPECT_EQ(numbers(ring), (std::vector<std::uint64_t>{0, 1, 2, 3, 4, 5, 6, 7}));
    ring.push(record(8));
    EXPECT_EQ(numbers(ring), (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6, 7, 8}));
    Record out{};
    EXPECT_FALSE(ring.read(0, out));
    EXPECT_FALSE(ring.read(9, out));
    ASSERT_TRUE(ring.read(8, out));
    EXPECT_EQ(out.twice, 16U);
}

TEST(RecordRing, AReaderNeverSeesHalfOfARecord) {
    Ring ring;
    std::atomic<bool> done{false};
    std::thread writer([&] {
        for (std::uint64_t i = 1; i <= 300'000; ++i) ring.push(record(i));
        done = true;
    });
    std::uint64_t seen = 0;
    while (!done.load() || seen == 0) {
        std::uint64_t before = 0;
        ring.for_each([&](const Record& r) {
            ASSERT_EQ(r.twice, 2 * r.number);
            ASSERT_EQ(r.inverse, ~r.number);
            ASSERT_GT(r.number, before);
            before = r.number;
            ++seen;
        });
    }
    writer.join();
    EXPECT_EQ(numbers(ring).back(), 300'000U);
}

}  // namespace
}  // namespace datapunk::mesh::core
