#include "http/message_reader.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/rng.h"
#include "io/network.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::http {
namespace {

using namespace std::chrono_literals;

class MessageReaderTest : public testing::Test {
  public:
    MessageReaderTest() {
        listener_ = *world_.host("10.0.0.2").listen(*io::parse_ip("10.0.0.2", 80), {});
    }

    // Sends the bytes in pieces of up to `piece_max`, in turns of the loop of their own.
    void send(std::string bytes, std::size_t piece_max) {
        tasks_.spawn(write(std::move(bytes), piece_max));
    }

    io::StreamPtr connect() {
        auto& client = world_.host("10.0.0.1");
        const auto to = *io::parse_ip("10.0.0.2", 80);
        return **sim::run_on(world_.loop(), client.connect(to, in(5s)));
    }

    // A head and its whole body; the head's field must be good to the end.
    struct Got {
        HeadRead head = HeadRead::failed;
        std::string field;
        std::string body;
        bool whole = false;
    };

    Got read(MessageReader& reader) { return *sim::run_on(world_.loop(), read_one(&reader)); }

    Instant in(Duration time) { return world_.loop().now() + time; }

  protected:
    io::Task<void> write(std::string bytes, std::size_t piece_max) {
        auto accepted = co_await listener_->accept();
        const io::StreamPtr stream = *std::move(accepted);
        core::Rng& rng = rng_;
        for (std::size_t at = 0; at < bytes.size();) {
            const std::size_t size =
                std::min<std::size_t>(1 + rng() % piece_max, bytes.size() - at);
            const io::Slices slices(std::string_view(bytes).substr(at, size));
            const auto sent = co_await stream->write(slices, in(20s));
            EXPECT_TRUE(sent);
            at += size;
            if (rng() % 2 == 0) co_await io::sleep_for(world_.loop(), 1ms);
        }
        co_await io::sleep_for(world_.loop(), 1000s);
    }

    io::Task<Got> read_one(MessageReader* reader) {
        Got got;
        wire::http1::ResponseHead head;
        const Instant deadline = in(20s);
        got.head = co_await reader->read_response(head, wire::http1::Method::get, deadline);
        if (got.head != HeadRead::done) co_return got;
        const wire::http1::Field* const field = head.find("x-filler");
        while (!reader->body_done()) {
            auto piece = co_await reader->next_piece(deadline);
            if (!piece) co_return got;
            got.body += piece->bytes;
        }
        got.whole = true;
        if (field != nullptr) got.field = field->value;
        co_return got;
    }

    sim::SimWorld world_{sim::seed_for_test(1)};
    core::Rng rng_{sim::seed_for_test(2)};
    std::unique_ptr<io::Listener> listener_;
    io::TaskGroup tasks_;
};

std::string text_of(std::size_t bytes, core::Rng& rng) {
    std::string text(bytes, ' ');
    for (char& c : text) c = static_cast<char>('a' + rng() % 26);
    return text;
}

class HeldHeads : public MessageReaderTest,
                  public testing::WithParamInterface<std::tuple<std::size_t, bool>> {};

// Heads and bodies around the sizes of blocks, several messages behind each other: what is read of
// a body must never overwrite the head before it, nor the message after it.
TEST_P(HeldHeads, StayGoodWhileTheBodyIsReadBehindThem) {
    const auto [block_bytes, is_chunked] = GetParam();
    constexpr std::array<std::size_t, 7> kSizes = {10, 1000, 8100, 8300, 16200, 16384, 33000};
    std::string wire;
    std::vector<std::pair<std::string, std::string>> sent;
    for (int i = 0; i < 40; ++i) {
        const std::string field = text_of(kSizes[rng_() % kSizes.size()] + rng_() % 100, rng_);
        const std::string body = text_of(kSizes[rng_() % kSizes.size()] + rng_() % 300, rng_);
        wire += fmt::format("HTTP/1.1 200 OK\r\nx-filler: {}\r\n", field);
        if (is_chunked) {
            wire += "transfer-encoding: chunked\r\n\r\n";
            for (std::size_t at = 0; at < body.size();) {
                const std::size_t size = std::min<std::size_t>(1 + rng_() % 9000, body.size() - at);
                wire += fmt::format("{:x}\r\n{}\r\n", size, body.substr(at, size));
                at += size;
            }
            wire += "0\r\n\r\n";
        } else {
            wire += fmt::format("content-length: {}\r\n\r\n{}", body.size(), body);
        }
        sent.emplace_back(field, body);
    }
    send(wire, 40000);
    const io::StreamPtr stream = connect();
    MessageReader reader(*stream, {}, block_bytes);
    for (const auto& [field, body] : sent) {
        const Got got = read(reader);
        ASSERT_EQ(got.head, HeadRead::done);
        ASSERT_TRUE(got.whole);
        ASSERT_EQ(got.field, field);
        ASSERT_EQ(got.body, body);
        if (rng_() % 3 == 0) reader.release();
    }
    EXPECT_FALSE(reader.has_more());
}

INSTANTIATE_TEST_SUITE_P(
    Blocks,
    HeldHeads,
    testing::Combine(testing::Values(kBlockBytes, kWideBlockBytes), testing::Bool())
);

TEST_F(MessageReaderTest, AHeadThatDoesNotComeInTimeSaysSo) {
    send("HTTP/1.1 200 OK\r\n", 100);
    const io::StreamPtr stream = connect();
    MessageReader reader(*stream, {});
    EXPECT_EQ(read(reader).head, HeadRead::failed);
    EXPECT_EQ(reader.error().code, Code::timeout);
}

}  // namespace
}  // namespace datapunk::mesh::http
