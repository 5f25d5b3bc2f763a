// Where the kernel's behaviour matters: edges that come once, resets that overtake answers, closed
// connections in the pool.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/tcp.h"
#include "proxy/proxy.h"

namespace datapunk::mesh::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

struct Endpoint {
    std::string answer;   // to the first bytes of each connection; empty = silent
    bool closes = false;  // after the answer, with whatever is unread
    int connections = 0;
    int ended = 0;
};

io::Task<void> serve(io::StreamPtr stream, Endpoint& endpoint) {
    ++endpoint.connections;
    std::array<char, 1024> buffer{};
    for (;;) {
        auto got = co_await stream->read(buffer, kNever);
        if (!got || *got == 0) break;
        const io::Slices slices(endpoint.answer);
        auto sent = co_await stream->write(slices, kNever);
        if (endpoint.closes) break;
    }
    ++endpoint.ended;
}

io::Task<void> accept_all(io::Listener& listener, Endpoint& endpoint, io::TaskGroup& tasks) {
    for (;;) {
        auto stream = co_await listener.accept();
        if (!stream) co_return;
        tasks.spawn(serve(*std::move(stream), endpoint));
    }
}

struct Answer {
    std::string bytes;
    bool ended = false;
};

class ProxyLoopback : public testing::Test {
  public:
    ProxyLoopback()
        : loop_(*io::EpollLoop::create()),
          network_(*loop_),
          listener_(*network_.listen(io::SocketAddress::loopback(0), {})),
          api_(services_.add(std::make_unique<policy::ServicePolicies>("api", ServicePolicy{}, 1))),
          proxy_(
              network_,
              {.routes = std::make_shared<const routing::RouteTable>(
                   *routing::RouteTable::create({{.name = "all", .service = "api"}})
               ),
               .services = services_,
               .metrics = metrics_,
               .log = {},
               .pool = {}}
          ) {
        tasks_.spawn(accept_all(*listener_, endpoint_, tasks_));
        const ServiceEndpoint endpoint{
            .id = "1", .service = "api", .host = "127.0.0.1", .port = listener_->local().port
        };
        api_.update({.service = "api", .endpoints = {endpoint}, .index = 1}, loop_->now());
        at_ = *proxy_.listen({.name = "in", .address = "127.0.0.1", .port = 0}, {});
    }

    ~ProxyLoopback() override { tasks_.cancel(); }

    template <class Done>
    bool run_until(Done done) {
        const Instant give_up = loop_->now() + seconds(5);
        while (!done() && loop_->now() < give_up) loop_->turn(loop_->now() + milliseconds(20));
        return done();
    }

    // Sends everything, says so to the kernel if `finishes`, and reads to the end.
    io::Task<void> ask(std::string bytes, bool finishes, Answer& out) {
        auto stream = co_await network_.connect(at_, kNever);
        if (!stream) co_return;
        const io::Slices slices(bytes);
        auto sent = co_await (*stream)->write(slices, loop_->now() + seconds(3));
        if (finishes) (*stream)->shutdown_write();
        std::array<char, 4096> buffer{};
        for (;;) {
            auto got = co_await (*stream)->read(buffer, loop_->now() + seconds(3));
            if (!got || *got == 0) break;
            out.bytes.append(buffer.data(), *got);
        }
        out.ended = true;
    }

  protected:
    std::unique_ptr<io::EpollLoop> loop_;
    io::KernelNetwork network_;
    std::unique_ptr<io::Listener> listener_;
    Endpoint endpoint_;
    metrics::MetricRegistry metrics_;
    UpstreamServices services_;
    policy::ServicePolicies& api_;
    Proxy proxy_;
    io::SocketAddress at_;
    io::TaskGroup tasks_;
};

constexpr const char* kGet = "GET / HTTP/1.1\r\nHost: api\r\n\r\n";
constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

TEST_F(ProxyLoopback, NoticesACallerWhoseEndCameWithItsRequest) {
    Answer answer;
    tasks_.spawn(ask(kGet, true, answer));
    EXPECT_TRUE(run_until([&] { return answer.ended && proxy_.connections() == 0; }))
        << "the endpoint is silent: only the caller's end can end this";
    EXPECT_EQ(endpoint_.connections, endpoint_.ended);
    EXPECT_EQ(api_.totals().in_flight, 0U);
    EXPECT_EQ(proxy_.pool().counters().open, 0U);
}

TEST_F(ProxyLoopback, AnEarlyAnswerReachesACallerThatIsStillSending) {
    endpoint_.answer = "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno";
    endpoint_.closes = true;
    Answer answer;
    tasks_.spawn(ask(
        "PUT / HTTP/1.1\r\nHost: api\r\nContent-Length: 400000\r\n\r\n" + std::string(100'000, 'x'),
        false,
        answer
    ));
    EXPECT_TRUE(run_until([&] { return answer.ended; }));
    EXPECT_THAT(answer.bytes, StartsWith("HTTP/1.1 403"));
    EXPECT_THAT(answer.bytes, EndsWith("no"));
    EXPECT_EQ(api_.totals().in_flight, 0U);
}

TEST_F(ProxyLoopback, DoesNotUseAConnectionThatItsEndpointHasClosed) {
    endpoint_.answer = kOk;
    endpoint_.closes = true;
    for (int i = 0; i < 20; ++i) {
        Answer answer;
        const std::string last = std::string(
            "POST / HTTP/1.1\r\nHost: api\r\nConnection: close\r\nContent-Length: "
            "2\r\n\r\nhi"
        );
        tasks_.spawn(ask(last, false, answer));
        EXPECT_TRUE(run_until([&] { return answer.ended && endpoint_.ended == i + 1; }));
        EXPECT_THAT(answer.bytes, HasSubstr("200 OK"));
        loop_->turn(loop_->now());  // the endpoint's FIN has arrived
    }
    EXPECT_EQ(endpoint_.connections, 20);
}

TEST_F(ProxyLoopback, AnswersAThousandPipelinedRequests) {
    endpoint_.answer = kOk;
    std::string all;
    constexpr int kRequests = 1'000;
    for (int i = 0; i + 1 < kRequests; ++i) all += kGet;
    all += "GET / HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n";
    Answer answer;
    tasks_.spawn(ask(all, false, answer));
    EXPECT_TRUE(run_until([&] { return answer.ended; }));
    int answers = 0;
    for (std::size_t at = 0; (at = answer.bytes.find("200 OK", at)) != answer.bytes.npos; ++at)
        ++answers;
    EXPECT_EQ(answers, kRequests);
    EXPECT_EQ(endpoint_.connections, 1);
    EXPECT_EQ(api_.totals().in_flight, 0U);
}

}  // namespace
}  // namespace datapunk::mesh::proxy
