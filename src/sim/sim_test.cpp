#include <gmock/gmock.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::sim {
namespace {

using namespace std::chrono_literals;
using io::SocketAddress;
using io::Stream;
using io::StreamPtr;
using io::Task;
using io::TaskGroup;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view kA = "10.0.0.1";
constexpr std::string_view kB = "10.0.0.2";
constexpr std::string_view kC = "10.0.0.3";

SocketAddress at(std::string_view ip, std::uint16_t port) {
    return io::parse_ip(ip, port).value();
}

template <class T>
Task<void> keep(Task<T> task, std::optional<T>* out) {
    auto value = co_await std::move(task);
    out->emplace(std::move(value));
}

Task<void> accept_one(io::Listener* listener, StreamPtr* out) {
    auto stream = co_await listener->accept();
    if (stream) *out = *std::move(stream);
}

Task<Result<std::string>> read_to_end(Stream* stream, Instant deadline) {
    std::string all;
    std::string buffer(3000, '\0');
    for (;;) {
        auto got = co_await stream->read(buffer, deadline);
        if (!got) co_return got.error();
        if (*got == 0) co_return all;
        all.append(buffer, 0, *got);
    }
}

Task<Result<std::string>> read_once(Stream* stream, Instant deadline) {
    std::string buffer(3000, '\0');
    auto got = co_await stream->read(buffer, deadline);
    if (!got) co_return got.error();
    buffer.resize(*got);
    co_return buffer;
}

Task<Result<>> write_all(Stream* stream, std::string text, Instant deadline) {
    auto done = co_await stream->write(io::Slices(text), deadline);
    co_return done;
}

Task<Result<>> write_and_finish(Stream* stream, std::string text, Instant deadline) {
    auto done = co_await stream->write(io::Slices(text), deadline);
    stream->shutdown_write();
    co_return done;
}

std::string pattern(std::size_t bytes) {
    std::string text(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>((i * 31 + i / 251) & 0x7f);
    return text;
}

class SimTest : public ::testing::Test {
  protected:
    SimTest()
        : world(seed_for_test(7)),
          trace_seed(__FILE__, __LINE__, world.hint()),
          a(world.host(kA)),
          b(world.host(kB)) {
        listener = b.listen(at(kB, 80), {}).value();
    }

    void connect_pair() {
        TaskGroup group;
        std::optional<Result<StreamPtr>> outcome;
        group.spawn(accept_one(listener.get(), &server));
        group.spawn(keep(a.connect(at(kB, 80), in(60s)), &outcome));
        must_reach([&] { return outcome && (server || !outcome->ok()); });
        ASSERT_TRUE(outcome->ok()) << outcome->error().what;
        client = std::move(**outcome);
    }

    template <class T>
    T run(Task<T> task) {
        auto value = run_on(world.loop(), std::move(task), 10min);
        EXPECT_TRUE(value.has_value()) << "the task did not end";
        return std::move(*value);
    }

    void must_reach(const std::function<bool()>& done, Duration within = 10min) {
        const auto reached = world.loop().run_until(done, in(within));
        ASSERT_TRUE(reached.ok()) << reached.error().what;
    }

    // Sends `bytes` from the client and says how long it took until the server had them all.
    Duration transfer(std::size_t bytes) {
        const Instant before = world.loop().now();
        const std::string sent = pattern(bytes);
        std::optional<Result<>> written;
        std::optional<Result<std::string>> read;
        TaskGroup group;
        group.spawn(keep(write_and_finish(client.get(), sent, in(10min)), &written));
        group.spawn(keep(read_to_end(server.get(), in(10min)), &read));
        must_reach([&] { return written && read; });
        EXPECT_TRUE(written->ok()) << written->error().what;
        EXPECT_TRUE(read->ok() && read->value() == sent);
        return world.loop().now() - before;
    }

    Instant in(Duration time) { return world.loop().now() + time; }

    SimWorld world;
    ::testing::ScopedTrace trace_seed;
    SimNetwork& a;
    SimNetwork& b;
    std::unique_ptr<io::Listener> listener;
    StreamPtr client;
    StreamPtr server;
};

TEST_F(SimTest, TimeJumpsAndTheWallFollows) {
    const WallTime wall = world.loop().wall_now();
    world.loop().run_for(24h);
    EXPECT_EQ(world.loop().wall_now() - wall, 24h);
}

TEST_F(SimTest, SaysWhenTheWorldIsStuckAndWhenItIsOnlyLate) {
    io::Event never(world.loop());
    std::optional<bool> reached;
    struct Body {
        static Task<bool> run(io::Event* event) {
            const bool set = co_await event->wait(kNever);
            co_return set;
        }

        static Task<void> tick(io::Loop* loop) {
            for (;;) co_await io::sleep_for(*loop, 1s);
        }
    };
    TaskGroup group;
    group.spawn(keep(Body::run(&never), &reached));
    const auto done = [&] { return reached.has_value(); };
    const Instant before = world.loop().now();
    const auto stuck = world.loop().run_until(done, in(1h));
    EXPECT_EQ(stuck.error().code, Code::aborted);
    EXPECT_THAT(stuck.error().what, HasSubstr("stuck"));
    EXPECT_EQ(world.loop().now(), before);

    group.spawn(Body::tick(&world.loop()));
    const auto late = world.loop().run_until(done, in(1h));
    EXPECT_EQ(late.error().code, Code::timeout);
    EXPECT_EQ(world.loop().now(), before + 1h);
}

TEST_F(SimTest, CatchesALoopThatNeverWaits) {
    struct Body {
        static void spin(io::Loop* loop) {
            loop->post([loop] { spin(loop); });
        }
    };
    Body::spin(&world.loop());
    const auto spun = world.loop().run_until([] { return false; }, in(1s));
    EXPECT_EQ(spun.error().code, Code::internal);
}

TEST_F(SimTest, CarriesBytesWithTheLinksLatency) {
    world.set_plan(kA, kB, {.latency_min = 20ms, .latency_max = 20ms});
    const Instant before = world.loop().now();
    connect_pair();
    EXPECT_EQ(world.loop().now() - before, 40ms);
    EXPECT_EQ(client->peer(), at(kB, 80));
    EXPECT_EQ(client->local(), server->peer());
    EXPECT_EQ(transfer(10), 20ms);
}

TEST_F(SimTest, AHalfClosedPeerStillReads) {
    connect_pair();
    ASSERT_TRUE(run(write_and_finish(client.get(), "question", in(1s))));
    EXPECT_EQ(run(read_to_end(server.get(), in(1s))).value(), "question");
    EXPECT_EQ(run(write_all(client.get(), "more", in(1s))).error().code, Code::unavailable);
    ASSERT_TRUE(run(write_and_finish(server.get(), "answer", in(1s))));
    EXPECT_EQ(run(read_to_end(client.get(), in(1s))).value(), "answer");
}

TEST_F(SimTest, BoundedBuffersMakeAWriterWait) {
    world.set_plan(kA, kB, {.buffer_bytes = 4'096});
    connect_pair();
    std::optional<Result<>> written;
    TaskGroup group;
    group.spawn(keep(write_all(client.get(), pattern(8'192), in(10min)), &written));
    world.loop().run_for(1min);
    EXPECT_FALSE(written.has_value());
    EXPECT_EQ(run(read_once(server.get(), in(1s))).value().size(), 3'000U);
    world.loop().run_for(1s);
    EXPECT_FALSE(written.has_value());
    while (!written) static_cast<void>(run(read_once(server.get(), in(1s))));
    EXPECT_TRUE(written->ok());
}

TEST_F(SimTest, ShortReadsAndWritesKeepTheBytes) {
    world.set_plan(kA, kB, {.short_read = 0.8, .short_write = 0.8, .segment_bytes_max = 100});
    connect_pair();
    int short_reads = 0;
    for (int round = 0; round < 20; ++round) {
        ASSERT_TRUE(run(write_all(client.get(), pattern(1000), in(1min))));
        world.loop().run_for(1s);
        std::string got;
        while (got.size() < 1000) {
            const auto piece = run(read_once(server.get(), in(1s))).value();
            short_reads += piece.size() < 1000 - got.size() ? 1 : 0;
            got += piece;
        }
        EXPECT_EQ(got, pattern(1000));
    }
    EXPECT_GT(short_reads, 0);
    transfer(200'000);
}

TEST_F(SimTest, BandwidthLimitsATransfer) {
    world.set_plan(kA, kB, {.bytes_per_second = 100'000});
    connect_pair();
    const Duration took = transfer(500'000);
    EXPECT_GE(took, 5s);
    EXPECT_LT(took, 6s);
}

TEST_F(SimTest, LossIsARetransmissionDelayAndKeepsTheOrder) {
    world.set_plan(kA, kB, {.loss = 0.2});
    connect_pair();
    EXPECT_GE(transfer(100'000), 200ms);
}

TEST_F(SimTest, ResetsHitBothEnds) {
    world.set_plan(kA, kB, {.reset = 1});
    connect_pair();
    static_cast<void>(run(write_all(client.get(), "x", in(1s))));
    EXPECT_THAT(run(read_to_end(client.get(), in(1s))).error().what, HasSubstr("reset"));
    EXPECT_THAT(run(read_to_end(server.get(), in(1s))).error().what, HasSubstr("reset"));
}

TEST_F(SimTest, ResetConnectionsHitsOnlyThatHost) {
    connect_pair();
    auto c_listener = world.host(kC).listen(at(kC, 80), {}).value();
    StreamPtr far;
    TaskGroup group;
    group.spawn(accept_one(c_listener.get(), &far));
    const StreamPtr near = run(a.connect(at(kC, 80), in(1s))).value();
    world.reset_connections(kB);
    EXPECT_FALSE(run(read_once(client.get(), in(1s))).ok());
    EXPECT_EQ(run(read_once(near.get(), in(1s))).error().code, Code::timeout);
}

TEST_F(SimTest, ConnectsAreRefusedWithoutAListenerAndByPlan) {
    EXPECT_THAT(
        run(a.connect(at(kB, 81), in(1s))).error().what,
        HasSubstr("connect to 10.0.0.2:81: Connection refused")
    );
    world.set_plan(kA, kB, {.refuse = 1});
    EXPECT_THAT(run(a.connect(at(kB, 80), in(1s))).error().what, HasSubstr("refused"));
}

TEST_F(SimTest, BlackHoledConnectsTimeOutAtTheDeadline) {
    world.set_plan(kA, kB, {.blackhole = 1});
    const Instant before = world.loop().now();
    EXPECT_EQ(run(a.connect(at(kB, 80), in(3s))).error().code, Code::timeout);
    EXPECT_EQ(world.loop().now() - before, 3s);
    EXPECT_EQ(run(a.connect(at("10.9.9.9", 80), in(3s))).error().code, Code::timeout);
    EXPECT_EQ(run(a.connect(at("10.9.9.9", 80), kNever)).error().code, Code::timeout);
}

TEST_F(SimTest, APartitionHoldsBytesUntilItHeals) {
    connect_pair();
    world.partition(kA, kB);
    ASSERT_TRUE(run(write_all(client.get(), "hello", in(1s))));
    EXPECT_EQ(run(read_once(server.get(), in(10s))).error().code, Code::timeout);
    EXPECT_EQ(run(a.connect(at(kB, 80), in(1s))).error().code, Code::timeout);
    world.heal(kA, kB);
    EXPECT_EQ(run(read_once(server.get(), in(1s))).value(), "hello");
}

TEST_F(SimTest, ALongPartitionEndsTheSendersConnection) {
    world.set_plan(kA, kB, {.give_up = 30s});
    connect_pair();
    world.partition(kA, kB);
    ASSERT_TRUE(run(write_all(client.get(), "hello", in(1s))));
    const auto lost = run(read_once(client.get(), in(2min)));
    EXPECT_THAT(lost.error().what, HasSubstr("timed out"));
}

TEST_F(SimTest, AKilledHostIsSilentAndItsOldConnectionsAreResetAfterItRevives) {
    connect_pair();
    world.kill(kB);
    EXPECT_EQ(run(read_once(client.get(), in(10s))).error().code, Code::timeout);
    EXPECT_EQ(run(a.connect(at(kB, 80), in(1s))).error().code, Code::timeout);
    world.revive(kB);
    ASSERT_TRUE(run(write_all(client.get(), "are you there?", in(1s))));
    EXPECT_THAT(run(read_once(client.get(), in(1s))).error().what, HasSubstr("reset"));
}

TEST_F(SimTest, ClosingWithUnreadBytesResetsAndClosingWithoutEnds) {
    connect_pair();
    ASSERT_TRUE(run(write_all(client.get(), "unread", in(1s))));
    world.loop().run_for(100ms);
    server->close();
    EXPECT_THAT(run(read_once(client.get(), in(1s))).error().what, HasSubstr("reset"));

    connect_pair();
    server.reset();
    EXPECT_EQ(run(read_once(client.get(), in(1s))).value(), "");
    ASSERT_TRUE(run(write_all(client.get(), "too late", in(1s))));
    EXPECT_THAT(run(read_once(client.get(), in(1s))).value(), "");
    world.loop().run_for(100ms);
    EXPECT_FALSE(run(write_all(client.get(), "too late", in(1s))).ok());
    client.reset();
    EXPECT_EQ(world.open_connections(), 0U);
}

TEST_F(SimTest, CloseEndsTheOwnersWaits) {
    connect_pair();
    std::optional<Result<std::string>> read;
    TaskGroup group;
    group.spawn(keep(read_once(client.get(), kNever), &read));
    client->close();
    EXPECT_FALSE(read.has_value());
    must_reach([&] { return read.has_value(); });
    EXPECT_EQ(read->error().code, Code::aborted);
}

TEST_F(SimTest, AFullBacklogDropsConnectsUntilThereIsRoom) {
    auto small = b.listen(at(kB, 81), {.backlog = 1}).value();
    const StreamPtr first = run(a.connect(at(kB, 81), in(1s))).value();
    EXPECT_EQ(run(a.connect(at(kB, 81), in(1s))).error().code, Code::timeout);
    TaskGroup group;
    group.spawn(accept_one(small.get(), &server));
    EXPECT_TRUE(run(a.connect(at(kB, 81), in(1s))).ok());
}

TEST_F(SimTest, ListensLikeTheKernel) {
    EXPECT_EQ(b.listen(at(kB, 80), {}).error().code, Code::conflict);
    EXPECT_EQ(b.listen(at(kA, 80), {}).error().code, Code::invalid);
    const auto any = b.listen(at("0.0.0.0", 0), {}).value();
    EXPECT_NE(any->local().port, 0);
    const auto inside = b.listen(at("127.0.0.1", 90), {}).value();
    EXPECT_FALSE(run(a.connect(at(kB, 90), in(1s))).ok());
    const StreamPtr self = run(b.connect(at("127.0.0.1", 90), in(1s))).value();
    ASSERT_TRUE(run(write_all(self.get(), "x", in(1s))));
    listener.reset();
    EXPECT_THAT(run(a.connect(at(kB, 80), in(1s))).error().what, HasSubstr("refused"));
}

TEST_F(SimTest, ResolvesFromItsTable) {
    world.set_name("api", {kB, kC});
    const auto found = run(a.resolve("api", 80, in(1s)));
    EXPECT_THAT(found.value(), ElementsAre(at(kB, 80), at(kC, 80)));
    EXPECT_THAT(run(a.resolve("nope", 80, in(1s))).error().what, HasSubstr("not known"));
    // The second address is tried when the first refuses.
    world.set_name("both", {kC, kB});
    static_cast<void>(world.host(kC));
    EXPECT_TRUE(run(io::connect_to(a, "both", 80, in(10s))).ok());
    world.set_names_silent(true);
    EXPECT_EQ(run(a.resolve("api", 80, in(1s))).error().code, Code::timeout);
}

Task<void> chatter(SimNetwork* from, SocketAddress to, int rounds) {
    for (int i = 0; i < rounds; ++i) {
        const Instant deadline = from->loop().now() + 2s;
        auto stream = co_await from->connect(to, deadline);
        if (!stream) continue;
        const std::string text = pattern(5'000);
        static_cast<void>(co_await (*stream)->write(io::Slices(text), deadline));
        std::string buffer(512, '\0');
        static_cast<void>(co_await (*stream)->read(buffer, deadline));
    }
}

Task<void> echo(StreamPtr stream) {
    std::string buffer(512, '\0');
    for (;;) {
        const Instant deadline = stream->loop().now() + 5s;
        auto got = co_await stream->read(buffer, deadline);
        if (!got || *got == 0) co_return;
        const std::string_view bytes(buffer.data(), *got);
        auto sent = co_await stream->write(io::Slices(bytes), deadline);
        if (!sent) co_return;
    }
}

Task<void> serve(io::Listener* listener, TaskGroup* group) {
    for (;;) {
        auto stream = co_await listener->accept();
        if (!stream) co_return;
        group->spawn(echo(*std::move(stream)));
    }
}

std::pair<std::uint64_t, std::size_t> run_chaos(std::uint64_t seed) {
    SimWorld world(seed);
    world.set_default_plan(
        {.latency_min = 1ms,
         .latency_max = 30ms,
         .loss = 0.05,
         .reset = 0.01,
         .refuse = 0.1,
         .blackhole = 0.05,
         .short_read = 0.3,
         .short_write = 0.3}
    );
    auto listener = world.host(kB).listen(at(kB, 80), {}).value();
    TaskGroup servers;
    TaskGroup clients;
    servers.spawn(serve(listener.get(), &servers));
    clients.spawn(chatter(&world.host(kA), at(kB, 80), 20));
    clients.spawn(chatter(&world.host(kC), at(kB, 80), 20));
    world.loop().run_for(2s);
    world.partition(kA, kB);
    world.loop().run_for(2s);
    world.heal(kA, kB);
    const auto reached = world.loop().run_until(
        [&] { return clients.empty(); }, world.loop().now() + std::chrono::hours(1)
    );
    EXPECT_TRUE(reached.ok()) << reached.error().what << ", " << world.hint();
    return {world.trace_hash(), world.trace().size()};
}

TEST(SimWorldTest, TheSameSeedGivesTheSameTraceAndAnotherSeedAnother) {
    const std::uint64_t seed = seed_for_test(99);
    SCOPED_TRACE(seed_hint(seed));
    const auto first = run_chaos(seed);
    EXPECT_GT(first.second, 100U);
    EXPECT_EQ(first, run_chaos(seed));
    EXPECT_NE(first.first, run_chaos(seed + 1).first);
}

}  // namespace
}  // namespace datapunk::mesh::sim
