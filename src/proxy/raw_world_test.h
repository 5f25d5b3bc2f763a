#pragma once

// For tests: a caller and an endpoint that send bytes as they are told, with a proxy between them,
// in virtual time.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "metrics/names.h"
#include "proxy/proxy.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::proxy {

using std::chrono::milliseconds;
using std::chrono::seconds;

enum class Then : std::uint8_t { keep, close, reset };

// What the endpoint does when a request head has come.
struct Script {
    std::string bytes;
    Then then = Then::keep;
    Duration delay = Duration::zero();  // before the bytes
    Duration pause = Duration::zero();  // between bytes and `more`
    std::string more;
    bool accept_only = false;  // says nothing at all
};

// Answers the n-th request head (from 0) of all its connections with script(n).
class RawEndpoint {
  public:
    RawEndpoint(sim::SimWorld& world, const char* ip) : world_(world), ip_(ip) {
        auto listener = world.host(ip).listen(*io::parse_ip(ip, 8080), {});
        EXPECT_TRUE(listener);
        listener_ = *std::move(listener);
        tasks_.spawn(accept_loop());
    }

    ServiceEndpoint endpoint() const {
        return {.id = "api-" + ip_, .service = "api", .host = ip_, .port = 8080};
    }

    std::function<Script(int)> script = [](int) { return Script{}; };
    std::string received;  // everything, of all connections
    std::string head;      // the one that script() is asked about
    int heads = 0;
    int connections = 0;
    int ended = 0;  // connections that the proxy has ended

  private:
    io::Task<void> accept_loop() {
        for (;;) {
            auto stream = co_await listener_->accept();
            if (!stream) co_return;
            ++connections;
            tasks_.spawn(serve(*std::move(stream)));
        }
    }

    io::Task<void> serve(io::StreamPtr stream) {
        std::string pending;
        bool in_chunks = false;
        std::array<char, 4096> buffer{};
        for (;;) {
            auto got = co_await stream->read(buffer, kNever);
            if (!got || *got == 0) break;
            received.append(buffer.data(), *got);
            pending.append(buffer.data(), *got);
            for (;;) {
                const std::size_t end = pending.find("\r\n\r\n");
                if (end == std::string::npos) break;
                head = pending.substr(0, end);
                pending.erase(0, end + 4);
                // The end of a chunked body looks like the end of a head.
                if (std::exchange(in_chunks, false)) continue;
                in_chunks = head.find("transfer-encoding: chunked") != std::string::npos;
                const Script now = script(heads++);
                if (now.delay > Duration::zero()) co_await io::sleep_for(world_.loop(), now.delay);
                if (now.accept_only) continue;
                const io::Slices first(now.bytes);
                auto sent = co_await stream->write(first, kNever);
                if (now.pause > Duration::zero()) co_await io::sleep_for(world_.loop(), now.pause);
                const io::Slices second(now.more);
                auto more = co_await stream->write(second, kNever);
                if (now.then == Then::close) stream->close();
                if (now.then == Then::reset) stream->reset();
            }
        }
        ++ended;
    }

    sim::SimWorld& world_;
    std::string ip_;
    std::unique_ptr<io::Listener> listener_;
    io::TaskGroup tasks_;
};

struct RawAnswer {
    std::string bytes;
    bool closed = false;  // the proxy ended the connection normally
    bool reset = false;
    Duration took{};  // until it ended, or the last byte came
};

struct RawWorld {
    explicit RawWorld(
        ServicePolicy policy =
            {.breaker = {.enabled = false}, .outlier = {.enabled = false}, .retry = {.attempts = 1}
            },
        ListenerConfig listener = {},
        std::uint64_t seed = 1,
        std::vector<routing::Route> with_routes =
            {{.name = "api", .hosts = {"api", "10.0.0.2"}, .service = "api"}}
    )
        : world(seed),
          a(world, "10.0.0.11"),
          routes(std::make_shared<const routing::RouteTable>(
              *routing::RouteTable::create(std::move(with_routes))
          )),
          api(services.add(std::make_unique<policy::ServicePolicies>("api", policy, seed))),
          proxy(
              world.host("10.0.0.2"),
              {.routes = routes,
               .services = services,
               .metrics = metrics,
               .log = {},
               .pool = {},
               .requests = &requests}
          ) {
        api.update({.service = "api", .endpoints = {a.endpoint()}, .index = 1}, world.loop().now());
        listener.name = "in";
        listener.address = "10.0.0.2";
        listener.port = 9000;
        EXPECT_TRUE(proxy.listen(listener, {}));
    }

    // Every connection has ended and nothing is held.
    void expect_at_rest() {
        world.loop().run_for(milliseconds(1500));
        EXPECT_EQ(api.totals().in_flight, 0U);
        EXPECT_EQ(proxy.pool().counters().open, proxy.pool().idle());
        EXPECT_EQ(proxy.connections(), 0U);
        EXPECT_EQ(value(metrics::names::kRequestsInFlight), 0);
        EXPECT_EQ(
            value(metrics::names::kUpstreamConnectionsOpen),
            static_cast<double>(proxy.pool().idle())
        );
    }

    // Sends the pieces, `gap` apart, and reads until the proxy ends the connection or is silent
    // for `patience`.
    RawAnswer ask(
        std::vector<std::string> pieces,
        Duration gap = milliseconds(10),
        Duration patience = seconds(3)
    ) {
        auto answer =
            sim::run_on(world.loop(), exchange(std::move(pieces), gap, patience), seconds(200));
        EXPECT_TRUE(answer);
        return answer.value_or(RawAnswer{});
    }

    RawAnswer get(const std::string& path = "/", const std::string& extra = {}) {
        return ask({"GET " + path + " HTTP/1.1\r\nHost: api\r\n" + extra + "\r\n"});
    }

    double value(const metrics::MetricFamily& family, std::vector<std::string> labels = {}) {
        const auto snapshot = metrics.snapshot();
        const auto* found = snapshot.find(family);
        double sum = 0;
        if (found == nullptr) return 0;
        for (const auto& series : found->series) {
            if (!labels.empty() && series.labels != labels) continue;
            if (const auto* count = std::get_if<std::uint64_t>(&series.value))
                sum += static_cast<double>(*count);
            if (const auto* gauge = std::get_if<double>(&series.value)) sum += *gauge;
            if (const auto* histogram = std::get_if<metrics::HistogramCounts>(&series.value))
                sum += static_cast<double>(histogram->count());
        }
        return sum;
    }

    io::Task<RawAnswer> exchange(std::vector<std::string> pieces, Duration gap, Duration patience) {
        io::Loop& loop = world.loop();
        RawAnswer answer;
        auto connected =
            co_await world.host("10.0.0.1").connect(*io::parse_ip("10.0.0.2", 9000), kNever);
        if (!connected) co_return answer;
        const io::StreamPtr stream = *std::move(connected);
        io::TaskGroup sending;
        sending.spawn(send_all(*stream, std::move(pieces), gap));
        const Instant begun = loop.now();
        std::array<char, 4096> buffer{};
        for (;;) {
            auto got = co_await stream->read(buffer, loop.now() + patience);
            if (!got) answer.reset = got.error().code == Code::unavailable;
            if (got && *got == 0) answer.closed = true;
            if (!got && !answer.reset) break;
            answer.took = loop.now() - begun;
            if (!got || *got == 0) break;
            answer.bytes.append(buffer.data(), *got);
        }
        sending.cancel();
        co_return answer;
    }

    io::Task<void> send_all(io::Stream& stream, std::vector<std::string> pieces, Duration gap) {
        for (const std::string& piece : pieces) {
            const io::Slices slices(piece);
            auto sent = co_await stream.write(slices, kNever);
            if (!sent) co_return;
            co_await io::sleep_for(world.loop(), gap);
        }
    }

    sim::SimWorld world;
    RawEndpoint a;
    metrics::MetricRegistry metrics;
    UpstreamServices services;
    RequestLog requests;
    std::shared_ptr<const routing::RouteTable> routes;
    policy::ServicePolicies& api;
    Proxy proxy;
};

inline const ServicePolicy kOneAttempt{
    .breaker = {.enabled = false}, .outlier = {.enabled = false}, .retry = {.attempts = 1}
};

}  // namespace datapunk::mesh::proxy
