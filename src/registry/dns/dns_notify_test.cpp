// NOTIFY in virtual time: who may send it, and what it causes.

#include "registry/dns/dns_notify.h"

#include <gmock/gmock.h>

#include "core/strings.h"
#include "io/hmac.h"
#include "registry/dns/dns_backend.h"
#include "registry/dns/test_dns_server.h"
#include "sim/run.h"
#include "sim/sim_world.h"
#include "wire/dns/tsig.h"

namespace datapunk::mesh::registry::dns {
namespace {

using namespace std::chrono_literals;
using wire::dns::DnsMessage;
using wire::dns::DnsName;
using wire::dns::DnsRcode;
using wire::dns::DnsType;
using wire::dns::Tsig;

constexpr std::string_view kOurs = "10.0.0.1";
constexpr std::string_view kServer = "10.0.0.53";
constexpr std::string_view kOther = "10.0.0.60";
constexpr std::string_view kSecret = "0123456789abcdef0123456789abcdef";

io::SocketAddress at(std::string_view ip, std::uint16_t port) {
    return *io::parse_ip(ip, port);
}

class DnsNotifyTest : public testing::Test {
  protected:
    DnsNotifyTest() : trace_(__FILE__, __LINE__, world_.hint()) {
        config_.servers = {std::string(kServer)};
        config_.name = "_{service}._tcp.example.org";
        config_.ttl_max = 1h;
        config_.notify.address = std::string(kOurs);
        config_.notify.port = 5353;
        server_.ttl_s = 3'600;
        server_.add_srv("_web._tcp.example.org", 0, 1, 80, "h1.example.org");
        server_.add_a("h1.example.org", 1);
    }

    void start() {
        auto made = DnsBackend::create(world_.host(kOurs), config_);
        ASSERT_TRUE(made) << made.error().what;
        backend_ = *std::move(made);
        const Instant deadline = world_.loop().now() + 20s;
        const auto first = sim::run_on(world_.loop(), backend_->wait("web", 0, 0s, deadline));
        ASSERT_TRUE(first && first->ok());
        asked_ = asked_of_server();
        const Instant later = world_.loop().now() + 2h;
        waiting_.spawn(keep(backend_->wait("web", (*first)->index, 1h, later), this));
    }

    static io::Task<void> keep(io::Task<Result<Answer>> task, DnsNotifyTest* self) {
        auto answer = co_await std::move(task);
        self->answer_.emplace(std::move(answer));
    }

    static DnsMessage notify(std::string_view zone = "example.org") {
        DnsMessage message{
            .id = 99, .opcode = wire::dns::DnsOpcode::notify, .is_authoritative = true
        };
        message.questions.push_back({.name = *DnsName::parse(zone), .type = DnsType::soa});
        return message;
    }

    std::string signed_notify(std::string_view secret, Duration skew = 0s) {
        const auto since = std::chrono::duration_cast<std::chrono::seconds>(
            (world_.loop().wall_now() + skew).time_since_epoch()
        );
        tsig_ = Tsig{
            .key = *DnsName::parse("mesh-key"),
            .algorithm = *DnsName::parse(wire::dns::kHmacSha256),
            .time_s = static_cast<std::uint64_t>(since.count()),
            .original_id = 99
        };
        std::string bytes = *wire::dns::encode(notify());
        tsig_.mac = io::hmac_sha256(secret, wire::dns::tsig_input(bytes, tsig_, {}));
        wire::dns::append_tsig(bytes, tsig_);
        return bytes;
    }

    // Sends it and gives the answer; nothing if none came.
    std::optional<DnsMessage> exchange(std::string bytes, std::string_view from = kServer) {
        const io::DatagramPtr socket = *world_.host(from).open_datagram(at(from, 0), {});
        EXPECT_TRUE(socket->send(bytes, at(kOurs, 5353), {}));
        auto reply = sim::run_on(world_.loop(), receive(socket.get()));
        if (!reply || reply->empty()) return std::nullopt;
        reply_bytes_ = *reply;
        auto message = wire::dns::decode(*reply);
        EXPECT_TRUE(message) << message.error().what;
        return message ? std::optional(*message) : std::nullopt;
    }

    static io::Task<std::string> receive(io::DatagramSocket* socket) {
        std::string buffer(4'096, '\0');
        const Instant deadline = socket->loop().now() + 1s;
        auto got = co_await socket->receive(buffer, deadline);
        buffer.resize(got ? got->bytes : 0);
        co_return buffer;
    }

    std::size_t asked_of_server() const {
        return server_.asked("_web._tcp.example.org", DnsType::srv);
    }

    std::size_t new_questions() {
        world_.loop().run_for(1s);
        return asked_of_server() - std::exchange(asked_, asked_of_server());
    }

    sim::SimWorld world_{sim::seed_for_test(8)};
    testing::ScopedTrace trace_;
    TestDnsServer server_{world_.host(kServer), at(kServer, 53)};
    DnsConfig config_;
    std::unique_ptr<DnsBackend> backend_;
    std::size_t asked_ = 0;
    Tsig tsig_;
    std::string reply_bytes_;
    std::optional<Result<Answer>> answer_;
    io::TaskGroup waiting_;
};

TEST_F(DnsNotifyTest, AChangeIsSeenAtOnceAndNotWhenTheTtlIsOver) {
    start();
    world_.loop().run_for(10min);
    EXPECT_EQ(asked_of_server(), asked_);
    server_.add_srv("_web._tcp.example.org", 0, 1, 81, "h1.example.org");
    const Instant start = world_.loop().now();
    const auto reply = exchange(*wire::dns::encode(notify()));
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->id, 99);
    EXPECT_TRUE(reply->is_response && reply->is_authoritative);
    EXPECT_EQ(reply->opcode, wire::dns::DnsOpcode::notify);
    EXPECT_EQ(reply->rcode, DnsRcode::no_error);
    EXPECT_EQ(reply->questions, notify().questions);
    world_.loop().run_for(100ms);
    ASSERT_TRUE(answer_ && answer_->ok());
    EXPECT_EQ((*answer_)->endpoints.size(), 2U);
    EXPECT_LT(world_.loop().now() - start, 1s);
}

TEST_F(DnsNotifyTest, OnlyServicesOfThatZoneAreAskedForAgain) {
    start();
    EXPECT_TRUE(exchange(*wire::dns::encode(notify("other.org"))));
    EXPECT_EQ(new_questions(), 0U);
    EXPECT_TRUE(exchange(*wire::dns::encode(notify("_tcp.EXAMPLE.org"))));
    EXPECT_EQ(new_questions(), 1U);
}

TEST_F(DnsNotifyTest, StrangersAndOtherMessagesAreNotAnswered) {
    config_.notify.from = {std::string(kOther)};
    start();
    EXPECT_FALSE(exchange(*wire::dns::encode(notify()), "10.0.0.77"));
    EXPECT_TRUE(exchange(*wire::dns::encode(notify()), kOther));
    EXPECT_EQ(new_questions(), 1U);
    DnsMessage query = notify();
    query.opcode = wire::dns::DnsOpcode::query;
    EXPECT_FALSE(exchange(*wire::dns::encode(query)));
    DnsMessage reply = notify();
    reply.is_response = true;
    EXPECT_FALSE(exchange(*wire::dns::encode(reply)));
    EXPECT_FALSE(exchange("nonsense"));
    EXPECT_FALSE(exchange(std::string(4'096, 'x')));
    EXPECT_EQ(new_questions(), 0U);
    EXPECT_EQ(backend_->notify()->stats().refused, 5U);
}

TEST_F(DnsNotifyTest, AStormOfThemIsPaced) {
    config_.notify.per_second_max = 1;
    start();
    for (int i = 0; i < 1'000; ++i) {
        world_.forge_datagram(at(kServer, 53), at(kOurs, 5353), *wire::dns::encode(notify()));
        world_.loop().run_for(10ms);
    }
    // Ten seconds: the burst, and one a second.
    EXPECT_LE(new_questions(), 17U);
    EXPECT_GE(backend_->notify()->stats().paced, 900U);
}

TEST_F(DnsNotifyTest, WithAKeyOnlyWhatIsSignedCounts) {
    config_.notify.key_name = "mesh-key";
    config_.notify.key_secret = core::base64_encode(kSecret);
    start();
    auto reply = exchange(*wire::dns::encode(notify()));
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->rcode, DnsRcode::not_authorised);
    reply = exchange(signed_notify("another secret, of 16 bytes"));
    ASSERT_TRUE(reply && reply->tsig);
    EXPECT_EQ(reply->tsig->error, 16);
    EXPECT_TRUE(reply->tsig->mac.empty());
    reply = exchange(signed_notify(kSecret, 301s));
    ASSERT_TRUE(reply && reply->tsig);
    EXPECT_EQ(reply->tsig->error, 18);
    EXPECT_EQ(reply->tsig->other.size(), 6U);
    EXPECT_EQ(new_questions(), 0U);
    EXPECT_EQ(backend_->notify()->stats().refused, 3U);
    for (const Duration skew : {-299s, 0s, 299s}) {
        reply = exchange(signed_notify(kSecret, skew));
        ASSERT_TRUE(reply && reply->tsig);
        EXPECT_EQ(reply->rcode, DnsRcode::no_error);
        // Ours is signed as well, over theirs.
        const std::string expected =
            io::hmac_sha256(kSecret, wire::dns::tsig_input(reply_bytes_, *reply->tsig, tsig_.mac));
        EXPECT_EQ(reply->tsig->mac, expected);
        EXPECT_EQ(new_questions(), 1U);
    }
    // A byte changed on the way.
    std::string touched = signed_notify(kSecret);
    touched[13] = static_cast<char>(touched[13] ^ 0x20);
    reply = exchange(touched);
    ASSERT_TRUE(reply && reply->tsig);
    EXPECT_EQ(reply->tsig->error, 16);
    EXPECT_EQ(new_questions(), 0U);
}

}  // namespace
}  // namespace datapunk::mesh::registry::dns
