#include "http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "http/client.h"
#include "io/tcp.h"

namespace datapunk::mesh::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

// Echoes what it was asked; "/slow" waits for `release`; "/big" answers 300 kB.
class EchoHandler final : public Handler {
  public:
    explicit EchoHandler(io::Loop& loop) : release(loop), called(loop), loop_(loop) {}

    io::Task<Response> handle(Request request) override {
        ++calls;
        called.set();
        peers.insert(request.peer);
        struct Gone {
            int& count;
            bool finished = false;

            ~Gone() { count += finished ? 0 : 1; }
        } gone{cancelled};
        if (request.path() == "/slow") co_await release.wait(loop_.now() + seconds(30));
        gone.finished = true;
        if (request.path() == "/big") co_return text_response(200, std::string(300'000, 'x'));
        if (request.path() == "/split")
            co_return Response{.headers = {{"X-Echo", "a\r\nSet-Cookie: evil=1"}}, .body = "x"};
        if (request.path() == "/status") co_return Response{.status = 999};
        if (request.path() == "/framing")
            co_return Response{
                .headers =
                    {{"content-length", "1"}, {"Transfer-Encoding", "chunked"}, {"DATE", "never"}},
                .body = "four"
            };
        if (request.path() == "/shared") {
            const std::vector<HeaderLine> lines = {
                {"X-Shared", "one"}, {"Date", "never"}, {"Content-Type", "text/plain"}
            };
            Response response{.headers = {{"X-Own", request.target}}};
            response.shared_fields = std::make_shared<const std::string>(*field_lines(lines));
            response.shared_body = std::make_shared<const std::string>("common");
            co_return response;
        }
        if (request.path() == "/none") co_return Response{.status = 204};
        co_return text_response(
            200,
            request.method + " " + request.target + " " + request.body + " " +
                std::string(request.header("x-test"))
        );
    }

    std::size_t body_bytes_max(std::string_view target) const override {
        return target == "/large" ? 3UL * 1024 * 1024 : 0;
    }

    io::Event release;
    io::Event called;  // for the first time
    std::set<io::SocketAddress> peers;
    int calls = 0;
    int cancelled = 0;

  private:
    io::Loop& loop_;
};

class HttpServer : public testing::Test {
  public:
    HttpServer() : loop_(*io::EpollLoop::create()), network_(*loop_), handler_(*loop_) {
        start({});
    }

    void start(ServerConfig config) {
        server_ = std::make_unique<Server>(network_, handler_, config, core::Logger());
        ASSERT_TRUE(server_->listen(io::SocketAddress::loopback(0)));
    }

    template <class T>
    T run(io::Task<T> task) {
        std::optional<T> result;
        const auto collect = [](io::Task<T> inner, std::optional<T>& out) -> io::Task<void> {
            out = co_await std::move(inner);
        };
        io::TaskGroup group;
        group.spawn(collect(std::move(task), result));
        const Instant give_up = loop_->now() + seconds(20);
        while (!result && loop_->now() < give_up) loop_->turn(give_up);
        EXPECT_TRUE(result) << "the task did not finish";
        return std::move(*result);
    }

    Result<Response> fetch(Request request, Client& client) {
        return run(client.fetch(
            "127.0.0.1", server_->local().port, std::move(request), loop_->now() + seconds(10)
        ));
    }

    // Sends raw bytes and returns everything until the server closes (or two seconds pass).
    std::string raw(std::string bytes) { return run(raw_exchange(std::move(bytes))); }

    io::Task<std::string> raw_exchange(std::string bytes) {
        const Instant deadline = loop_->now() + seconds(2);
        auto stream = co_await network_.connect(server_->local(), deadline);
        if (!stream) co_return "no connection";
        const io::Slices slices(bytes);
        auto written = co_await (*stream)->write(slices, deadline);
        if (!written) co_return "not written";
        std::string all;
        std::array<char, 4096> buffer{};
        for (;;) {
            auto got = co_await (*stream)->read(buffer, deadline);
            if (!got || *got == 0) co_return all;
            all.append(buffer.data(), *got);
        }
    }

    std::unique_ptr<io::EpollLoop> loop_;
    io::KernelNetwork network_;
    EchoHandler handler_;
    std::unique_ptr<Server> server_;
};

TEST_F(HttpServer, AnswersAndKeepsTheConnection) {
    Client client(network_, {});
    for (int i = 0; i < 3; ++i) {
        const auto response = fetch(
            {.method = "PUT", .target = "/a?b=c", .headers = {{"X-Test", "hello"}}, .body = "body"},
            client
        );
        ASSERT_TRUE(response) << response.error().what;
        EXPECT_EQ(response->status, 200);
        EXPECT_EQ(response->body, "PUT /a?b=c body hello");
        EXPECT_NE(response->header("date"), "");
    }
    EXPECT_EQ(server_->connections(), 1U) << "one connection carries all three";
    EXPECT_EQ(handler_.peers.size(), 1U);
}

TEST_F(HttpServer, CarriesLargeBodiesBothWays) {
    Client client(network_, {});
    const auto down = fetch({.target = "/big"}, client);
    ASSERT_TRUE(down);
    EXPECT_EQ(down->body.size(), 300'000U);
    const auto up = fetch({.method = "POST", .body = std::string(900'000, 'y')}, client);
    ASSERT_TRUE(up);
    EXPECT_EQ(up->body.size(), 900'000U + std::string("POST /  ").size());
}

TEST_F(HttpServer, AHandlerMayTakeLargerBodiesOnOneTarget) {
    Client client(network_, {});
    const std::string body(2UL * 1024 * 1024, 'y');
    for (int i = 0; i < 2; ++i) {  // the second finds the place free again
        const auto up = fetch({.method = "PUT", .target = "/large", .body = body}, client);
        ASSERT_TRUE(up);
        EXPECT_EQ(up->status, 200);
        EXPECT_GT(up->body.size(), body.size());
    }
    const auto elsewhere = fetch({.method = "PUT", .target = "/", .body = body}, client);
    ASSERT_TRUE(elsewhere);
    EXPECT_EQ(elsewhere->status, 413);
}

TEST_F(HttpServer, RefusesABodyOverTheLimitWithoutReadingIt) {
    Client client(network_, {});
    const auto response =
        fetch({.method = "POST", .body = std::string(1024 * 1024 + 1, 'y')}, client);
    ASSERT_TRUE(response) << response.error().what;
    EXPECT_EQ(response->status, 413);
    EXPECT_EQ(handler_.calls, 0);
    const auto chunked =
        raw("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n" +
            std::string(0x100001, 'z') + "\r\n0\r\n\r\n");
    EXPECT_THAT(chunked, StartsWith("HTTP/1.1 413 "));
}

TEST_F(HttpServer, RefusesMalformedRequestsAndCloses) {
    EXPECT_THAT(raw("GET / HTTP/1.1\nHost: a\n\n"), StartsWith("HTTP/1.1 400 "));
    EXPECT_THAT(
        raw("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: "
            "chunked\r\n\r\n0\r\n\r\n"),
        StartsWith("HTTP/1.1 400 ")
    );
    EXPECT_THAT(raw("GET / HTTP/3.0\r\nHost: a\r\n\r\n"), StartsWith("HTTP/1.1 505 "));
    EXPECT_THAT(
        raw("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(70'000, 'x') + "\r\n\r\n"),
        StartsWith("HTTP/1.1 431 ")
    );
    EXPECT_EQ(handler_.calls, 0);
}

TEST_F(HttpServer, AnswersPipelinedRequestsInOrder) {
    const std::string answers = raw(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    );
    EXPECT_LT(answers.find("GET /1"), answers.find("GET /2"));
    EXPECT_THAT(answers, HasSubstr("Connection: close"));
}

TEST_F(HttpServer, SendsNoBodyForHeadAnd204) {
    const std::string head = raw("HEAD /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(head, HasSubstr("Content-Length: 300000"));
    EXPECT_TRUE(head.ends_with("\r\n\r\n"));
    const std::string none = raw("GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(none, StartsWith("HTTP/1.1 204 "));
    EXPECT_THAT(none, testing::Not(HasSubstr("Content-Length")));
}

TEST_F(HttpServer, WhatAHandlerCannotSendBecomesA500) {
    Client client(network_, {});
    for (const char* path : {"/split", "/status"}) {
        const auto response = fetch({.target = path}, client);
        ASSERT_TRUE(response) << response.error().what;
        EXPECT_EQ(response->status, 500) << path;
        EXPECT_EQ(response->header("set-cookie"), "");
    }
    const auto framed = fetch({.target = "/framing"}, client);
    ASSERT_TRUE(framed) << framed.error().what;
    EXPECT_EQ(framed->body, "four");
    EXPECT_NE(framed->header("date"), "never");
}

TEST_F(HttpServer, FieldsThatAnswersShareAreSentBeforeTheirOwn) {
    const std::string answer =
        raw("GET /shared?1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(
        answer,
        StartsWith("HTTP/1.1 200 OK\r\nX-Shared: one\r\nContent-Type: text/plain\r\n"
                   "X-Own: /shared?1\r\nDate: ")
    );
    EXPECT_THAT(answer, testing::Not(HasSubstr("never")));
    EXPECT_TRUE(answer.ends_with("Content-Length: 6\r\nConnection: close\r\n\r\ncommon"));
    EXPECT_FALSE(field_lines({{"X-Good", "a"}, {"X-Bad", "a\r\nb"}}));
}

TEST_F(HttpServer, ClientRefusesToSendWhatWouldBreakTheFraming) {
    Client client(network_, {});
    for (const Request& bad :
         {Request{.target = "/a b"},
          Request{.target = ""},
          Request{.target = "/a#b"},
          Request{.target = "/a\r\nX: y"},
          Request{.method = "GET /"},
          Request{.host = "a\nb"},
          Request{.headers = {{"X", "a\r\nb"}}},
          Request{.headers = {{"X:", "a"}}}}) {
        const auto response = fetch(bad, client);
        ASSERT_FALSE(response) << bad.target;
        EXPECT_EQ(response.error().code, Code::invalid);
    }
    EXPECT_EQ(handler_.calls, 0);
}

TEST_F(HttpServer, KeepsHttp10ConnectionsOnlyIfAskedAndSaysSo) {
    EXPECT_THAT(raw("GET /a HTTP/1.0\r\n\r\n"), HasSubstr("Connection: close\r\n"));
    const std::string kept =
        raw("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\n");
    EXPECT_THAT(kept, HasSubstr("Connection: keep-alive\r\n"));
    EXPECT_THAT(kept, HasSubstr("GET /2"));
}

TEST_F(HttpServer, AnIdleConnectionEndsQuietlyAlsoAfterAPost) {
    server_.reset();
    start({.idle_timeout = milliseconds(150), .head_timeout = milliseconds(20)});
    const std::string answer = raw("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
    EXPECT_THAT(answer, testing::Not(HasSubstr("408")));
}

TEST_F(HttpServer, CutsASlowBodyAndABodyOverTheLimit) {
    server_.reset();
    start({.body_bytes_max = 5, .body_timeout = milliseconds(50)});
    EXPECT_THAT(
        raw("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhi"),
        StartsWith("HTTP/1.1 408 ")
    );
    EXPECT_THAT(
        raw("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"),
        StartsWith("HTTP/1.1 200 ")
    );
    EXPECT_THAT(
        raw("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
            "chunked\r\n\r\n6\r\nhello!\r\n0\r\n\r\n"),
        StartsWith("HTTP/1.1 413 ")
    );
}

TEST_F(HttpServer, ContinuesARequestThatExpectsIt) {
    const std::string answer =
        raw("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: "
            "100-continue\r\nConnection: close\r\n\r\nhi");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 "));
}

TEST_F(HttpServer, CancelsTheHandlerWhenItsClientLeaves) {
    {
        io::TaskGroup group;
        const auto ask = [](HttpServer* self) -> io::Task<void> {
            auto stream = co_await self->network_.connect(
                self->server_->local(), self->loop_->now() + seconds(1)
            );
            const io::Slices slices(std::string_view("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"));
            auto written = co_await (*stream)->write(slices, self->loop_->now() + seconds(1));
            co_await self->handler_.called.wait(self->loop_->now() + seconds(5));
        };
        group.spawn(ask(this));
        while (!group.empty()) loop_->turn(loop_->now() + seconds(1));
    }
    const Instant give_up = loop_->now() + seconds(5);
    while (handler_.cancelled == 0 && loop_->now() < give_up) loop_->turn(give_up);
    EXPECT_EQ(handler_.cancelled, 1);
}

TEST_F(HttpServer, DrainLetsRequestsInFlightEnd) {
    Client client(network_, {});
    std::optional<Result<Response>> slow;
    bool drained = false;
    io::TaskGroup group;
    const auto ask = [](HttpServer* self, Client& c, std::optional<Result<Response>>& out
                     ) -> io::Task<void> {
        Request request{.target = "/slow"};
        out = co_await c.fetch(
            "127.0.0.1",
            self->server_->local().port,
            std::move(request),
            self->loop_->now() + seconds(10)
        );
    };
    const auto drain = [](HttpServer* self, bool& done) -> io::Task<void> {
        co_await self->server_->drain(self->loop_->now() + seconds(10));
        done = true;
    };
    group.spawn(ask(this, client, slow));
    while (handler_.calls == 0) loop_->turn(loop_->now() + seconds(1));
    group.spawn(drain(this, drained));
    EXPECT_FALSE(drained);
    handler_.release.set();
    while (!group.empty()) loop_->turn(loop_->now() + seconds(1));
    EXPECT_TRUE(drained);
    ASSERT_TRUE(slow && *slow);
    EXPECT_EQ((*slow)->status, 200);
    EXPECT_EQ((*slow)->header("connection"), "close");
    Client late(network_, {});
    EXPECT_FALSE(fetch({}, late)) << "nothing listens any more";
}

TEST_F(HttpServer, ClientSurvivesAConnectionClosedWhileIdle) {
    server_.reset();
    start({.idle_timeout = milliseconds(30)});
    Client client(network_, {});
    ASSERT_TRUE(fetch({}, client));
    const Instant until = loop_->now() + milliseconds(100);
    while (loop_->now() < until) loop_->turn(until);
    EXPECT_EQ(server_->connections(), 0U);
    EXPECT_TRUE(fetch({}, client));
}

TEST_F(HttpServer, ClientReportsDeadlineAndRefusal) {
    Client client(network_, {});
    const auto late = run(client.fetch(
        "127.0.0.1", server_->local().port, {.target = "/slow"}, loop_->now() + milliseconds(30)
    ));
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Code::timeout);
    const auto port = server_->local().port;
    server_.reset();
    const auto refused = run(client.fetch("127.0.0.1", port, {}, loop_->now() + seconds(2)));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::unavailable);
    EXPECT_THAT(refused.error().what, HasSubstr("Connection refused"));
}

TEST_F(HttpServer, AClientWithTooManyConnectionsIsToldSo) {
    server_.reset();
    start({.connections_per_client_max = 2});
    const auto turn_until = [&](std::size_t open) {
        const Instant give_up = loop_->now() + seconds(5);
        while (server_->connections() != open && loop_->now() < give_up) loop_->turn(give_up);
        return server_->connections();
    };
    const auto connect = [&] {
        return run(network_.connect(server_->local(), loop_->now() + seconds(1)));
    };
    auto first = connect();
    auto second = connect();
    ASSERT_TRUE(first && second);
    ASSERT_EQ(turn_until(2), 2U);
    const std::string request = "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    const std::string refused = raw(request);
    EXPECT_THAT(refused, StartsWith("HTTP/1.1 429 Too Many Requests\r\n"));
    EXPECT_THAT(
        refused,
        testing::EndsWith(
            "\r\n\r\nYour IP is issuing too many concurrent connections, please rate limit your "
            "calls\n"
        )
    );
    EXPECT_EQ(server_->connections(), 2U);
    (*first)->close();
    ASSERT_EQ(turn_until(1), 1U);
    EXPECT_THAT(raw(request), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServer, ASlowHeadIsCutByAnAbsoluteDeadline) {
    server_.reset();
    start({.head_timeout = milliseconds(50)});
    EXPECT_THAT(raw("GET / HT"), StartsWith("HTTP/1.1 408 "));
}

}  // namespace
}  // namespace datapunk::mesh::http
