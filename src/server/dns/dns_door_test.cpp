// The registry's DNS server on a simulated network.

#include "server/dns/dns_door.h"

#include <gmock/gmock.h>

#include "metrics/names.h"
#include "registry/embedded/volatile_log.h"
#include "server/test_server.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::server::dns {
namespace {

using namespace std::chrono_literals;
using wire::dns::DnsMessage;
using wire::dns::DnsName;
using wire::dns::DnsType;

constexpr std::string_view kDoor = "10.0.0.53";
constexpr std::string_view kClient = "10.0.0.1";

io::SocketAddress at(std::string_view ip, std::uint16_t port) {
    return *io::parse_ip(ip, port);
}

std::string question(std::string_view name, DnsType type = DnsType::a, std::uint16_t id = 5) {
    DnsMessage query{.id = id, .recursion_desired = true};
    query.questions.push_back({.name = *DnsName::parse(name), .type = type});
    return *wire::dns::encode(query);
}

std::string framed(const std::string& message) {
    std::string out;
    out += static_cast<char>(message.size() >> 8U);
    out += static_cast<char>(message.size() & 0xffU);
    return out + message;
}

io::Task<void> collect(io::DatagramSocket* socket, std::vector<std::string>* out) {
    for (;;) {
        std::string buffer(65'536, '\0');
        auto got = co_await socket->receive(buffer, kNever);
        if (!got) co_return;
        out->push_back(buffer.substr(0, got->bytes));
    }
}

// Sends `bytes` and reads until the door closes the connection.
io::Task<void> converse(io::Network* network, std::string bytes, std::string* out, bool* closed) {
    auto stream = co_await network->connect(at(kDoor, 8600), kNever);
    if (!stream) co_return;
    const io::Slices slices{std::string_view(bytes)};
    auto written = co_await (*stream)->write(slices, kNever);
    while (written) {
        std::string piece(65'536, '\0');
        auto got = co_await (*stream)->read(piece, kNever);
        if (!got || *got == 0) break;
        out->append(piece, 0, *got);
    }
    *closed = true;
}

class DnsDoorTest : public testing::Test {
  protected:
    DnsDoorTest() : trace_(__FILE__, __LINE__, world_.hint()) {
        auto opened = registry::embedded::EmbeddedRegistry::open(
            world_.loop(),
            std::make_unique<registry::embedded::VolatileLog>(),
            test_registry_config(),
            core::Logger()
        );
        EXPECT_TRUE(opened);
        registry_ = *std::move(opened);
        for (int i = 1; i <= 3; ++i) add(i);
    }

    void add(int i) {
        catalog::RegisterService command;
        command.service.id = "web" + std::to_string(i);
        command.service.name = "web";
        command.service.address = "10.9.0." + std::to_string(i);
        command.service.port = 80;
        const Instant deadline = world_.loop().now() + 5s;
        const auto done = sim::run_on(world_.loop(), registry_->execute(command, deadline));
        EXPECT_TRUE(done && done->ok());
    }

    void open() {
        auto door =
            DnsDoor::open(world_.host(kDoor), *registry_, at(kDoor, 8600), config_, core::Logger());
        ASSERT_TRUE(door) << door.error().what;
        door_ = *std::move(door);
        door_->count_into(metrics_);
        socket_ = *world_.host(kClient).open_datagram(at(kClient, 0), {});
        tasks_.spawn(collect(socket_.get(), &replies_));
    }

    double counted(const metrics::MetricFamily& family) {
        const metrics::MetricsSnapshot snapshot = metrics_.snapshot();
        const metrics::FamilySnapshot* found = snapshot.find(family);
        return found == nullptr ? -1 : found->total();
    }

    void send(std::string_view bytes) { EXPECT_TRUE(socket_->send(bytes, at(kDoor, 8600), {})); }

    void pass(Duration time = 100ms) { world_.loop().run_for(time); }

    sim::SimWorld world_{sim::seed_for_test(21)};
    testing::ScopedTrace trace_;
    std::unique_ptr<registry::embedded::EmbeddedRegistry> registry_;
    DnsDoorConfig config_;
    metrics::MetricRegistry metrics_;
    std::unique_ptr<DnsDoor> door_;
    io::DatagramPtr socket_;
    std::vector<std::string> replies_;
    io::TaskGroup tasks_;
};

TEST_F(DnsDoorTest, AnswersByUdpAndLivesThroughNonsense) {
    open();
    send("");
    send("nonsense");
    send(std::string(4'096, '\xff'));
    send(question("web.service.consul"));
    pass();
    ASSERT_EQ(replies_.size(), 1U);
    const auto reply = wire::dns::decode(replies_[0]);
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->answers.size(), 3U);
    EXPECT_EQ(door_->stats().udp_questions, 4U);
    EXPECT_EQ(door_->stats().dropped, 3U);
    EXPECT_EQ(counted(metrics::names::kRegistryDnsQuestions), 4);
    EXPECT_EQ(counted(metrics::names::kRegistryDnsRefused), 3);
}

TEST_F(DnsDoorTest, AnswersManyQuestionsOfOneTcpConnectionInTurn) {
    open();
    std::string bytes;
    for (std::uint16_t id = 1; id <= 300; ++id) {
        bytes += framed(question("web.service.consul", DnsType::srv, id));
    }
    std::string got;
    bool closed = false;
    tasks_.spawn(converse(&world_.host(kClient), bytes, &got, &closed));
    pass(5s);
    EXPECT_FALSE(closed);
    for (std::uint16_t id = 1; id <= 300; ++id) {
        ASSERT_GE(got.size(), 2U);
        const std::size_t size = static_cast<std::size_t>(static_cast<unsigned char>(got[0]))
                                     << 8U |
                                 static_cast<unsigned char>(got[1]);
        const auto reply = wire::dns::decode(got.substr(2, size));
        ASSERT_TRUE(reply) << reply.error().what;
        EXPECT_EQ(reply->id, id);
        EXPECT_EQ(reply->answers.size(), 3U);
        got.erase(0, size + 2);
    }
    EXPECT_TRUE(got.empty());
    // Ten seconds without another question.
    pass(11s);
    EXPECT_TRUE(closed);
}

TEST_F(DnsDoorTest, ConnectionsThatDawdleOrLieAreClosed) {
    open();
    const std::string whole = framed(question("web.service.consul"));
    for (const std::string& bytes :
         {whole.substr(0, 10), std::string("\xff\xff"), framed("nonsense")}) {
        std::string got;
        bool closed = false;
        tasks_.spawn(converse(&world_.host(kClient), bytes, &got, &closed));
        pass(11s);
        EXPECT_TRUE(closed);
        EXPECT_TRUE(got.empty());
    }
}

TEST_F(DnsDoorTest, ConnectionsAreBounded) {
    config_.tcp_connections_max = 3;
    open();
    std::array<std::string, 5> got;
    std::array<bool, 5> closed{};
    for (std::size_t i = 0; i < got.size(); ++i) {
        const std::string bytes = framed(question("web.service.consul"));
        tasks_.spawn(converse(&world_.host(kClient), bytes, &got[i], &closed[i]));
    }
    pass(1s);
    EXPECT_EQ(std::count_if(got.begin(), got.end(), [](auto& text) { return !text.empty(); }), 3);
    EXPECT_EQ(std::count(closed.begin(), closed.end(), true), 2);
    EXPECT_EQ(door_->stats().tcp_refused, 2U);
    EXPECT_EQ(counted(metrics::names::kRegistryDnsQuestions), 3) << "by TCP";
    EXPECT_EQ(counted(metrics::names::kRegistryDnsRefused), 2);
    pass(11s);  // the others went idle: there is room again
    std::string late;
    bool over = false;
    const std::string bytes = framed(question("web.service.consul"));
    tasks_.spawn(converse(&world_.host(kClient), bytes, &late, &over));
    pass(1s);
    EXPECT_FALSE(late.empty());
}

TEST_F(DnsDoorTest, AFloodIsToldToComeByTcpAndThenNothing) {
    config_.responses_per_second_max = 10;
    open();
    for (int i = 0; i < 120; ++i) send(question("web.service.consul"));
    pass();
    ASSERT_EQ(replies_.size(), 100U);
    int cut = 0;
    for (const std::string& bytes : replies_) {
        const auto reply = wire::dns::decode(bytes);
        ASSERT_TRUE(reply);
        cut += reply->is_truncated ? 1 : 0;
        EXPECT_TRUE(!reply->is_truncated || bytes.size() <= question("web.service.consul").size());
    }
    EXPECT_EQ(cut, 90);
    EXPECT_EQ(door_->stats().dropped, 20U);
    EXPECT_EQ(counted(metrics::names::kRegistryDnsRefused), 90 + 20);
    pass(1s);
    replies_.clear();
    send(question("web.service.consul"));
    pass();
    EXPECT_FALSE(wire::dns::decode(replies_.at(0))->is_truncated);
}

TEST_F(DnsDoorTest, ATakenPortIsAnErrorThatSaysSo) {
    open();
    const auto again =
        DnsDoor::open(world_.host(kDoor), *registry_, at(kDoor, 8600), config_, core::Logger());
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Code::conflict);
    config_.domain = "..";
    EXPECT_FALSE(
        DnsDoor::open(world_.host(kDoor), *registry_, at(kDoor, 0), config_, core::Logger())
    );
}

}  // namespace
}  // namespace datapunk::mesh::server::dns
