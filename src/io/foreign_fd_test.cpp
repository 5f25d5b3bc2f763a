#include "io/foreign_fd.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sim/run.h"

namespace datapunk::mesh::io {
namespace {

using namespace std::chrono_literals;

class ForeignFdTest : public testing::Test {
  public:
    ForeignFdTest() {
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair_), 0);
        fd_ = *ForeignFd::create(*loop_, pair_[0]);
    }

    ~ForeignFdTest() override {
        fd_.reset();
        ::close(pair_[0]);
        ::close(pair_[1]);
    }

    FdReady ready(FdReady wanted, Duration longest) {
        return *sim::run_on(*loop_, fd_->ready(wanted, loop_->now() + longest));
    }

    void send() { EXPECT_EQ(::write(pair_[1], "x", 1), 1); }

    std::unique_ptr<EpollLoop> loop_ = *EpollLoop::create();
    int pair_[2] = {-1, -1};
    std::unique_ptr<ForeignFd> fd_;
};

TEST_F(ForeignFdTest, IsWritableAtOnceAndReadableWhenSomethingComes) {
    EXPECT_TRUE(ready({.readable = true, .writable = true}, 1s).writable);
    EXPECT_FALSE(ready({.readable = true}, 10ms).readable);
    send();
    EXPECT_TRUE(ready({.readable = true}, 5s).readable);
}

TEST_F(ForeignFdTest, WhatWasLeftUnreadIsStillReadable) {
    send();
    send();
    EXPECT_TRUE(ready({.readable = true}, 5s).readable);
    char one = 0;
    EXPECT_EQ(::read(pair_[0], &one, 1), 1);
    EXPECT_TRUE(ready({.readable = true}, 10ms).readable) << "without a new edge";
    EXPECT_EQ(::read(pair_[0], &one, 1), 1);
    EXPECT_FALSE(ready({.readable = true}, 10ms).readable);
    send();
    EXPECT_TRUE(ready({.readable = true}, 5s).readable);
}

TEST_F(ForeignFdTest, TheEndIsReadable) {
    ::shutdown(pair_[1], SHUT_RDWR);
    EXPECT_TRUE(ready({.readable = true}, 5s).readable);
}

TEST_F(ForeignFdTest, AWaitCanBeInterrupted) {
    loop_->post([this] { fd_->interrupt(); });
    const Instant start = loop_->now();
    const FdReady neither = ready({.readable = true}, 60s);
    EXPECT_FALSE(neither.readable || neither.writable);
    EXPECT_LT(loop_->now() - start, 30s);
    send();
    EXPECT_TRUE(ready({.readable = true}, 5s).readable);
}

TEST_F(ForeignFdTest, ADescriptorThatCannotBeWatchedIsAnError) {
    EXPECT_FALSE(ForeignFd::create(*loop_, -1));
    EXPECT_FALSE(ForeignFd::create(*loop_, 1'000'000));
}

}  // namespace
}  // namespace datapunk::mesh::io
