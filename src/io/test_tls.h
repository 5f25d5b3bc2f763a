#pragma once

// Two ends of a TLS connection in a simulated world, for tests.

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

#include "io/test_certificates.h"
#include "io/tls.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::io {

using namespace std::chrono_literals;

inline constexpr std::string_view kA = "10.0.0.1";
inline constexpr std::string_view kB = "10.0.0.2";

template <class T>
Task<void> keep(Task<T> task, std::optional<T>* out) {
    auto value = co_await std::move(task);
    out->emplace(std::move(value));
}

inline Task<void> accept_one(Listener* listener, StreamPtr* out) {
    auto stream = co_await listener->accept();
    if (stream) *out = *std::move(stream);
}

inline Task<Result<std::string>> read_to_end(Stream* stream, Instant deadline) {
    std::string all;
    std::string buffer(3000, '\0');
    for (;;) {
        auto got = co_await stream->read(buffer, deadline);
        if (!got) co_return got.error();
        if (*got == 0) co_return all;
        all.append(buffer, 0, *got);
    }
}

inline Task<Result<std::string>> read_once(Stream* stream, Instant deadline) {
    std::string buffer(3000, '\0');
    auto got = co_await stream->read(buffer, deadline);
    if (!got) co_return got.error();
    buffer.resize(*got);
    co_return buffer;
}

inline Task<Result<>> write_all(Stream* stream, std::string text, Instant deadline) {
    auto done = co_await stream->write(Slices(text), deadline);
    co_return done;
}

inline Task<Result<>> until_readable(Stream* stream, Instant deadline) {
    auto done = co_await stream->readable(deadline);
    co_return done;
}

inline Task<Result<>> write_and_finish(Stream* stream, std::string text, Instant deadline) {
    auto done = co_await stream->write(Slices(text), deadline);
    stream->shutdown_write();
    co_return done;
}

inline std::string pattern(std::size_t bytes) {
    std::string text(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>((i * 31 + i / 251) & 0x7f);
    return text;
}

inline const TestCertificate& ca() {
    static const auto made = make_test_certificate({.common_name = "test ca", .is_ca = true});
    return made;
}

inline const TestCertificate& web() {
    static const auto made = make_test_certificate(
        {.common_name = "web", .names = "DNS:web.mesh,DNS:*.wild.mesh,IP:10.0.0.2"}, &ca()
    );
    return made;
}

inline const TestCertificate& caller() {
    static const auto made = make_test_certificate(
        {.common_name = "caller", .names = "URI:spiffe://mesh/caller"}, &ca()
    );
    return made;
}

inline TlsServerConfig server_of(const TestCertificate& identity) {
    return {.certificate_chain = identity.certificate, .private_key = identity.key};
}

class TlsTest : public ::testing::Test {
  protected:
    TlsTest()
        : world(sim::seed_for_test(5)),
          trace_seed(__FILE__, __LINE__, world.hint()),
          listener(world.host(kB).listen(parse_ip(kB, 443).value(), {}).value()) {}

    Instant in(Duration time) { return world.loop().now() + time; }

    template <class T>
    T run(Task<T> task) {
        auto value = sim::run_on(world.loop(), std::move(task), 10min);
        EXPECT_TRUE(value.has_value()) << "the task did not end";
        return std::move(*value);
    }

    void connect(
        const TlsServerConfig& at_server, const TlsClientConfig& at_client, const std::string& host
    ) {
        StreamPtr raw;
        TaskGroup group;
        group.spawn(accept_one(listener.get(), &raw));
        auto near = run(world.host(kA).connect(parse_ip(kB, 443).value(), in(10s)));
        server = TlsStream::server(std::move(raw), TlsContext::server(at_server).value());
        raw_client = near->get();
        client = TlsStream::client(*std::move(near), TlsContext::client(at_client).value(), host);
    }

    // The client's verdict; the server's is kept in server_verdict.
    Result<> handshake() {
        std::optional<Result<>> ours;
        TaskGroup group;
        group.spawn(keep(server->handshake(in(1min)), &server_verdict));
        group.spawn(keep(client->handshake(in(1min)), &ours));
        const auto reached = world.loop().run_until(
            [&] { return ours && (server_verdict || !ours->ok()); }, in(5min)
        );
        EXPECT_TRUE(reached.ok()) << reached.error().what;
        return *ours;
    }

    void exchange(std::size_t bytes) {
        const std::string sent = pattern(bytes);
        std::optional<Result<>> asked;
        std::optional<Result<>> answered;
        std::optional<Result<std::string>> question;
        std::optional<Result<std::string>> answer;
        TaskGroup group;
        group.spawn(keep(write_and_finish(client.get(), sent, in(9min)), &asked));
        group.spawn(keep(write_and_finish(server.get(), sent, in(9min)), &answered));
        group.spawn(keep(read_to_end(server.get(), in(9min)), &question));
        group.spawn(keep(read_to_end(client.get(), in(9min)), &answer));
        const auto reached = world.loop().run_until(
            [&] { return asked && answered && question && answer; }, in(10min)
        );
        ASSERT_TRUE(reached.ok()) << reached.error().what;
        ASSERT_TRUE(question->ok()) << question->error().what;
        ASSERT_TRUE(answer->ok()) << answer->error().what;
        EXPECT_TRUE(question->value() == sent);
        EXPECT_TRUE(answer->value() == sent);
        EXPECT_TRUE(asked->ok() && answered->ok());
    }

    sim::SimWorld world;
    ::testing::ScopedTrace trace_seed;
    std::unique_ptr<Listener> listener;
    std::unique_ptr<TlsStream> client;
    std::unique_ptr<TlsStream> server;
    Stream* raw_client = nullptr;
    std::optional<Result<>> server_verdict;
};

}  // namespace datapunk::mesh::io
