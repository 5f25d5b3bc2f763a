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
