// What one timer, one await, one post and one echo over loopback cost. bare_sockets
// is the echo's floor: the same calls with nothing around them.

#include <benchmark/benchmark.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "core/rng.h"
#include "io/tcp.h"
#include "io/test_certificates.h"
#include "io/tls.h"

namespace datapunk::mesh::io {
namespace {

using namespace std::chrono_literals;

struct Quiet : Timer {
    Quiet() : Timer([](Timer&) {}) {}
};

// A deadline that is set and taken back: nearly every timer's life.
void timer_arm_and_cancel(benchmark::State& state) {
    TimerWheel wheel{Instant{1h}};
    core::Rng rng(1);
    std::vector<Quiet> others(static_cast<std::size_t>(state.range(0)));
    for (Quiet& other : others) wheel.arm(other, Instant{1h} + 1ms * rng.below(60'000));
    Quiet timer;
    for (auto _ : state) {
        wheel.arm(timer, Instant{1h} + 5s);
        timer.cancel();
    }
}

BENCHMARK(timer_arm_and_cancel)->Arg(0)->Arg(100'000);

void timer_next(benchmark::State& state) {
    TimerWheel wheel{Instant{1h}};
    core::Rng rng(1);
    std::vector<Quiet> others(static_cast<std::size_t>(state.range(0)));
    for (Quiet& other : others) wheel.arm(other, Instant{1h} + 1ms * rng.below(60'000));
    for (auto _ : state) benchmark::DoNotOptimize(wheel.next());
}

BENCHMARK(timer_next)->Arg(0)->Arg(1)->Arg(100'000);

Task<int> one() {
    co_return 1;
}

Task<void> await_many(benchmark::State* state) {
    for (auto _ : *state) {
        const int value = co_await one();
        benchmark::DoNotOptimize(value);
    }
}

void task_await(benchmark::State& state) {
    TaskGroup group;
    group.spawn(await_many(&state));
}

BENCHMARK(task_await);

void empty_turn(benchmark::State& state) {
    const auto loop = EpollLoop::create().value();
    for (auto _ : state) loop->turn(loop->now());
}

BENCHMARK(empty_turn);

Task<void> echo(StreamPtr stream) {
    char buffer[1024];
    for (;;) {
        const Instant deadline = stream->loop().now() + 10s;
        auto got = co_await stream->read(buffer, deadline);
        if (!got || *got == 0) co_return;
        const std::string_view bytes(buffer, *got);
        auto sent = co_await stream->write(Slices(bytes), deadline);
        if (!sent) co_return;
    }
}

Task<void> ask(Stream* stream, benchmark::State* state, bool* done) {
    char buffer[1024];
    const std::string question(100, 'x');
    for (auto _ : *state) {
        const Instant deadline = stream->loop().now() + 10s;
        auto sent = co_await stream->write(Slices(question), deadline);
        auto got = co_await stream->read(buffer, deadline);
        benchmark::DoNotOptimize(got.ok() && sent.ok());
    }
    *done = true;
}

Task<void> accept_one(Listener* listener, StreamPtr* out) {
    auto stream = co_await listener->accept();
    if (stream) *out = *std::move(stream);
}

Task<void> connect_one(Network* network, SocketAddress to, StreamPtr* out) {
    auto stream = co_await network->connect(to, kNever);
    if (stream) *out = *std::move(stream);
}

// Both ends on one loop: 2 writes, 2 reads, the waits between them.
void tcp_echo(benchmark::State& state) {
    const auto loop = EpollLoop::create().value();
    KernelNetwork network(*loop);
    const auto listener = network.listen(SocketAddress::loopback(0), {}).value();
    StreamPtr client;
    StreamPtr server;
    TaskGroup group;
    group.spawn(accept_one(listener.get(), &server));
    group.spawn(connect_one(&network, listener->local(), &client));
    while (client == nullptr || server == nullptr) loop->turn(kNever);
    group.spawn(echo(std::move(server)));
    bool done = false;
    group.spawn(ask(client.get(), &state, &done));
    while (!done) loop->turn(kNever);
}

BENCHMARK(tcp_echo);

struct TlsPair {
    std::unique_ptr<TlsStream> client;
    std::unique_ptr<TlsStream> server;
};

Task<void> shake(TlsStream* stream, int* left) {
    auto done = co_await stream->handshake(kNever);
    if (done) --*left;
}

class TlsBench {
  public:
    TlsBench()
        : loop(EpollLoop::create().value()),
          network(*loop),
          listener(network.listen(SocketAddress::loopback(0), {}).value()) {
        const auto identity = make_test_certificate({.common_name = "b", .names = "DNS:b"});
        server = TlsContext::server({.certificate_chain = identity.certificate,
                                     .private_key = identity.key})
                     .value();
        client = TlsContext::client({.ca = identity.certificate}).value();
    }

    TlsPair connected() {
        StreamPtr near;
        StreamPtr far;
        TaskGroup group;
        group.spawn(accept_one(listener.get(), &far));
        group.spawn(connect_one(&network, listener->local(), &near));
        while (near == nullptr || far == nullptr) loop->turn(kNever);
        TlsPair pair{
            .client = TlsStream::client(std::move(near), client, "b"),
            .server = TlsStream::server(std::move(far), server)
        };
        int left = 2;
        group.spawn(shake(pair.client.get(), &left));
        group.spawn(shake(pair.server.get(), &left));
        while (left > 0) loop->turn(kNever);
        return pair;
    }

    std::unique_ptr<EpollLoop> loop;
    KernelNetwork network;
    std::unique_ptr<Listener> listener;
    std::shared_ptr<const TlsContext> server;
    std::shared_ptr<const TlsContext> client;
};

// Both sides' work: connect, P-256 key exchange and signature, verification, close.
void tls_handshake(benchmark::State& state) {
    TlsBench bench;
    for (auto _ : state) benchmark::DoNotOptimize(bench.connected().client.get());
}

BENCHMARK(tls_handshake);

// One 16 KiB record encrypted, sent, received, decrypted.
void tls_record(benchmark::State& state) {
    TlsBench bench;
    const TlsPair pair = bench.connected();
    std::string sent(16'384, 'x');
    std::string got(16'384, '\0');
    const iovec piece{.iov_base = sent.data(), .iov_len = sent.size()};
    for (auto _ : state) {
        std::size_t left = pair.client->write_some(&piece, 1).bytes;
        while (left > 0) {
            const IoResult part = pair.server->read_some(got);
            if (part.state == IoResult::State::would_block) bench.loop->turn(kNever);
            left -= part.bytes;
        }
    }
    state.SetBytesProcessed(static_cast<std::int64_t>(sent.size()) * state.iterations());
}

BENCHMARK(tls_record);

// The floor of the above: the same four calls on bare sockets, which never have to wait.
void bare_sockets(benchmark::State& state) {
    const int server = ::socket(AF_INET, SOCK_STREAM, 0);
    const int near = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_storage to{};
    socklen_t size = sizeof to;
    if (::listen(server, 1) != 0 ||
        ::getsockname(server, reinterpret_cast<sockaddr*>(&to), &size) != 0 ||
        ::connect(near, reinterpret_cast<sockaddr*>(&to), size) != 0) {
        state.SkipWithError("no loopback");
    }
    const int far = ::accept(server, nullptr, nullptr);
    char buffer[1024];
    const std::string question(100, 'x');
    for (auto _ : state) {
        benchmark::DoNotOptimize(::send(near, question.data(), question.size(), 0));
        benchmark::DoNotOptimize(::recv(far, buffer, sizeof buffer, 0));
        benchmark::DoNotOptimize(::send(far, buffer, question.size(), 0));
        benchmark::DoNotOptimize(::recv(near, buffer, sizeof buffer, 0));
    }
    for (const int fd : {near, far, server}) ::close(fd);
}

BENCHMARK(bare_sockets);

}  // namespace
}  // namespace datapunk::mesh::io
