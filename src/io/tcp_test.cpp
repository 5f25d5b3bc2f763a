#include "io/tcp.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "sim/run.h"

namespace datapunk::mesh::io {
namespace {

using namespace std::chrono_literals;
using ::testing::AnyOf;
using ::testing::HasSubstr;

struct Pair {
    StreamPtr client;
    StreamPtr server;
};

Task<void> accept_into(Listener* listener, StreamPtr* out, std::optional<Error>* problem) {
    auto stream = co_await listener->accept();
    if (stream) {
        *out = *std::move(stream);
    } else {
        *problem = stream.error();
    }
}

Task<void> connect_into(
    Network* network, SocketAddress to, StreamPtr* out, std::optional<Error>* problem
) {
    const Instant deadline = network->loop().now() + 10s;
    auto stream = co_await network->connect(to, deadline);
    if (stream) {
        *out = *std::move(stream);
    } else {
        *problem = stream.error();
    }
}

Task<Result<std::string>> read_once(Stream* stream, std::size_t bytes_max, Instant deadline) {
    std::string buffer(bytes_max, '\0');
    auto got = co_await stream->read(buffer, deadline);
    if (!got) co_return got.error();
    buffer.resize(*got);
    co_return buffer;
}

Task<Result<std::string>> read_to_end(Stream* stream, Instant deadline) {
    std::string all;
    std::string buffer(4096, '\0');
    for (;;) {
        auto got = co_await stream->read(buffer, deadline);
        if (!got) co_return got.error();
        if (*got == 0) co_return all;
        all.append(buffer, 0, *got);
    }
}

Task<Result<>> write_all(Stream* stream, std::string text, Instant deadline) {
    auto done = co_await stream->write(Slices(text), deadline);
    co_return done;
}

Task<Result<>> until_readable(Stream* stream, Instant deadline) {
    auto done = co_await stream->readable(deadline);
    co_return done;
}

// Keeps the outcome of a task that runs beside others.
template <class T>
Task<void> keep(Task<T> task, std::optional<T>* out) {
    auto value = co_await std::move(task);
    out->emplace(std::move(value));
}

std::string pattern(std::size_t bytes) {
    std::string text(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>((i * 31 + i / 251) & 0x7f);
    return text;
}

class TcpTest : public ::testing::Test {
  protected:
    TcpTest() : loop(EpollLoop::create().value()), network(*loop) {
        listener = network.listen(SocketAddress::loopback(0), {}).value();
    }

    Pair connected() {
        Pair pair;
        std::optional<Error> problem;
        TaskGroup group;
        group.spawn(accept_into(listener.get(), &pair.server, &problem));
        group.spawn(connect_into(&network, listener->local(), &pair.client, &problem));
        turn_until([&] { return group.empty(); });
        EXPECT_FALSE(problem.has_value()) << problem->what;
        return pair;
    }

    template <class Done>
    void turn_until(Done done) {
        const Instant end = loop->now() + 20s;
        while (!done() && loop->now() < end) loop->turn(end);
        ASSERT_TRUE(done()) << "nothing happened for 20 s";
    }

    template <class T>
    T run(Task<T> task) {
        auto value = sim::run_on(*loop, std::move(task));
        EXPECT_TRUE(value.has_value()) << "the task did not end";
        return std::move(*value);
    }

    Instant soon() const { return loop->now() + 10s; }

    std::unique_ptr<EpollLoop> loop;
    KernelNetwork network;
    std::unique_ptr<Listener> listener;
};

TEST_F(TcpTest, CarriesBytesBothWaysAndKnowsItsAddresses) {
    const Pair pair = connected();
    EXPECT_EQ(pair.client->peer(), listener->local());
    EXPECT_EQ(pair.client->local(), pair.server->peer());
    ASSERT_TRUE(run(write_all(pair.client.get(), "ping", soon())));
    EXPECT_EQ(run(read_once(pair.server.get(), 100, soon())).value(), "ping");
    ASSERT_TRUE(run(write_all(pair.server.get(), "pong", soon())));
    EXPECT_EQ(run(read_once(pair.client.get(), 100, soon())).value(), "pong");
}

TEST_F(TcpTest, WritesSeveralSlicesAsOne) {
    const Pair pair = connected();
    Slices slices("one,");
    slices.add("");
    slices.add("two,");
    slices.add("three");
    struct Body {
        static Task<Result<>> run(Stream* stream, Slices pieces, Instant deadline) {
            auto done = co_await stream->write(pieces, deadline);
            co_return done;
        }
    };
    ASSERT_TRUE(run(Body::run(pair.client.get(), slices, soon())));
    pair.client->shutdown_write();
    EXPECT_EQ(run(read_to_end(pair.server.get(), soon())).value(), "one,two,three");
}

TEST_F(TcpTest, SeesTheEndThatCameWithTheDataInOneEdge) {
    const Pair pair = connected();
    ASSERT_TRUE(run(write_all(pair.client.get(), "last words", soon())));
    pair.client->close();
    // Both must be there before the server looks, and its edge must be taken before it reads.
    ASSERT_TRUE(run(until_readable(pair.server.get(), soon())));
    for (int i = 0; i < 10; ++i) loop->turn(loop->now());
    EXPECT_EQ(run(read_once(pair.server.get(), 4, soon())).value(), "last");
    EXPECT_EQ(run(read_once(pair.server.get(), 100, soon())).value(), " words");
    EXPECT_EQ(run(read_once(pair.server.get(), 100, soon())).value(), "");
    EXPECT_EQ(run(read_once(pair.server.get(), 100, soon())).value(), "");  // still the end
}

TEST_F(TcpTest, AHalfClosedPeerStillReads) {
    const Pair pair = connected();
    pair.client->shutdown_write();
    EXPECT_EQ(run(read_to_end(pair.server.get(), soon())).value(), "");
    ASSERT_TRUE(run(write_all(pair.server.get(), "the answer", soon())));
    pair.server->shutdown_write();
    EXPECT_EQ(run(read_to_end(pair.client.get(), soon())).value(), "the answer");
}

TEST_F(TcpTest, AResetIsAnErrorAndStaysOne) {
    const Pair pair = connected();
    ASSERT_TRUE(run(write_all(pair.server.get(), "half an ans", soon())));
    ASSERT_TRUE(run(until_readable(pair.client.get(), soon())));
    pair.server->reset();
    // The first to notice may be the writer; the reader must not take it for a normal end.
    std::optional<Error> write_error;
    turn_until([&] {
        auto written = run(write_all(pair.client.get(), "x", soon()));
        if (!written) write_error = written.error();
        return write_error.has_value();
    });
    EXPECT_EQ(write_error->code, Code::unavailable);
    for (int i = 0; i < 2; ++i) {
        const auto rest = run(read_to_end(pair.client.get(), soon()));
        ASSERT_FALSE(rest.ok());
        EXPECT_THAT(rest.error().what, HasSubstr("Connection reset"));
        EXPECT_TRUE(rest.error().retryable);
        EXPECT_EQ(rest.error().source, Source::upstream);
    }
}

TEST_F(TcpTest, AResetWakesAWaitingReader) {
    const Pair pair = connected();
    std::optional<Result<std::string>> outcome;
    TaskGroup group;
    group.spawn(keep(read_once(pair.client.get(), 10, soon()), &outcome));
    pair.server->reset();
    turn_until([&] { return outcome.has_value(); });
    EXPECT_THAT(outcome->error().what, HasSubstr("Connection reset"));
}

TEST_F(TcpTest, BigWritesWaitForASlowReaderInBothDirectionsAtOnce) {
    const Pair pair = connected();
    const std::string big = pattern(8'000'000);
    struct Sender {
        static Task<void> run(Stream* stream, std::string text, Instant deadline, bool* ended) {
            auto done = co_await stream->write(Slices(text), deadline);
            EXPECT_TRUE(done.ok());
            stream->shutdown_write();
            *ended = true;
        }
    };
    bool client_sent = false;
    bool server_sent = false;
    std::optional<Result<std::string>> at_client;
    std::optional<Result<std::string>> at_server;
    TaskGroup group;
    group.spawn(Sender::run(pair.client.get(), big, soon(), &client_sent));
    group.spawn(Sender::run(pair.server.get(), big, soon(), &server_sent));
    for (int i = 0; i < 5; ++i) loop->turn(loop->now());
    EXPECT_FALSE(client_sent) << "8 MB fitted into the buffers: no back-pressure was tested";
    group.spawn(keep(read_to_end(pair.client.get(), soon()), &at_client));
    group.spawn(keep(read_to_end(pair.server.get(), soon()), &at_server));
    turn_until([&] { return at_client && at_server; });
    EXPECT_TRUE(at_client->value() == big);
    EXPECT_TRUE(at_server->value() == big);
    EXPECT_TRUE(client_sent && server_sent);
}

TEST_F(TcpTest, ReadWriteAndReadableHonourTheirDeadlines) {
    const Pair pair = connected();
    const auto read = run(read_once(pair.client.get(), 10, loop->now() + 2ms));
    EXPECT_EQ(read.error().code, Code::timeout);
    const auto readable = run(until_readable(pair.client.get(), loop->now() + 2ms));
    EXPECT_EQ(readable.error().code, Code::timeout);
    const auto write =
        run(write_all(pair.client.get(), std::string(20'000'000, 'x'), loop->now() + 20ms));
    EXPECT_EQ(write.error().code, Code::timeout);
}

TEST_F(TcpTest, ConnectHonoursItsDeadline) {
    // A listener with a full backlog drops further SYNs.
    auto full = network.listen(SocketAddress::loopback(0), {.backlog = 0}).value();
    std::vector<StreamPtr> held(4);
    std::vector<std::optional<Error>> problems(4);
    TaskGroup group;
    for (std::size_t i = 0; i < held.size(); ++i)
        group.spawn(connect_into(&network, full->local(), &held[i], &problems[i]));
    for (int i = 0; i < 20; ++i) loop->turn(loop->now() + 1ms);
    const Instant deadline = loop->now() + 5ms;
    auto late = run(network.connect(full->local(), deadline));
    ASSERT_FALSE(late.ok());
    EXPECT_EQ(late.error().code, Code::timeout);
    EXPECT_THAT(late.error().what, HasSubstr(full->local().to_string()));
}

TEST_F(TcpTest, ARefusedConnectSaysSo) {
    const SocketAddress at = listener->local();
    listener->close();
    auto refused = run(network.connect(at, soon()));
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, Code::unavailable);
    EXPECT_EQ(refused.error().what, "connect to " + at.to_string() + ": Connection refused");
}

TEST_F(TcpTest, CloseEndsWaitsLaterInTheTurn) {
    const Pair pair = connected();
    std::optional<Result<std::string>> read;
    std::optional<Result<>> write;
    TaskGroup group;
    group.spawn(keep(read_once(pair.client.get(), 10, soon()), &read));
    group.spawn(keep(write_all(pair.client.get(), std::string(20'000'000, 'x'), soon()), &write));
    pair.client->close();
    EXPECT_FALSE(read || write);
    loop->turn(loop->now());
    ASSERT_TRUE(read && write);
    EXPECT_EQ(read->error().code, Code::aborted);
    EXPECT_EQ(write->error().code, Code::aborted);
}

Task<void> own_and_read(StreamPtr stream, Instant deadline) {
    std::string buffer(10, '\0');
    auto got = co_await stream->read(buffer, deadline);
    ADD_FAILURE() << "resumed with " << got.ok();
}

TEST_F(TcpTest, DestroyingAWaitingTaskClosesItsStreamQuietly) {
    Pair pair = connected();
    {
        TaskGroup group;
        group.spawn(own_and_read(std::move(pair.client), soon()));
    }
    EXPECT_EQ(run(read_to_end(pair.server.get(), soon())).value(), "");
}

// The stream dies inside the callback that its own event made.
Task<void> read_then_drop(StreamPtr* stream, Instant deadline) {
    std::string buffer(10, '\0');
    auto got = co_await (*stream)->read(buffer, deadline);
    EXPECT_TRUE(got.ok());
    stream->reset();
}

TEST_F(TcpTest, AStreamMayBeDestroyedByTheTaskItResumes) {
    Pair pair = connected();
    TaskGroup group;
    group.spawn(read_then_drop(&pair.client, soon()));
    ASSERT_TRUE(run(write_all(pair.server.get(), "x", soon())));
    turn_until([&] { return pair.client == nullptr; });
}

TEST_F(TcpTest, ClosingAListenerEndsAWaitingAccept) {
    StreamPtr stream;
    std::optional<Error> problem;
    TaskGroup group;
    group.spawn(accept_into(listener.get(), &stream, &problem));
    listener->close();
    EXPECT_FALSE(problem.has_value());
    loop->turn(loop->now());
    ASSERT_TRUE(problem.has_value());
    EXPECT_EQ(problem->code, Code::aborted);
    group.spawn(accept_into(listener.get(), &stream, &problem));  // and one that comes later
    EXPECT_TRUE(group.empty());
}

TEST_F(TcpTest, APortInUseIsAConflictThatNamesIt) {
    const auto second = network.listen(listener->local(), {});
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code, Code::conflict);
    EXPECT_THAT(second.error().what, HasSubstr(listener->local().to_string()));
    EXPECT_THAT(second.error().what, HasSubstr("Address already in use"));
}

TEST_F(TcpTest, ReusePortLetsTwoListenersShare) {
    auto first = network.listen(SocketAddress::loopback(0), {.reuse_port = true}).value();
    EXPECT_TRUE(network.listen(first->local(), {.reuse_port = true}).ok());
}

TEST_F(TcpTest, AcceptRecoversWhenDescriptorsRunOutAndComeBack) {
    StreamPtr client;
    StreamPtr server;
    std::optional<Error> problem;
    TaskGroup group;
    // One accept before: UBSan's first look at a type needs descriptors of its own.
    group.spawn(connect_into(&network, listener->local(), &client, &problem));
    group.spawn(accept_into(listener.get(), &server, &problem));
    turn_until([&] { return client != nullptr && server != nullptr; });
    client.reset();
    server.reset();
    group.spawn(connect_into(&network, listener->local(), &client, &problem));
    turn_until([&] { return client != nullptr; });

    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    const int lowest_free = ::dup(0);
    ASSERT_GE(lowest_free, 0);
    ::close(lowest_free);
    const rlimit tight{.rlim_cur = static_cast<rlim_t>(lowest_free), .rlim_max = before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
    group.spawn(accept_into(listener.get(), &server, &problem));
    for (int i = 0; i < 3; ++i) loop->turn(loop->now() + 1ms);
    EXPECT_EQ(server, nullptr);
    auto no_socket = run(network.connect(listener->local(), soon()));
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    ASSERT_FALSE(no_socket.ok());
    EXPECT_EQ(no_socket.error().code, Code::exhausted);
    turn_until([&] { return server != nullptr; });
    EXPECT_FALSE(problem.has_value());
}

TEST_F(TcpTest, ResolvesNamesAndLiterals) {
    const auto literal = run(network.resolve("::1", 80, soon()));
    EXPECT_EQ(literal.value().front().to_string(), "[::1]:80");
    const auto named = run(network.resolve("localhost", 8080, soon()));
    ASSERT_TRUE(named.ok()) << named.error().what;
    for (const SocketAddress& address : *named) {
        EXPECT_TRUE(address.is_loopback()) << address.to_string();
        EXPECT_EQ(address.port, 8080);
    }
    for (const std::string& bad : {std::string(), std::string(254, 'a'), std::string("a\0b", 3)}) {
        EXPECT_EQ(run(network.resolve(bad, 80, soon())).error().code, Code::invalid);
    }
    const auto missing = run(network.resolve("no_such_host.invalid", 80, soon()));
    ASSERT_FALSE(missing.ok());
    EXPECT_THAT(missing.error().what, HasSubstr("no_such_host.invalid"));
}

TEST_F(TcpTest, AnAskerThatLeavesIsNotAnsweredLater) {
    {
        TaskGroup group;
        std::optional<Result<std::vector<SocketAddress>>> out;
        group.spawn(keep(network.resolve("localhost", 1, soon()), &out));
    }
    EXPECT_TRUE(run(network.resolve("localhost", 2, soon())).ok());
}

TEST_F(TcpTest, ConnectToTriesEveryAddressOfAName) {
    StreamPtr server;
    std::optional<Error> problem;
    TaskGroup group;
    group.spawn(accept_into(listener.get(), &server, &problem));
    const std::uint16_t port = listener->local().port;
    const auto stream = run(connect_to(network, "localhost", port, soon()));
    EXPECT_TRUE(stream.ok()) << stream.error().what;
}

}  // namespace
}  // namespace datapunk::mesh::io
