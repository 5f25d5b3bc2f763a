#include "io/log_sink.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

namespace datapunk::mesh::io {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::SizeIs;

class LogSinkTest : public ::testing::Test {
  protected:
    LogSinkTest() {
        std::string name = "/tmp/mesh_log_XXXXXX";
        directory = ::mkdtemp(name.data());
        path = directory + "/mesh.log";
    }

    ~LogSinkTest() override { std::filesystem::remove_all(directory); }

    static std::vector<std::string> lines_of(const std::string& file) {
        std::ifstream in(file);
        std::vector<std::string> lines;
        for (std::string line; std::getline(in, line);) lines.push_back(line);
        return lines;
    }

    std::string directory;
    std::string path;
};

TEST_F(LogSinkTest, WritesLogfmtWithATime) {
    const auto sink = open_log({.path = path}).value();
    const core::Logger log(sink, core::Level::info);
    log.info("service registered", {{"service", "web"}, {"port", 80}});
    log.debug("not shown");
    const auto lines = lines_of(path);
    ASSERT_THAT(lines, SizeIs(1));
    EXPECT_THAT(
        lines[0],
        MatchesRegex("time=20[0-9-]+T[0-9:.]+Z level=info event=\"service registered\" "
                     "service=web port=80")
    );
}

TEST_F(LogSinkTest, WritesJsonOfOneLineWhateverAPeerSends) {
    const auto sink = open_log({.format = core::LogFormat::json, .path = path}).value();
    core::Logger(sink, core::Level::info).warn("bad host", {{"host", "x\"\n{%v}"}, {"ok", false}});
    const auto lines = lines_of(path);
    ASSERT_THAT(lines, SizeIs(1));
    EXPECT_THAT(lines[0], MatchesRegex(R"(\{"time":"20[0-9-]+T[0-9:.]+Z","level":"warn",.*)"));
    EXPECT_THAT(lines[0], HasSubstr(R"("event":"bad host","host":"x\"\n{%v}","ok":false})"));
}

TEST_F(LogSinkTest, ReopensAfterARotationAndKeepsTheOldFileIfItCannot) {
    const auto sink = open_log({.path = path}).value();
    const core::Logger log(sink, core::Level::info);
    log.info("one");
    std::filesystem::rename(path, path + ".1");
    log.info("two");
    ASSERT_TRUE(sink->reopen().ok());
    log.info("three");
    EXPECT_THAT(lines_of(path + ".1"), SizeIs(2));
    EXPECT_THAT(lines_of(path), SizeIs(1));
    std::filesystem::rename(path, path + ".2");
    std::filesystem::create_directory(path);
    EXPECT_FALSE(sink->reopen().ok());
    log.info("four");
    EXPECT_THAT(lines_of(path + ".2"), SizeIs(2));
}

TEST_F(LogSinkTest, AFileThatCannotBeOpenedIsAnError) {
    const auto failed = open_log({.path = directory});
    ASSERT_FALSE(failed.ok());
    EXPECT_THAT(failed.error().what, HasSubstr(directory));
    EXPECT_TRUE(open_log({}).ok());
}

TEST_F(LogSinkTest, KeepsTheOrderOfEachThreadAndWholeLines) {
    const auto sink = open_log({.path = path}).value();
    constexpr int kThreads = 4;
    constexpr int kEach = 500;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([log = core::Logger(sink, core::Level::info), t] {
            for (int i = 0; i < kEach; ++i) log.info("line", {{"thread", t}, {"number", i}});
        });
    }
    for (std::thread& thread : threads) thread.join();
    const auto lines = lines_of(path);
    ASSERT_THAT(lines, SizeIs(kThreads * kEach));
    std::vector<int> next(kThreads, 0);
    for (const std::string& line : lines) {
        int thread = -1;
        int number = -1;
        const auto at = line.find("thread=");
        ASSERT_NE(at, std::string::npos) << line;
        ASSERT_EQ(std::sscanf(line.c_str() + at, "thread=%d number=%d", &thread, &number), 2);
        EXPECT_EQ(next[static_cast<std::size_t>(thread)]++, number);
    }
}

TEST_F(LogSinkTest, SaysHowManyLinesWereLostWhenWritingFailed) {
    const auto sink = open_log({.path = path}).value();
    const core::Logger log(sink, core::Level::info);
    log.info("before");
    rlimit limit{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
    const rlimit tight{.rlim_cur = 1, .rlim_max = limit.rlim_max};
    const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
    log.info("lost 1");
    log.info("lost 2");
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    std::signal(SIGXFSZ, old_handler);
    log.info("after");
    std::stringstream all;
    all << std::ifstream(path).rdbuf();
    EXPECT_THAT(all.str(), HasSubstr("event=\"log lines lost\" lines="));
    EXPECT_THAT(all.str(), HasSubstr("event=\"after\""));
}

}  // namespace
}  // namespace datapunk::mesh::io
