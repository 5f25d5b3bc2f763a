#include "proxy/access_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>

namespace datapunk::mesh::proxy {
namespace {

using namespace std::chrono_literals;

class AccessLogTest : public testing::Test {
  protected:
    AccessLogTest() : path(testing::TempDir() + "access-" + std::to_string(::getpid())) {
        std::remove(path.c_str());
    }

    ~AccessLogTest() override { std::remove(path.c_str()); }

    AccessLog open(core::LogFormat format = core::LogFormat::json) const {
        return AccessLog(*io::LineWriter::open({.path = path}), format);
    }

    std::string written() const {
        std::ifstream in(path);
        return {std::istreambuf_iterator<char>(in), {}};
    }

    std::string path;
    core::Rng rng{7};
};

TEST_F(AccessLogTest, FailedAndSlowRequestsAreAlwaysLogged) {
    AccessLog log = open();
    const auto worker = log.add_worker();
    log.set_rules({.sample = 0, .slow = 100ms});
    EXPECT_EQ(worker->share_of(false, 99ms, rng), 0);
    EXPECT_EQ(worker->share_of(false, 100ms, rng), 1);
    EXPECT_EQ(worker->share_of(true, 1ms, rng), 1);
    log.set_rules({.sample = 0, .slow = {}});
    EXPECT_EQ(worker->share_of(false, 1h, rng), 0);
    EXPECT_EQ(worker->share_of(true, 1ms, rng), 1);
}

TEST_F(AccessLogTest, ASampleIsAsLargeAsItSays) {
    AccessLog log = open();
    const auto worker = log.add_worker();
    log.set_rules({.sample = 0.1, .slow = {}});
    int logged = 0;
    for (int i = 0; i < 10'000; ++i) {
        const double share = worker->share_of(false, 1ms, rng);
        ASSERT_TRUE(share == 0 || share == 0.1);
        logged += share > 0 ? 1 : 0;
    }
    EXPECT_NEAR(logged, 1000, 150);
    log.set_rules({});
    EXPECT_EQ(worker->share_of(false, 1ms, rng), 1);
}

TEST_F(AccessLogTest, ALineIsAJsonObjectThatAPathCannotForge) {
    {
        AccessLog log = open();
        const auto worker = log.add_worker();
        const core::LogField field("path", "/a\"}\n{\"event\":\"forged");
        worker->write(WallTime{1s}, {.event = "request", .fields = &field, .field_count = 1});
    }
    EXPECT_EQ(
        written(),
        R"({"time":"1970-01-01T00:00:01.000Z","level":"info","event":"request",)"
        R"("path":"/a\"}\n{\"event\":\"forged"})"
        "\n"
    );
}

TEST_F(AccessLogTest, OrKeysAndValuesForPeople) {
    {
        AccessLog log = open(core::LogFormat::logfmt);
        const auto worker = log.add_worker();
        const core::LogField field("status", 200);
        worker->write(WallTime{1s}, {.event = "request", .fields = &field, .field_count = 1});
    }
    EXPECT_EQ(written(), "time=1970-01-01T00:00:01.000Z level=info event=\"request\" status=200\n");
}

}  // namespace
}  // namespace datapunk::mesh::proxy
