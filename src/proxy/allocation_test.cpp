// A proxied request on kept connections allocates nothing in steady state: counted by this
// program's own operator new, over the kernel's loopback, with callers and endpoints as plain as
// can be.

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "core/block_pool.h"
#include "core/test_allocations.h"
#include "io/tcp.h"
#include "proxy/proxy.h"

namespace datapunk::mesh::proxy {
namespace {

// Answers whatever comes in one read with `answer`.
io::Task<void> serve(io::StreamPtr stream, std::string answer) {
    std::array<char, 4096> buffer{};
    for (;;) {
        auto got = co_await stream->read(buffer, kNever);
        if (!got || *got == 0) co_return;
        const io::Slices slices(answer);
        auto sent = co_await stream->write(slices, kNever);
        if (!sent) co_return;
    }
}

io::Task<void> accept(io::Listener& listener, std::string answer, io::TaskGroup& tasks) {
    for (;;) {
        auto stream = co_await listener.accept();
        if (!stream) co_return;
        tasks.spawn(serve(*std::move(stream), answer));
    }
}

struct Counted {
    std::uint64_t allocations = 0;
    int answers = 0;
    bool done = false;
};

io::Task<void> ask(
    io::Network& network, io::SocketAddress to, std::string request, std::string end, Counted& out
) {
    constexpr int kWarmUp = 200;
    constexpr int kCalls = 1'000;
    auto stream = co_await network.connect(to, kNever);
    if (!stream) co_return;
    std::array<char, 4096> buffer{};
    std::uint64_t before = 0;
    for (int i = 0; i < kWarmUp + kCalls; ++i) {
        if (i == kWarmUp) before = core::test_allocations::total.load();
        const io::Slices slices(request);
        auto sent = co_await (*stream)->write(slices, kNever);
        if (!sent) co_return;
        std::size_t have = 0;
        while (!std::string_view(buffer.data(), have).ends_with(end)) {
            auto got = co_await (*stream)->read(std::span(buffer).subspan(have), kNever);
            if (!got || *got == 0) co_return;
            have += *got;
        }
        if (i >= kWarmUp) ++out.answers;
    }
    out.allocations = core::test_allocations::total.load() - before;
    out.done = true;
}

// A proxy with one service of one endpoint.
struct OneService {
    OneService(
        io::Network& network,
        io::Loop& loop,
        std::uint16_t to,
        const ServicePolicy& policy,
        std::vector<routing::Route> with_routes
    )
        : routes(std::make_shared<const routing::RouteTable>(
              *routing::RouteTable::create(std::move(with_routes))
          )),
          api(services.add(std::make_unique<policy::ServicePolicies>(kName, policy, 1))),
          proxy(
              network,
              {.routes = routes,
               .services = services,
               .metrics = metrics,
               .log = {},
               .pool = {},
               .requests = &requests}
          ) {
        const ServiceEndpoint endpoint{
            .id = "api-1", .service = kName, .host = "127.0.0.1", .port = to
        };
        api.update({.service = kName, .endpoints = {endpoint}, .index = 1}, loop.now());
        at = *proxy.listen({.name = "in", .address = "127.0.0.1", .port = 0}, {});
    }

    static constexpr const char* kName = "api_service_of_a_long_name";
    std::shared_ptr<const routing::RouteTable> routes;
    metrics::MetricRegistry metrics;
    UpstreamServices services;
    RequestLog requests;
    policy::ServicePolicies& api;
    Proxy proxy;
    io::SocketAddress at;
};

std::vector<routing::Route> one_route() {
    return {{.name = "all", .service = OneService::kName}};
}

// With `between` the calls go on to the endpoint over HTTP/2 and another proxy.
Counted run(
    const std::string& request,
    const std::string& answer,
    const std::string& end,
    bool between = false,
    const std::vector<routing::Route>& with_routes = one_route()
) {
    auto loop = *io::EpollLoop::create();
    io::KernelNetwork network(*loop);
    auto listener = *network.listen(io::SocketAddress::loopback(0), {});
    io::TaskGroup tasks;
    tasks.spawn(accept(*listener, answer, tasks));
    OneService back(network, *loop, listener->local().port, {}, with_routes);
    OneService front(
        network, *loop, back.at.port, {.protocol = EndpointProtocol::http2}, one_route()
    );
    OneService& first = between ? front : back;
    Counted counted;
    tasks.spawn(ask(network, first.at, request, end, counted));
    const Instant give_up = loop->now() + std::chrono::seconds(20);
    while (!counted.done && loop->now() < give_up) loop->turn(give_up);
    EXPECT_TRUE(counted.done);
    EXPECT_EQ(first.proxy.pool().counters().created, 1U);
    EXPECT_EQ(first.services.connections_of(first.api).open.load(), 1U);
    listener->close();
    tasks.cancel();
    return counted;
}

const std::string kFields =
    "Host: api\r\nUser-Agent: a-client-with-a-name/1.0\r\nAccept: application/json\r\n"
    "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";

TEST(ProxyAllocation, ASmallGetOnKeptConnectionsAllocatesNothing) {
    if (!core::test_allocations::kIsCounting) GTEST_SKIP() << "the sanitizer allocates";
    const Counted counted = run(
        "GET /a/path?with=query HTTP/1.1\r\n" + kFields + "\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nhello, world!",
        "hello, world!"
    );
    EXPECT_EQ(counted.answers, 1'000);
    if (core::kBlocksArePooled) {
        EXPECT_EQ(counted.allocations, 0U) << "in 1,000 requests";
    }
}

TEST(ProxyAllocation, ASmallPostAndAChunkedAnswerAllocateNothing) {
    if (!core::test_allocations::kIsCounting) GTEST_SKIP() << "the sanitizer allocates";
    const Counted counted =
        run("POST /a HTTP/1.1\r\n" + kFields + "Content-Length: 20\r\n\r\n" + std::string(20, 'x'),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "0\r\n\r\n");
    EXPECT_EQ(counted.answers, 1'000);
    if (core::kBlocksArePooled) {
        EXPECT_EQ(counted.allocations, 0U) << "in 1,000 requests";
    }
}

TEST(ProxyAllocation, ACallOverHttp2AllocatesNothing) {
    if (!core::test_allocations::kIsCounting) GTEST_SKIP() << "the sanitizer allocates";
    const Counted counted = run(
        "POST /a HTTP/1.1\r\n" + kFields + "Content-Length: 20\r\n\r\n" + std::string(20, 'x'),
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nhello, world!",
        "hello, world!",
        true
    );
    EXPECT_EQ(counted.answers, 1'000);
    if (core::kBlocksArePooled) {
        // A stream more is made when a request overtakes the end of the one before.
        EXPECT_LT(counted.allocations, 20U) << "in 1,000 requests through two proxies";
    }
}

TEST(ProxyAllocation, ConditionsAndHeaderEditsOfARouteAllocateNothing) {
    if (!core::test_allocations::kIsCounting) GTEST_SKIP() << "the sanitizer allocates";
    routing::Route route{
        .name = "edits",
        .path_regex = "/a/[a-z]+",
        .headers = {{.name = "accept", .regex = "application/.*"}, {.name = "x", .present = false}},
        .query = {{.name = "with", .exact = "query"}},
        .service = "api_service_of_a_long_name"
    };
    route.request_headers = {
        .remove = {"user-agent"}, .set = {{"x-a-long-name", "a value of some length"}}
    };
    route.response_headers = {
        .set = {{"content-type", "text/html"}}, .add = {{"x-b", "another value of some length"}}
    };
    route.cors = routing::CorsPolicy{.allow_origins = {"https://a.example"}};
    const Counted counted = run(
        "GET /a/path?with=query HTTP/1.1\r\nOrigin: https://a.example\r\n" + kFields + "\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nhello, world!",
        "hello, world!",
        false,
        {route, {.name = "other", .respond = routing::DirectResponse{.status = 404}}}
    );
    EXPECT_EQ(counted.answers, 1'000);
    if (core::kBlocksArePooled) {
        EXPECT_EQ(counted.allocations, 0U) << "in 1,000 requests";
    }
}

}  // namespace
}  // namespace datapunk::mesh::proxy
