#include "io/process_usage.h"

#include <gtest/gtest.h>

namespace datapunk::mesh::io {
namespace {

TEST(ProcessUsage, IsThisProcess) {
    const auto now = std::chrono::system_clock::now();
    const ProcessUsage usage = read_process_usage();
    EXPECT_GT(usage.resident_bytes, 1'000'000U);
    EXPECT_GE(usage.open_fds, 3U);
    EXPECT_GT(usage.max_fds, usage.open_fds);
    EXPECT_GT(usage.cpu, Duration::zero());
    EXPECT_LE(usage.started_at, now + std::chrono::seconds(1));
    EXPECT_GT(usage.started_at, now - std::chrono::hours(1));
}

}  // namespace
}  // namespace datapunk::mesh::io
