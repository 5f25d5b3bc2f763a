#include "io/handover.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "io/stream.h"
#include "io/tcp.h"

namespace datapunk::mesh::io {

namespace {

using namespace std::chrono_literals;

class HandoverTest : public testing::Test {
  protected:
    void SetUp() override {
        path = testing::TempDir() + "handover-" + std::to_string(::getpid());
        loop = *EpollLoop::create();
        network = std::make_unique<KernelNetwork>(*loop, &sockets);
    }

    void open() {
        auto made = HandoverServer::open(
            *loop,
            path,
            sockets,
            {.release = [this] { ++released; }, .taken_over = [this] { ++taken_over; }},
            {}
        );
        ASSERT_TRUE(made) << made.error().what;
        server = *std::move(made);
    }

    // Runs the loop while `work` blocks in a thread of its own.
    template <class Work>
    auto beside(Work work) {
        auto done = std::async(std::launch::async, std::move(work));
        while (done.wait_for(0s) != std::future_status::ready) loop->turn(loop->now() + 1ms);
        return done.get();
    }

    std::string path;
    ListeningSockets sockets;
    std::unique_ptr<EpollLoop> loop;
    std::unique_ptr<KernelNetwork> network;
    std::unique_ptr<HandoverServer> server;
    int released = 0;
    int taken_over = 0;
};

TEST_F(HandoverTest, TheFollowerAcceptsWhatTheFirstDidNot) {
    auto listener = network->listen(SocketAddress::loopback(0), {});
    ASSERT_TRUE(listener);
    const SocketAddress at = (*listener)->local();
    open();
    ListeningSockets given;
    const auto outcome = beside([&]() -> Result<> {
        auto client = HandoverClient::connect(path, 5s);
        if (!client) return std::move(client).error();
        if (auto received = (*client)->receive(given); !received) return received;
        if (auto gone = (*client)->release(); !gone) return gone;
        return (*client)->finish();
    });
    ASSERT_TRUE(outcome) << outcome.error().what;
    EXPECT_EQ(released, 1);
    EXPECT_EQ(taken_over, 1);
    EXPECT_FALSE(std::filesystem::exists(path));
    ASSERT_TRUE(given.is_given(at));

    // A connection waits in the socket while the first process closes it.
    StreamPtr caller;
    StreamPtr accepted;
    TaskGroup tasks;
    const auto connect = [](Network& net, SocketAddress to, StreamPtr& out) -> Task<void> {
        auto stream = co_await net.connect(to, net.loop().now() + 5s);
        if (stream) out = *std::move(stream);
    };
    tasks.spawn(connect(*network, at, caller));
    while (caller == nullptr) loop->turn(loop->now() + 1ms);
    (*listener)->close();
    KernelNetwork follower(*loop, &given);
    auto taken = follower.listen(at, {});
    ASSERT_TRUE(taken) << taken.error().what;
    EXPECT_FALSE(given.is_given(at));
    const auto accept = [](Listener& from, StreamPtr& out) -> Task<void> {
        auto stream = co_await from.accept();
        if (stream) out = *std::move(stream);
    };
    tasks.spawn(accept(**taken, accepted));
    const Instant deadline = loop->now() + 5s;
    while (accepted == nullptr && loop->now() < deadline) loop->turn(loop->now() + 1ms);
    ASSERT_NE(accepted, nullptr);
    EXPECT_EQ(accepted->peer(), caller->local());
}

TEST_F(HandoverTest, AFollowerThatGoesChangesNothing) {
    auto listener = network->listen(SocketAddress::loopback(0), {});
    ASSERT_TRUE(listener);
    open();
    for (int i = 0; i < 3; ++i) {
        const auto received = beside([&]() -> Result<> {
            auto client = HandoverClient::connect(path, 5s);
            if (!client) return std::move(client).error();
            ListeningSockets given;
            return (*client)->receive(given);
        });
        EXPECT_TRUE(received) << received.error().what;
    }
    EXPECT_EQ(released + taken_over, 0);
    EXPECT_TRUE(std::filesystem::exists(path));
}

TEST_F(HandoverTest, NobodyThereIsNoError) {
    const auto client = HandoverClient::connect(path, 1s);
    ASSERT_TRUE(client);
    EXPECT_FALSE(client->has_value());
}

TEST_F(HandoverTest, ASecondServerIsRefusedAndADeadOnesSocketReplaced) {
    open();
    const auto second = HandoverServer::open(*loop, path, sockets, {}, {});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::conflict);
    server.reset();
    EXPECT_FALSE(std::filesystem::exists(path));
    std::ofstream(path) << "not a socket";
    const auto at_a_file = HandoverServer::open(*loop, path, sockets, {}, {});
    ASSERT_FALSE(at_a_file);
    EXPECT_NE(at_a_file.error().what.find("is not a socket"), std::string::npos);
    std::filesystem::remove(path);
}

TEST(ListeningSockets, APathTooLongIsRefused) {
    const auto loop = *EpollLoop::create();
    const ListeningSockets sockets;
    const auto server = HandoverServer::open(*loop, std::string(200, 'x'), sockets, {}, {});
    ASSERT_FALSE(server);
    EXPECT_EQ(server.error().code, Code::invalid);
}

}  // namespace

}  // namespace datapunk::mesh::io
