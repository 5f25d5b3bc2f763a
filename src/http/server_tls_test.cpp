// The server over TLS, and what it refuses before it has read all of it; on the simulated network.

#include <gmock/gmock.h>

#include <algorithm>
#include <array>

#include "http/client.h"
#include "http/server.h"
#include "io/test_certificates.h"
#include "io/tls_slot.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::http {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kHere = "10.0.0.1";
constexpr std::string_view kThere = "10.0.0.2";
constexpr std::uint16_t kPort = 443;

class Guard final : public Handler {
  public:
    io::Task<Response> handle(Request request) override {
        ++handled;
        co_return text_response(200, "ok " + std::to_string(request.body.size()));
    }

    std::optional<Response> refuse_unread(const Request& head) override {
        if (head.header("x-token") == "good") return std::nullopt;
        return text_response(403, "who are you?");
    }

    int handled = 0;
};

io::Task<void> send_and_read(
    io::Network* network, std::string bytes, std::string* out, bool* closed
) {
    auto stream = co_await network->connect(*io::parse_ip(kThere, kPort), kNever);
    if (!stream) co_return;
    const io::Slices slices{std::string_view(bytes)};
    auto written = co_await (*stream)->write(slices, kNever);
    while (written) {
        std::string piece(4096, '\0');
        auto got = co_await (*stream)->read(piece, kNever);
        if (!got || *got == 0) break;
        out->append(piece, 0, *got);
    }
    *closed = true;
}

class ServerTls : public testing::Test {
  public:
    io::TestCertificate issue(const std::string& name, const io::TestCertificate* by) const {
        return io::make_test_certificate({.common_name = name, .names = "IP:10.0.0.2"}, by);
    }

    std::shared_ptr<const io::TlsContext> context(
        const io::TestCertificate& identity, std::string client_ca = {}
    ) const {
        auto made = server_tls(
            {.certificate_chain = identity.certificate,
             .private_key = identity.key,
             .client_ca = std::move(client_ca),
             .alpn = {}}
        );
        MESH_ASSERT(made.ok());
        return *std::move(made);
    }

    void serve(std::shared_ptr<const io::TlsContext> with) {
        slot_ = with == nullptr ? nullptr : std::make_shared<io::TlsSlot>(std::move(with));
        server_ = std::make_unique<Server>(
            world_.host(kThere),
            guard_,
            ServerConfig{.tls = slot_, .handshakes_max = 3, .admits = admits_},
            core::Logger()
        );
        ASSERT_TRUE(server_->listen(*io::parse_ip(kThere, kPort)));
    }

    Result<Response> ask(io::TlsClientConfig config, std::string body = {}) {
        auto tls = client_tls(std::move(config));
        MESH_ASSERT(tls.ok());
        Client client(world_.host(kHere), {.tls = *std::move(tls)});
        Request request{.method = "PUT", .body = std::move(body)};
        request.headers.push_back({"X-Token", "good"});
        const Instant deadline = world_.loop().now() + 10s;
        auto answer = sim::run_on(
            world_.loop(), client.fetch(std::string(kThere), kPort, request, deadline), 1min
        );
        MESH_ASSERT(answer.has_value());
        return *std::move(answer);
    }

    std::string say(std::string bytes, Duration patience = 5s) {
        std::string got;
        closed_ = false;
        io::TaskGroup group;
        group.spawn(send_and_read(&world_.host(kHere), std::move(bytes), &got, &closed_));
        world_.loop().run_for(patience);
        return got;
    }

    sim::SimWorld world_{sim::seed_for_test(5)};
    io::TestCertificate ca_ = io::make_test_certificate({.common_name = "ca", .is_ca = true});
    Guard guard_;
    std::shared_ptr<io::TlsSlot> slot_;
    std::function<bool(const io::TlsPeer&)> admits_;
    std::unique_ptr<Server> server_;
    bool closed_ = false;
};

TEST_F(ServerTls, ServesWhoTrustsItsCertificate) {
    serve(context(issue("web", &ca_)));
    const auto answer = ask({.ca = ca_.certificate}, std::string(300'000, 'x'));
    ASSERT_TRUE(answer) << answer.error().what;
    EXPECT_EQ(answer->body, "ok 300000");
    const auto stranger = io::make_test_certificate({.common_name = "other", .is_ca = true});
    EXPECT_FALSE(ask({.ca = stranger.certificate}));
    EXPECT_EQ(guard_.handled, 1);
}

TEST_F(ServerTls, WithAClientAuthorityOnlyWhoHasACertificateGetsIn) {
    serve(context(issue("web", &ca_), ca_.certificate));
    EXPECT_FALSE(ask({.ca = ca_.certificate}));
    const auto other = io::make_test_certificate({.common_name = "other", .is_ca = true});
    const auto forged = issue("caller", &other);
    EXPECT_FALSE(ask(
        {.ca = ca_.certificate,
         .certificate_chain = forged.certificate,
         .private_key = forged.key,
         .alpn = {}}
    ));
    EXPECT_EQ(guard_.handled, 0);
    const auto caller = issue("caller", &ca_);
    const auto answer = ask(
        {.ca = ca_.certificate,
         .certificate_chain = caller.certificate,
         .private_key = caller.key,
         .alpn = {}}
    );
    ASSERT_TRUE(answer) << answer.error().what;
    EXPECT_EQ(guard_.handled, 1);
}

TEST_F(ServerTls, WhoIsNotAdmittedIsToldSo) {
    admits_ = [](const io::TlsPeer& peer) { return peer.subject == "CN=good"; };
    serve(context(issue("web", &ca_), ca_.certificate));
    const auto status = [&](const std::string& name) {
        const auto caller = issue(name, &ca_);
        const auto answer = ask(
            {.ca = ca_.certificate,
             .certificate_chain = caller.certificate,
             .private_key = caller.key,
             .alpn = {}}
        );
        return answer ? answer->status : 0;
    };
    EXPECT_EQ(status("good"), 200);
    EXPECT_EQ(status("bad"), 403);
    EXPECT_EQ(guard_.handled, 1);
}

TEST_F(ServerTls, ANewCertificateIsForTheNextConnection) {
    serve(context(issue("web", &ca_)));
    EXPECT_TRUE(ask({.ca = ca_.certificate}));
    const auto next = io::make_test_certificate({.common_name = "next ca", .is_ca = true});
    slot_->set(context(issue("web", &next)));
    EXPECT_FALSE(ask({.ca = ca_.certificate}));
    EXPECT_TRUE(ask({.ca = next.certificate}));
}

TEST_F(ServerTls, PlainTextAndSilenceGetNothing) {
    serve(context(issue("web", &ca_)));
    EXPECT_THAT(say("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), testing::Not(HasSubstr("HTTP/1.1 200")));
    EXPECT_TRUE(closed_);
    EXPECT_EQ(say("", 9s), "");
    EXPECT_FALSE(closed_);
    EXPECT_EQ(say("", 11s), "");
    EXPECT_TRUE(closed_) << "a handshake has a deadline";
    EXPECT_EQ(server_->connections(), 0U);
    EXPECT_EQ(guard_.handled, 0);
}

TEST_F(ServerTls, SoManyHandshakesAtATimeAndNoMore) {
    serve(context(issue("web", &ca_)));
    std::array<std::string, 5> got;
    std::array<bool, 5> closed{};
    io::TaskGroup group;
    for (std::size_t i = 0; i < got.size(); ++i) {
        group.spawn(send_and_read(&world_.host(kHere), "\x16\x03\x01", &got[i], &closed[i]));
    }
    world_.loop().run_for(1s);
    EXPECT_EQ(std::count(closed.begin(), closed.end(), true), 2);
    EXPECT_EQ(server_->connections(), 3U);
    world_.loop().run_for(10s);
    EXPECT_TRUE(ask({.ca = ca_.certificate})) << "there is room again";
}

TEST_F(ServerTls, WhatAHandlerRefusesUnreadIsNotReceived) {
    serve(nullptr);
    const std::string head = "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n";
    EXPECT_THAT(say(head + "Expect: 100-continue\r\n\r\n"), StartsWith("HTTP/1.1 403"));
    EXPECT_THAT(say(head + "\r\nonly the beginning"), StartsWith("HTTP/1.1 403"));
    EXPECT_TRUE(closed_);
    EXPECT_THAT(
        say(head + "X-Token: good\r\nExpect: 100-continue\r\n\r\n"),
        StartsWith("HTTP/1.1 100 Continue")
    );
    EXPECT_EQ(guard_.handled, 0);
}

}  // namespace
}  // namespace datapunk::mesh::http
