#include "sim/sim_datagram.h"

#include <gmock/gmock.h>

#include <set>

#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::sim {
namespace {

using namespace std::chrono_literals;
using io::SocketAddress;

constexpr std::string_view kA = "10.0.0.1";
constexpr std::string_view kB = "10.0.0.2";

SocketAddress at(std::string_view ip, std::uint16_t port) {
    return *io::parse_ip(ip, port);
}

io::Task<void> collect(io::DatagramSocket* socket, std::vector<std::string>* out) {
    for (;;) {
        std::string buffer(1'000, '\0');
        auto got = co_await socket->receive(buffer, kNever);
        if (!got) {
            out->push_back("error: " + got.error().what);
            co_return;
        }
        buffer.resize(got->bytes);
        out->push_back(buffer);
    }
}

class SimDatagramTest : public ::testing::Test {
  protected:
    SimDatagramTest() : trace_(__FILE__, __LINE__, world_.hint()) {}

    // Sends "0", "1", … and says what arrived, in order.
    std::vector<std::string> send_many(int count) {
        const io::DatagramPtr a = *world_.host(kA).open_datagram(at(kA, 0), {});
        const io::DatagramPtr b = *world_.host(kB).open_datagram(at(kB, 53), {});
        std::vector<std::string> got;
        io::TaskGroup tasks;
        tasks.spawn(collect(b.get(), &got));
        for (int i = 0; i < count; ++i) {
            EXPECT_TRUE(a->send(std::to_string(i), at(kB, 53), {}));
        }
        world_.loop().run_for(1s);
        return got;
    }

    SimWorld world_{seed_for_test(11)};
    ::testing::ScopedTrace trace_;
};

TEST_F(SimDatagramTest, ArriveInOrderOnAQuietLink) {
    const auto got = send_many(100);
    ASSERT_EQ(got.size(), 100U);
    for (std::size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], std::to_string(i));
}

TEST_F(SimDatagramTest, AreLostDoubledCutAndOvertakenByPlan) {
    world_.set_plan(kA, kB, {.loss = 0.5});
    const std::size_t left = send_many(200).size();
    EXPECT_GT(left, 50U);
    EXPECT_LT(left, 150U);
    world_.set_plan(kA, kB, {.datagram_twice = 1});
    EXPECT_EQ(send_many(50).size(), 100U);
    world_.set_plan(kA, kB, {.datagram_cut = 1});
    for (const std::string& message : send_many(100)) EXPECT_LE(message.size(), 1U);
    world_.set_plan(kA, kB, {.latency_min = 1ms, .latency_max = 20ms});
    const auto mixed = send_many(100);
    EXPECT_EQ(std::set<std::string>(mixed.begin(), mixed.end()).size(), 100U);
    EXPECT_FALSE(std::is_sorted(mixed.begin(), mixed.end(), [](const auto& x, const auto& y) {
        return std::stoi(x) < std::stoi(y);
    }));
    world_.partition(kA, kB);
    EXPECT_TRUE(send_many(10).empty());
}

TEST_F(SimDatagramTest, AConnectedSocketTakesItsPeersMessagesOnlyAndForgeriesInItsName) {
    const io::DatagramPtr client = *world_.host(kA).open_datagram(at(kA, 0), {.peer = at(kB, 53)});
    const SocketAddress here = at(kA, client->local().port);
    world_.host(kB);  // is there
    std::vector<std::string> got;
    io::TaskGroup tasks;
    tasks.spawn(collect(client.get(), &got));
    world_.forge_datagram(at(kB, 54), here, "stranger");
    world_.forge_datagram(at(kB, 53), here, "forged");
    world_.loop().run_for(1s);
    EXPECT_THAT(got, testing::ElementsAre("forged"));
    // Nobody listens on that host's port 53.
    ASSERT_TRUE(client->send("ask", {}, {}));
    world_.loop().run_for(1s);
    ASSERT_EQ(got.size(), 2U);
    EXPECT_THAT(got[1], testing::HasSubstr("refused"));
}

TEST_F(SimDatagramTest, ASlowReceiverLosesWhatDoesNotFit) {
    const io::DatagramPtr a = *world_.host(kA).open_datagram(at(kA, 0), {});
    const io::DatagramPtr b = *world_.host(kB).open_datagram(at(kB, 53), {});
    for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(a->send("x", at(kB, 53), {}));
    world_.loop().run_for(1s);
    std::vector<std::string> got;
    io::TaskGroup tasks;
    tasks.spawn(collect(b.get(), &got));
    world_.loop().run_for(1s);
    EXPECT_EQ(got.size(), 256U);
    EXPECT_FALSE(world_.host(kB).open_datagram(at(kB, 53), {}));
    EXPECT_FALSE(world_.host(kB).open_datagram(at(kA, 54), {}));
}

}  // namespace
}  // namespace datapunk::mesh::sim
