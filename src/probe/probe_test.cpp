#include "probe/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/test_certificates.h"
#include "io/tls.h"
#include "sim/run.h"
#include "sim/sim_processes.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::probe {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kThere = "10.0.0.2";

// A host that answers every connection with fixed bytes, whatever is asked; over TLS if it has a
// context.
class Canned {
  public:
    Canned(
        sim::SimNetwork& network,
        std::string answer,
        bool ends = true,
        std::shared_ptr<const io::TlsContext> tls = nullptr
    )
        : listener_(*network.listen(*io::parse_ip(kThere, 80), {})),
          answer_(std::move(answer)),
          ends_(ends),
          tls_(std::move(tls)) {
        tasks_.spawn(accept_all(this));
    }

    std::string asked;

  private:
    static io::Task<void> accept_all(Canned* self) {
        for (;;) {
            auto stream = co_await self->listener_->accept();
            if (!stream) co_return;
            self->tasks_.spawn(serve(self, *std::move(stream)));
        }
    }

    static io::Task<void> serve(Canned* self, io::StreamPtr stream) {
        if (self->tls_ != nullptr) {
            auto secure = io::TlsStream::server(std::move(stream), self->tls_);
            auto agreed = co_await secure->handshake(kNever);
            if (!agreed) co_return;
            stream = std::move(secure);
        }
        std::string buffer(4096, '\0');
        while (self->asked.find("\r\n\r\n") == std::string::npos) {
            auto got = co_await stream->read(buffer, kNever);
            if (!got || *got == 0) co_return;
            self->asked.append(buffer, 0, *got);
        }
        auto written = co_await stream->write(io::Slices(self->answer_), kNever);
        if (!written) co_return;
        if (self->ends_) stream->shutdown_write();
        (void)co_await stream->read(buffer, kNever);
    }

    std::unique_ptr<io::Listener> listener_;
    std::string answer_;
    bool ends_;
    std::shared_ptr<const io::TlsContext> tls_;
    io::TaskGroup tasks_;
};

class Probe : public testing::Test {
  protected:
    static ProbeDefinition page() {
        ProbeDefinition definition;
        definition.host = kThere;
        definition.port = 80;
        definition.display = "the page";
        return definition;
    }

    ProbeResult run(const ProbeDefinition& definition) {
        const Instant deadline = world_.loop().now() + definition.timeout;
        auto result = sim::run_on(
            world_.loop(),
            probe(ProbeTools{world_.host("10.0.0.1"), tls_, &processes_}, definition, deadline),
            1min
        );
        EXPECT_TRUE(result);
        return result.value_or(ProbeResult{});
    }

    sim::SimWorld world_{1};
    TlsContexts tls_;
    sim::SimProcesses processes_{world_.loop()};
};

TEST_F(Probe, DoesNotReadAnEndlessBody) {
    const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n";
    Canned canned(world_.host(kThere), head + std::string(100'000, 'x'), false);
    const Instant start = world_.loop().now();
    const ProbeResult result = run(page());
    EXPECT_EQ(result.status, Health::passing);
    EXPECT_EQ(result.output.size(), kOutputBytesMax);
    EXPECT_LT(world_.loop().now() - start, 1s);
}

TEST_F(Probe, ABodyThatBreaksOffOrHangsDoesNotUndoTheStatus) {
    for (const bool ends : {true, false}) {
        const std::string half = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf";
        Canned canned(world_.host(kThere), half, ends);
        const ProbeResult result = run(page());
        EXPECT_EQ(result.status, Health::passing);
        EXPECT_EQ(result.output, "HTTP GET the page: 200 OK Output: half");
    }
}

TEST_F(Probe, KeepsTheServersOwnReason) {
    Canned canned(world_.host(kThere), "HTTP/1.1 507 Disk Full\r\nContent-Length: 0\r\n\r\n");
    EXPECT_EQ(run(page()).output, "HTTP GET the page: 507 Disk Full Output: ");
}

TEST_F(Probe, AServerThatAcceptsAndSaysNothingIsCriticalAtTheDeadline) {
    Canned canned(world_.host(kThere), "", false);
    const Instant start = world_.loop().now();
    ProbeDefinition definition = page();
    definition.timeout = 3s;
    const ProbeResult result = run(definition);
    EXPECT_EQ(result.status, Health::critical);
    EXPECT_THAT(result.output, HasSubstr("deadline"));
    EXPECT_GE(world_.loop().now() - start, 3s);
    EXPECT_LT(world_.loop().now() - start, 3100ms);
}

TEST_F(Probe, WhatIsNotHttpIsCritical) {
    for (const char* answer : {"SSH-2.0-OpenSSH_9.2\r\n", ""}) {
        Canned canned(world_.host(kThere), answer);
        EXPECT_EQ(run(page()).status, Health::critical) << answer;
    }
}

TEST_F(Probe, SendsWhatWasAskedButFramesItItself) {
    Canned canned(world_.host(kThere), "HTTP/1.1 204 No Content\r\n\r\n");
    ProbeDefinition definition = page();
    definition.method = "POST";
    definition.target = "/a?b=c";
    definition.body = "ping";
    definition.headers = {
        {"host", "other"},
        {"user-agent", "mine"},
        {"X-Key", "1"},
        {"content-length", "999"},
        {"Transfer-Encoding", "chunked"},
        {"Connection", "keep-alive"}
    };
    EXPECT_EQ(run(definition).status, Health::passing);
    EXPECT_EQ(
        canned.asked,
        "POST /a?b=c HTTP/1.1\r\nHost: other\r\nuser-agent: mine\r\nX-Key: 1\r\n"
        "Accept: text/plain, text/*, */*\r\nConnection: close\r\nContent-Length: 4\r\n\r\nping"
    );
}

TEST_F(Probe, ADefinitionThatWouldBreakTheFramingIsCriticalAndNotSent) {
    Canned canned(world_.host(kThere), "HTTP/1.1 200 OK\r\n\r\n");
    ProbeDefinition line_break = page();
    line_break.headers = {{"X", "a\r\nY: b"}};
    ProbeDefinition host = page();
    host.headers = {{"Host", "a\nb"}};
    ProbeDefinition method = page();
    method.method = "GE T";
    ProbeDefinition target = page();
    target.target = "/a b";
    ProbeDefinition nothing = page();
    nothing.target.clear();
    for (const ProbeDefinition& definition : {line_break, host, method, target, nothing}) {
        const ProbeResult result = run(definition);
        EXPECT_EQ(result.status, Health::critical);
        EXPECT_THAT(result.output, HasSubstr("not fit for HTTP"));
    }
    EXPECT_EQ(canned.asked, "");
}

TEST_F(Probe, TlsIsVerifiedUnlessTheCheckSaysOtherwise) {
    const auto self_signed =
        io::make_test_certificate({.common_name = "web", .names = "DNS:web.example"});
    auto context = io::TlsContext::server(
        {.certificate_chain = self_signed.certificate,
         .private_key = self_signed.key,
         .client_ca = {},
         .alpn = {}}
    );
    ASSERT_TRUE(context);
    const std::string fine = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    Canned canned(world_.host(kThere), fine, true, *context);
    ProbeDefinition definition = page();
    definition.tls.enabled = true;
    EXPECT_EQ(run(definition).status, Health::critical);
    EXPECT_EQ(canned.asked, "");
    definition.tls.verify = false;
    const ProbeResult result = run(definition);
    EXPECT_EQ(result.status, Health::passing) << result.output;
    EXPECT_THAT(canned.asked, HasSubstr("Host: 10.0.0.2:80\r\n")) << "80 is not TLS's own port";
}

}  // namespace
}  // namespace datapunk::mesh::probe
