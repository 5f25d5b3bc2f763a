#include "io/process_usage.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

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

TEST(FileLimitTest, IsRaisedToWhatTheMachineAllows) {
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    rlimit tight = before;
    tight.rlim_cur = 64;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
    raise_file_limit();
    rlimit after{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
    EXPECT_EQ(after.rlim_cur, before.rlim_max);
    EXPECT_EQ(read_process_usage().max_fds, before.rlim_max);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

}  // namespace
}  // namespace datapunk::mesh::io
