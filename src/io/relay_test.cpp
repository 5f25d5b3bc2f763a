#include "io/relay.h"

#include <gmock/gmock.h>

#include <csignal>
#include <optional>

#include "io/tcp.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::io {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kCaller = "10.0.0.1";
constexpr std::string_view kUs = "10.0.0.2";
constexpr std::string_view kEndpoint = "10.0.0.3";

template <class T>
Task<void> keep(Task<T> task, std::optional<T>* out) {
    auto value = co_await std::move(task);
    out->emplace(std::move(value));
}

Task<void> accept_one(Listener* listener, StreamPtr* out) {
    auto stream = co_await listener->accept();
    if (stream) *out = *std::move(stream);
}

Task<Result<std::string>> read_to_end(Stream* stream, Instant deadline) {
    std::string all;
    std::string buffer(30'000, '\0');
    for (;;) {
        auto got = co_await stream->read(buffer, deadline);
        if (!got) co_return got.error();
        if (*got == 0) co_return all;
        all.append(buffer, 0, *got);
    }
}

Task<Result<>> write_and_finish(Stream* stream, std::string text, Instant deadline) {
    auto done = co_await stream->write(Slices(text), deadline);
    stream->shutdown_write();
    co_return done;
}

Task<Result<>> write_all(Stream* stream, std::string text, Instant deadline) {
    auto done = co_await stream->write(Slices(text), deadline);
    co_return done;
}

std::string pattern(std::size_t bytes, unsigned salt) {
    std::string text(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(i * 31 + i / 251 + salt);
    return text;
}

// caller <-> a [Relay] b <-> endpoint, on whatever network.
struct Ends {
    StreamPtr caller;
    StreamPtr a;
    StreamPtr b;
    StreamPtr endpoint;
};

class RelayTest : public testing::Test {
  protected:
    RelayTest() : world(sim::seed_for_test(7)), trace_seed(__FILE__, __LINE__, world.hint()) {
        ends.caller = connect(kCaller, kUs, ends.a);
        ends.b = connect(kUs, kEndpoint, ends.endpoint);
    }

    StreamPtr connect(std::string_view from, std::string_view to, StreamPtr& accepted) {
        auto listener = world.host(to).listen(parse_ip(to, 80).value(), {}).value();
        TaskGroup accepting;
        accepting.spawn(accept_one(listener.get(), &accepted));
        auto near = sim::run_on(
            world.loop(), world.host(from).connect(parse_ip(to, 80).value(), in(10s)), 1min
        );
        EXPECT_TRUE(world.loop().run_until([&] { return accepted != nullptr; }, in(1min)));
        return *std::move(*near);
    }

    Instant in(Duration time) { return world.loop().now() + time; }

    void start(const RelayConfig& config) {
        relay.emplace(*ends.a, *ends.b, config);
        group.spawn(keep(relay->run(), &end));
    }

    bool run_until_ended(Duration time = 5min) {
        return world.loop().run_until([&] { return end.has_value(); }, in(time)).ok();
    }

    sim::SimWorld world;
    testing::ScopedTrace trace_seed;
    Ends ends;
    std::optional<Relay> relay;
    std::optional<RelayEnd> end;
    TaskGroup group;
};

TEST_F(RelayTest, MovesBothWaysOverAnUnpleasantNetworkAndEndsWhenBothHave) {
    for (const auto& [from, to] : {std::pair{kCaller, kUs}, std::pair{kUs, kEndpoint}})
        world.set_plan(
            from,
            to,
            {.latency_max = 5ms,
             .loss = 0.01,
             .short_read = 0.5,
             .short_write = 0.5,
             .segment_bytes_max = 700,
             .buffer_bytes = 8'000}
        );
    start({});
    const std::string up = pattern(300'000, 1);
    const std::string down = pattern(500'000, 2);
    std::optional<Result<>> asked;
    std::optional<Result<>> answered;
    std::optional<Result<std::string>> question;
    std::optional<Result<std::string>> answer;
    group.spawn(keep(write_and_finish(ends.caller.get(), up, kNever), &asked));
    group.spawn(keep(write_and_finish(ends.endpoint.get(), down, kNever), &answered));
    group.spawn(keep(read_to_end(ends.endpoint.get(), kNever), &question));
    group.spawn(keep(read_to_end(ends.caller.get(), kNever), &answer));
    ASSERT_TRUE(run_until_ended());
    EXPECT_EQ(*end, RelayEnd::finished);
    ASSERT_TRUE(world.loop().run_until([&] { return question && answer; }, in(1min)));
    EXPECT_TRUE(question->value() == up);
    EXPECT_TRUE(answer->value() == down);
    EXPECT_EQ(relay->a_to_b(), up.size());
    EXPECT_EQ(relay->b_to_a(), down.size());
}

TEST_F(RelayTest, OneSideMaySpeakFirstAndGoOnAfterTheOtherHasFinished) {
    start({});
    std::optional<Result<std::string>> question;
    std::optional<Result<std::string>> answer;
    std::optional<Result<>> sent;
    group.spawn(keep(write_all(ends.endpoint.get(), "220 hello\r\n", kNever), &sent));
    group.spawn(keep(read_to_end(ends.caller.get(), kNever), &answer));
    group.spawn(keep(read_to_end(ends.endpoint.get(), kNever), &question));
    world.loop().run_for(1s);
    sent.reset();
    group.spawn(keep(write_and_finish(ends.caller.get(), "QUIT", kNever), &sent));
    ASSERT_TRUE(world.loop().run_until([&] { return question.has_value(); }, in(1min)));
    EXPECT_EQ(question->value(), "QUIT");
    EXPECT_FALSE(end.has_value()) << "the endpoint has not finished";
    std::optional<Result<>> last;
    group.spawn(keep(write_and_finish(ends.endpoint.get(), "221 bye", kNever), &last));
    ASSERT_TRUE(run_until_ended());
    ASSERT_TRUE(world.loop().run_until([&] { return answer.has_value(); }, in(1min)));
    EXPECT_EQ(answer->value(), "220 hello\r\n221 bye");
}

TEST_F(RelayTest, WhatWasReadAlreadyGoesFirst) {
    relay.emplace(*ends.a, *ends.b, RelayConfig{});
    relay->put_back("first ");
    group.spawn(keep(relay->run(), &end));
    std::optional<Result<>> sent;
    std::optional<Result<std::string>> question;
    group.spawn(keep(write_and_finish(ends.caller.get(), "then", kNever), &sent));
    group.spawn(keep(read_to_end(ends.endpoint.get(), kNever), &question));
    ASSERT_TRUE(world.loop().run_until([&] { return question.has_value(); }, in(1min)));
    EXPECT_EQ(question->value(), "first then");
}

TEST_F(RelayTest, ABreakOffEndsIt) {
    start({});
    world.loop().run_for(1s);
    ends.caller->reset();
    ASSERT_TRUE(run_until_ended());
    EXPECT_EQ(*end, RelayEnd::a_failed);
}

TEST_F(RelayTest, ABreakOffOfTheOtherSideEndsIt) {
    start({});
    world.loop().run_for(1s);
    ends.endpoint->reset();
    ASSERT_TRUE(run_until_ended());
    EXPECT_EQ(*end, RelayEnd::b_failed);
}

TEST_F(RelayTest, IdlenessEndsItAndEveryByteBeginsItAnew) {
    start({.idle_timeout = 10s});
    for (int i = 0; i < 5; ++i) {
        world.loop().run_for(8s);
        EXPECT_FALSE(end.has_value());
        std::optional<Result<>> sent;
        TaskGroup one;
        one.spawn(keep(
            write_all(i % 2 == 0 ? ends.caller.get() : ends.endpoint.get(), "x", kNever), &sent
        ));
        ASSERT_TRUE(world.loop().run_until([&] { return sent.has_value(); }, in(1s)));
    }
    const Instant last = world.loop().now();
    ASSERT_TRUE(run_until_ended());
    EXPECT_EQ(*end, RelayEnd::idle);
    EXPECT_GE(world.loop().now() - last, 9s);
    EXPECT_LE(world.loop().now() - last, 12s);
}

TEST_F(RelayTest, ADeadlineEndsItHoweverBusyItIs) {
    start({.idle_timeout = 1h, .deadline = in(30s)});
    ASSERT_TRUE(run_until_ended(1min));
    EXPECT_EQ(*end, RelayEnd::deadline);
}

TEST_F(RelayTest, AReaderThatDoesNotReadStopsTheWriter) {
    world.set_plan(kUs, kEndpoint, {.buffer_bytes = 10'000});
    world.set_plan(kCaller, kUs, {.buffer_bytes = 10'000});
    start({.idle_timeout = 1h});
    std::optional<Result<>> sent;
    group.spawn(keep(write_all(ends.caller.get(), pattern(10'000'000, 0), kNever), &sent));
    world.loop().run_for(1min);
    EXPECT_FALSE(sent.has_value());
    EXPECT_LT(relay->a_to_b(), 100'000U);
    relay->stop();
    ASSERT_TRUE(run_until_ended());
    EXPECT_EQ(*end, RelayEnd::stopped);
}

TEST_F(RelayTest, MayBeDestroyedWhileItRuns) {
    start({});
    std::optional<Result<>> sent;
    group.spawn(keep(write_all(ends.caller.get(), pattern(1'000'000, 0), kNever), &sent));
    world.loop().run_for(20ms);
    group.cancel();
    relay.reset();
}

// Over the kernel's loopback, where bulk goes through pipes.
class SpliceTest : public testing::Test {
  protected:
    SpliceTest() {
        std::signal(SIGPIPE, SIG_IGN);  // as the program does: see splice_end.h
        ends.caller = connect(ends.a);
        ends.b = connect(ends.endpoint);
    }

    StreamPtr connect(StreamPtr& accepted) {
        auto listener = network.listen(SocketAddress::loopback(0), {}).value();
        TaskGroup one;
        one.spawn(accept_one(listener.get(), &accepted));
        auto near = sim::run_on(*loop, network.connect(listener->local(), loop->now() + 10s));
        while (accepted == nullptr) loop->turn(loop->now() + 1s);
        return *std::move(*near);
    }

    template <class Done>
    bool run_until(Done done) {
        const Instant give_up = loop->now() + 30s;
        while (!done() && loop->now() < give_up) loop->turn(loop->now() + 20ms);
        return done();
    }

    std::unique_ptr<EpollLoop> loop = EpollLoop::create().value();
    KernelNetwork network{*loop};
    Ends ends;
    std::optional<RelayEnd> end;
    TaskGroup group;
};

TEST_F(SpliceTest, BulkArrivesWholeInBothDirectionsAtOnce) {
    Relay relay(*ends.a, *ends.b, {});
    group.spawn(keep(relay.run(), &end));
    const std::string up = pattern(20'000'000, 1);
    const std::string down = pattern(30'000'000, 2);
    std::optional<Result<>> asked;
    std::optional<Result<>> answered;
    std::optional<Result<std::string>> question;
    std::optional<Result<std::string>> answer;
    group.spawn(keep(write_and_finish(ends.caller.get(), up, kNever), &asked));
    group.spawn(keep(write_and_finish(ends.endpoint.get(), down, kNever), &answered));
    group.spawn(keep(read_to_end(ends.endpoint.get(), kNever), &question));
    group.spawn(keep(read_to_end(ends.caller.get(), kNever), &answer));
    ASSERT_TRUE(run_until([&] { return end && question && answer; }));
    EXPECT_EQ(*end, RelayEnd::finished);
    EXPECT_TRUE(question->value() == up);
    EXPECT_TRUE(answer->value() == down);
    EXPECT_EQ(relay.a_to_b(), up.size());
    EXPECT_EQ(relay.b_to_a(), down.size());
    group.cancel();
}

TEST_F(SpliceTest, AnEndpointThatLeavesInTheMiddleOfBulkEndsIt) {
    Relay relay(*ends.a, *ends.b, {});
    group.spawn(keep(relay.run(), &end));
    std::optional<Result<>> asked;
    group.spawn(keep(write_and_finish(ends.caller.get(), pattern(20'000'000, 1), kNever), &asked));
    ASSERT_TRUE(run_until([&] { return relay.a_to_b() > 1'000'000; }));
    ends.endpoint->reset();
    ASSERT_TRUE(run_until([&] { return end.has_value(); }));
    EXPECT_EQ(*end, RelayEnd::b_failed);
    group.cancel();
}

TEST_F(SpliceTest, ManyShortMessagesGoBackAndForth) {
    Relay relay(*ends.a, *ends.b, {});
    group.spawn(keep(relay.run(), &end));
    for (int i = 0; i < 200; ++i) {
        const std::string text = pattern(static_cast<std::size_t>(1 + i * 97), 0);
        for (const auto& [from, to] :
             {std::pair{ends.caller.get(), ends.endpoint.get()},
              std::pair{ends.endpoint.get(), ends.caller.get()}}) {
            std::optional<Result<>> sent;
            TaskGroup one;
            one.spawn(keep(write_all(from, text, kNever), &sent));
            std::string got;
            std::string buffer(40'000, '\0');
            while (got.size() < text.size()) {
                const auto part = sim::run_on(
                    *loop,
                    [](Stream* stream, std::string* into) -> Task<Result<std::size_t>> {
                        auto bytes = co_await stream->read(*into, kNever);
                        co_return bytes;
                    }(to, &buffer)
                );
                ASSERT_TRUE(part && part->ok());
                got.append(buffer, 0, part->value());
            }
            ASSERT_TRUE(got == text);
        }
    }
    group.cancel();
}

}  // namespace
}  // namespace datapunk::mesh::io
