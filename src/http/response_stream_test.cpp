#include "http/response_stream.h"

#include <gmock/gmock.h>

#include <array>
#include <deque>

#include "http/client.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::http {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// Answers one connection with pieces of bytes, a second apart, and closes it after the last.
class ResponseStreamTest : public testing::Test {
  public:
    void serve(std::deque<std::string> pieces) {
        listener_ = *world_.host("10.0.0.2").listen(*io::parse_ip("10.0.0.2", 80), {});
        tasks_.spawn(write(std::move(pieces)));
    }

    io::Task<void> write(std::deque<std::string> pieces) {
        auto accepted = co_await listener_->accept();
        const io::StreamPtr stream = *std::move(accepted);
        std::array<char, 1024> asked{};
        const auto got = co_await stream->read(asked, in(5s));
        EXPECT_TRUE(got);
        asked_ = asked.data();
        for (const std::string& piece : pieces) {
            const io::Slices slices(piece);
            const auto sent = co_await stream->write(slices, in(5s));
            EXPECT_TRUE(sent);
            co_await io::sleep_for(world_.loop(), 1s);
        }
    }

    Result<std::unique_ptr<ResponseStream>> open() {
        Request request{.method = "POST", .target = "/v3/watch", .body = "{}"};
        const Instant deadline = in(5s);
        return *sim::run_on(
            world_.loop(), client_.stream("10.0.0.2", 80, std::move(request), deadline)
        );
    }

    Result<std::string> next(ResponseStream& stream, Duration longest = 5s) {
        return *sim::run_on(world_.loop(), stream.next(in(longest)));
    }

    Instant in(Duration time) { return world_.loop().now() + time; }

    sim::SimWorld world_{sim::seed_for_test(1)};
    Client client_{world_.host("10.0.0.1"), {}};
    std::unique_ptr<io::Listener> listener_;
    std::string asked_;
    io::TaskGroup tasks_;
};

constexpr const char* kChunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n";

TEST_F(ResponseStreamTest, GivesTheBytesAsTheyCome) {
    serve({std::string(kChunked) + "5\r\nfirst\r\n", "6\r\nsecond\r\n", "0\r\n\r\n"});
    const auto stream = open();
    ASSERT_TRUE(stream) << stream.error().what;
    EXPECT_THAT(asked_, HasSubstr("POST /v3/watch HTTP/1.1\r\nHost: 10.0.0.2:80\r\n"));
    EXPECT_EQ((*stream)->status(), 200);
    EXPECT_EQ((*stream)->header("x-a"), "b");
    EXPECT_EQ(*next(**stream), "first");
    const Instant start = world_.loop().now();
    EXPECT_EQ(*next(**stream), "second");
    EXPECT_GE(world_.loop().now() - start, 900ms);
    EXPECT_EQ(*next(**stream), "");
}

TEST_F(ResponseStreamTest, SilenceIsATimeoutAndTheStreamGoesOn) {
    serve({std::string(kChunked) + "5\r\nfirst\r\n", "6\r\nsecond\r\n"});
    const auto stream = open();
    EXPECT_EQ(*next(**stream), "first");
    const auto silence = next(**stream, 100ms);
    ASSERT_FALSE(silence);
    EXPECT_EQ(silence.error().code, Code::timeout);
    EXPECT_EQ(*next(**stream), "second");
}

TEST_F(ResponseStreamTest, ABodyThatBreaksOffIsAnError) {
    serve({std::string(kChunked) + "5\r\nfir"});
    const auto stream = open();
    EXPECT_EQ(*next(**stream), "fir");
    const auto broken = next(**stream);
    ASSERT_FALSE(broken);
    EXPECT_EQ(broken.error().code, Code::unavailable);
}

TEST_F(ResponseStreamTest, WhatEndsCanBeReadWholeUpToALimit) {
    serve({"HTTP/1.1 400 Bad Request\r\nContent-Length: 10\r\n\r\n01234", "56789"});
    const auto stream = open();
    EXPECT_EQ((*stream)->status(), 400);
    const auto rest = sim::run_on(world_.loop(), (*stream)->rest(10, in(5s)));
    EXPECT_EQ(**rest, "0123456789");
}

TEST_F(ResponseStreamTest, WhatIsOverTheLimitIsRefused) {
    serve({"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890"});
    const auto stream = open();
    const auto rest = sim::run_on(world_.loop(), (*stream)->rest(10, in(5s)));
    ASSERT_FALSE(*rest);
    EXPECT_EQ(rest->error().code, Code::exhausted);
}

TEST_F(ResponseStreamTest, AConnectionThatEndsWithoutAnAnswerIsAnError) {
    serve({});
    const auto stream = open();
    ASSERT_FALSE(stream);
    EXPECT_EQ(stream.error().code, Code::unavailable);
    EXPECT_THAT(stream.error().what, HasSubstr("closed without an answer"));
}

}  // namespace
}  // namespace datapunk::mesh::http
