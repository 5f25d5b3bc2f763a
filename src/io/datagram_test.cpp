// UDP through the kernel, on loopback.

#include "io/datagram.h"

#include <gmock/gmock.h>

#include "io/hmac.h"
#include "io/tcp.h"
#include "sim/run.h"

namespace datapunk::mesh::io {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct Message {
    Received received;
    std::string bytes;
};

Task<Result<Message>> receive(DatagramSocket* socket, std::size_t bytes_max, Duration patience) {
    Message message;
    message.bytes.resize(bytes_max);
    const Instant deadline = socket->loop().now() + patience;
    auto got = co_await socket->receive(message.bytes, deadline);
    if (!got) co_return got.error();
    message.received = *got;
    message.bytes.resize(got->bytes);
    co_return message;
}

class UdpTest : public ::testing::Test {
  protected:
    DatagramPtr open(const DatagramOptions& options = {}) {
        auto socket = network_.open_datagram(SocketAddress::loopback(0), options);
        EXPECT_TRUE(socket) << socket.error().what;
        return socket ? *std::move(socket) : nullptr;
    }

    Result<Message> next(
        DatagramSocket& socket, std::size_t bytes_max = 2'000, Duration patience = 5s
    ) {
        auto got = sim::run_on(*loop_, receive(&socket, bytes_max, patience));
        if (!got) return Error{.code = Code::timeout, .what = "the test's own"};
        return *std::move(got);
    }

    std::unique_ptr<EpollLoop> loop_ = *EpollLoop::create();
    KernelNetwork network_{*loop_};
};

TEST_F(UdpTest, CarriesMessagesWholeAndSaysWhoSentThem) {
    const DatagramPtr a = open();
    const DatagramPtr b = open();
    ASSERT_TRUE(a->send("one", b->local(), {}));
    ASSERT_TRUE(a->send("", b->local(), {}));
    ASSERT_TRUE(a->send(std::string(1'500, 'x'), b->local(), {}));
    const auto first = next(*b);
    ASSERT_TRUE(first) << first.error().what;
    EXPECT_EQ(first->bytes, "one");
    EXPECT_EQ(first->received.from, a->local());
    EXPECT_EQ(first->received.to, b->local());
    EXPECT_EQ(next(*b)->bytes, "");
    const auto cut = next(*b, 100);
    ASSERT_TRUE(cut);
    EXPECT_EQ(cut->bytes.size(), 100U);
    EXPECT_TRUE(cut->received.is_cut);
}

TEST_F(UdpTest, AReceiveEndsAtItsDeadlineOrWhenTheSocketCloses) {
    const DatagramPtr a = open();
    const auto late = next(*a, 100, 20ms);
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Code::timeout);
    std::optional<Result<Message>> ended;
    TaskGroup tasks;
    tasks.spawn([](DatagramSocket* socket, std::optional<Result<Message>>* out) -> Task<void> {
        auto got = co_await receive(socket, 100, 10s);
        out->emplace(std::move(got));
    }(a.get(), &ended));
    a->close();
    const Instant end = loop_->now() + 5s;
    while (!ended && loop_->now() < end) loop_->turn(end);
    ASSERT_TRUE(ended && !ended->ok());
    EXPECT_EQ(ended->error().code, Code::aborted);
    EXPECT_FALSE(a->send("x", SocketAddress::loopback(9), {}));
}

TEST_F(UdpTest, AConnectedSocketHearsOnlyItsPeer) {
    const DatagramPtr server = open();
    const DatagramPtr stranger = open();
    const DatagramPtr client = open({.peer = server->local()});
    ASSERT_TRUE(stranger->send("forged", client->local(), {}));
    ASSERT_TRUE(client->send("ask", {}, {}));
    const auto asked = next(*server);
    ASSERT_TRUE(asked) << asked.error().what;
    EXPECT_EQ(asked->received.from, client->local());
    ASSERT_TRUE(server->send("answer", asked->received.from, asked->received.to));
    EXPECT_EQ(next(*client)->bytes, "answer");
    EXPECT_FALSE(next(*client, 100, 20ms));
}

TEST_F(UdpTest, AConnectedSocketHearsThatNobodyListens) {
    SocketAddress nobody;
    {
        const DatagramPtr gone = open();
        nobody = gone->local();
    }
    const DatagramPtr client = open({.peer = nobody});
    ASSERT_TRUE(client->send("ask", {}, {}));
    const auto refused = next(*client);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::unavailable);
    EXPECT_THAT(refused.error().what, HasSubstr("refused"));
}

TEST_F(UdpTest, AnAnswerComesFromTheAddressThatWasAsked) {
    auto any = network_.open_datagram({}, {});
    ASSERT_TRUE(any) << any.error().what;
    SocketAddress other = SocketAddress::loopback((*any)->local().port);
    other.ip[3] = 7;  // 127.0.0.7: ours as well
    const DatagramPtr client = open({.peer = other});
    ASSERT_TRUE(client->send("ask", {}, {}));
    const auto asked = next(**any);
    ASSERT_TRUE(asked) << asked.error().what;
    EXPECT_EQ(asked->received.to, other);
    ASSERT_TRUE((*any)->send("answer", asked->received.from, asked->received.to));
    const auto answer = next(*client);
    ASSERT_TRUE(answer) << answer.error().what;
    EXPECT_EQ(answer->received.from, other);
}

TEST_F(UdpTest, ATakenPortIsAConflict) {
    const DatagramPtr a = open();
    const auto again = network_.open_datagram(a->local(), {});
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Code::conflict);
    EXPECT_THAT(again.error().what, HasSubstr(a->local().to_string()));
}

// RFC 4231, test cases 1 and 6.
TEST(Hmac, IsSha256s) {
    const auto hex = [](std::string_view bytes) {
        std::string out;
        for (const char c : bytes) {
            constexpr std::string_view kDigits = "0123456789abcdef";
            out += kDigits[static_cast<unsigned char>(c) >> 4U];
            out += kDigits[static_cast<unsigned char>(c) & 0xfU];
        }
        return out;
    };
    EXPECT_EQ(
        hex(hmac_sha256(std::string(20, '\x0b'), "Hi There")),
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    );
    EXPECT_EQ(
        hex(hmac_sha256(
            std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First"
        )),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    );
    EXPECT_TRUE(equals_in_constant_time("abc", "abc"));
    EXPECT_FALSE(equals_in_constant_time("abc", "abd"));
    EXPECT_FALSE(equals_in_constant_time("abc", "ab"));
}

}  // namespace
}  // namespace datapunk::mesh::io
