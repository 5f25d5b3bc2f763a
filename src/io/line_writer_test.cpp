#include "io/line_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

namespace datapunk::mesh::io {
namespace {

using namespace std::chrono_literals;

class LineWriterTest : public testing::Test {
  protected:
    LineWriterTest() {
        std::string name = testing::TempDir() + "lines-XXXXXX";
        dir = ::mkdtemp(name.data());
        path = dir + "/access.log";
    }

    ~LineWriterTest() override { std::filesystem::remove_all(dir); }

    static std::vector<std::string> lines_of(const std::string& file) {
        std::ifstream in(file);
        std::vector<std::string> lines;
        for (std::string line; std::getline(in, line);) lines.push_back(line);
        return lines;
    }

    std::string dir;
    std::string path;
};

TEST_F(LineWriterTest, KeepsEachSourcesOrderAndLosesNothing) {
    {
        auto writer = *LineWriter::open({.path = path, .delay = 1ms});
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&source = writer->add_source(), t] {
                for (int i = 0; i < 2000; ++i)
                    source.write(std::to_string(t) + " " + std::to_string(i));
            });
        }
        for (std::thread& thread : threads) thread.join();
        EXPECT_EQ(writer->dropped(), 0U);
    }
    std::map<char, int> next;
    const auto lines = lines_of(path);
    ASSERT_EQ(lines.size(), 8000U);
    for (const std::string& line : lines) {
        ASSERT_EQ(std::stoi(line.substr(2)), next[line[0]]++) << line;
    }
}

TEST_F(LineWriterTest, WhatDoesNotFitIsDroppedAndCounted) {
    std::uint64_t dropped = 0;
    {
        auto writer = *LineWriter::open({.path = path, .bytes_max = 100, .delay = 1h});
        LineWriter::Source& source = writer->add_source();
        source.write(std::string(100, 'x'));  // with its end it is one byte too long
        source.write(std::string(45, 'a'));
        dropped = writer->dropped();
    }
    EXPECT_EQ(dropped, 1U);
    EXPECT_THAT(lines_of(path), testing::ElementsAre(std::string(45, 'a')));
}

TEST_F(LineWriterTest, AReaderThatDoesNotReadCostsLinesAndNeverAWriter) {
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
    std::uint64_t accepted = 0;
    std::uint64_t dropped = 0;
    {
        auto writer = *LineWriter::open(
            {.path = path, .bytes_max = 64UL << 10, .delay = 1ms, .stop_time = 20ms}
        );
        LineWriter::Source& source = writer->add_source();
        const std::string line(999, 'x');
        for (int i = 0; i < 1000; ++i) source.write(line);
        accepted = 1000 - writer->dropped();
        dropped = writer->dropped();
    }
    ::close(reader);
    EXPECT_GT(dropped, 0U);
    EXPECT_GT(accepted, 60U);
}

TEST_F(LineWriterTest, ReopensUnderItsNameAfterARotation) {
    {
        auto writer = *LineWriter::open({.path = path, .delay = 1ms});
        LineWriter::Source& source = writer->add_source();
        source.write("old");
        while (writer->written() < 1) std::this_thread::yield();
        std::filesystem::rename(path, path + ".1");
        source.write("still old");
        while (writer->written() < 2) std::this_thread::yield();
        ASSERT_TRUE(writer->reopen());
        source.write("new");
    }
    EXPECT_THAT(lines_of(path + ".1"), testing::ElementsAre("old", "still old"));
    EXPECT_THAT(lines_of(path), testing::ElementsAre("new"));
}

TEST_F(LineWriterTest, ReopeningWhereThatCannotBeKeepsTheOldFile) {
    {
        auto writer = *LineWriter::open({.path = path, .delay = 1ms});
        std::filesystem::rename(path, dir + "/kept");
        std::filesystem::create_directory(path);
        const auto failed = writer->reopen();
        ASSERT_FALSE(failed);
        EXPECT_THAT(failed.error().what, testing::HasSubstr(path));
        writer->add_source().write("line");
    }
    EXPECT_THAT(lines_of(dir + "/kept"), testing::ElementsAre("line"));
}

TEST(LineWriter, AFileThatCannotBeOpenedIsAnError) {
    EXPECT_FALSE(LineWriter::open({.path = "/nonexistent/dir/file"}));
}

}  // namespace
}  // namespace datapunk::mesh::io
