// The client over TLS, on the simulated network.

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "http/client.h"
#include "io/test_certificates.h"
#include "sim/run.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::http {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr std::string_view kThere = "10.0.0.2";
constexpr std::uint16_t kPort = 443;
constexpr std::string_view kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

// Answers each request head on a connection with the same bytes, over TLS.
class TlsServer {
  public:
    TlsServer(sim::SimNetwork& network, std::shared_ptr<const io::TlsContext> context)
        : listener_(*network.listen(*io::parse_ip(kThere, kPort), {})),
          context_(std::move(context)) {
        tasks_.spawn(accept_all(this));
    }

    int connections = 0;
    int requests = 0;
    std::string asked;    // the last head
    io::TlsPeer visitor;  // of the last connection

  private:
    static io::Task<void> accept_all(TlsServer* self) {
        for (;;) {
            auto stream = co_await self->listener_->accept();
            if (!stream) co_return;
            self->tasks_.spawn(serve(self, *std::move(stream)));
        }
    }

    static io::Task<void> serve(TlsServer* self, io::StreamPtr inner) {
        const auto stream = io::TlsStream::server(std::move(inner), self->context_);
        auto agreed = co_await stream->handshake(kNever);
        if (!agreed) co_return;
        ++self->connections;
        self->visitor = stream->peer_identity();
        std::string buffer(4096, '\0');
        for (;;) {
            std::string head;
            while (head.find("\r\n\r\n") == std::string::npos) {
                auto got = co_await stream->read(buffer, kNever);
                if (!got || *got == 0) co_return;
                head.append(buffer, 0, *got);
            }
            self->asked = head;
            ++self->requests;
            auto written = co_await stream->write(io::Slices(kAnswer), kNever);
            if (!written) co_return;
        }
    }

    std::unique_ptr<io::Listener> listener_;
    std::shared_ptr<const io::TlsContext> context_;
    io::TaskGroup tasks_;
};

class ClientTls : public testing::Test {
  protected:
    ClientTls() { serve({.common_name = "server", .names = "DNS:web.example,IP:10.0.0.2"}); }

    void serve(const io::TestCertificateRequest& request, io::TlsServerConfig config = {}) {
        const auto identity = io::make_test_certificate(request, &ca_);
        config.certificate_chain = identity.certificate;
        config.private_key = identity.key;
        if (config.alpn.empty()) config.alpn = {"http/1.1"};
        server_.reset();
        server_.emplace(world_.host(kThere), *io::TlsContext::server(config));
    }

    io::TlsClientConfig trusting() const { return {.ca = ca_.certificate}; }

    std::unique_ptr<Client> client(io::TlsClientConfig config, std::string name = {}) {
        auto context = client_tls(std::move(config));
        MESH_ASSERT(context.ok());
        return std::make_unique<Client>(
            world_.host("10.0.0.1"),
            ClientConfig{.tls = *std::move(context), .tls_server_name = std::move(name)}
        );
    }

    Result<Response> get(Client& client, Duration patience = 10s) {
        const Instant deadline = world_.loop().now() + patience;
        auto answer = sim::run_on(
            world_.loop(), client.fetch(std::string(kThere), kPort, Request{}, deadline), 1min
        );
        MESH_ASSERT(answer.has_value());
        return *std::move(answer);
    }

    sim::SimWorld world_{sim::seed_for_test(5)};
    io::TestCertificate ca_ = io::make_test_certificate({.common_name = "ca", .is_ca = true});
    std::optional<TlsServer> server_;
};

TEST_F(ClientTls, AsksAVerifiedServerAndKeepsTheConnection) {
    const auto asker = client(trusting());
    for (int i = 0; i < 3; ++i) {
        const auto answer = get(*asker);
        ASSERT_TRUE(answer) << answer.error().what;
        EXPECT_EQ(answer->body, "ok");
    }
    EXPECT_EQ(server_->connections, 1);
    EXPECT_EQ(server_->requests, 3);
    EXPECT_THAT(server_->asked, HasSubstr("Host: 10.0.0.2:443\r\n"));
}

TEST_F(ClientTls, TheCertificateMustBeForTheNameThatIsMeant) {
    EXPECT_TRUE(get(*client(trusting(), "web.example")));
    const auto other = get(*client(trusting(), "other.example"));
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().code, Code::denied);
    EXPECT_THAT(other.error().what, HasSubstr("hostname mismatch"));
    EXPECT_EQ(server_->requests, 1) << "the request is not shown to a stranger";
}

TEST_F(ClientTls, AnUnknownSignerAndAnExpiredCertificateAreDenied) {
    const auto stranger = io::make_test_certificate({.common_name = "other ca", .is_ca = true});
    const auto distrusted = get(*client({.ca = stranger.certificate}));
    ASSERT_FALSE(distrusted);
    EXPECT_EQ(distrusted.error().code, Code::denied);
    EXPECT_TRUE(get(*client({.verify_peer = false})));
    serve({.common_name = "server", .names = "IP:10.0.0.2", .ends_s = -60});
    const auto expired = get(*client(trusting()));
    ASSERT_FALSE(expired);
    EXPECT_EQ(expired.error().code, Code::denied);
    EXPECT_THAT(expired.error().what, HasSubstr("expired"));
    EXPECT_EQ(server_->requests, 0);
}

TEST_F(ClientTls, ShowsItsOwnCertificateWhereOneIsAskedFor) {
    serve({.common_name = "server", .names = "IP:10.0.0.2"}, {.client_ca = ca_.certificate});
    EXPECT_FALSE(get(*client(trusting())));
    EXPECT_EQ(server_->requests, 0);
    const auto ours = io::make_test_certificate({.common_name = "asker"}, &ca_);
    io::TlsClientConfig config = trusting();
    config.certificate_chain = ours.certificate;
    config.private_key = ours.key;
    const auto answer = get(*client(config));
    ASSERT_TRUE(answer) << answer.error().what;
    EXPECT_EQ(server_->visitor.subject, "CN=asker");
}

TEST_F(ClientTls, AServerThatOnlySpeaksSomethingElseIsNotTalkedTo) {
    serve({.common_name = "server", .names = "IP:10.0.0.2"}, {.alpn = {"h2"}});
    const auto answer = get(*client(trusting()));
    ASSERT_FALSE(answer);
    EXPECT_EQ(server_->requests, 0);
}

TEST_F(ClientTls, AServerThatNeverAnswersTheHandshakeIsATimeout) {
    server_.reset();
    const auto silent = *world_.host(kThere).listen(*io::parse_ip(kThere, kPort), {});
    const Instant start = world_.loop().now();
    const auto answer = get(*client(trusting()));
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, Code::timeout);
    EXPECT_LE(world_.loop().now() - start, 2s + 10ms) << "the connect timeout covers it";
}

TEST_F(ClientTls, TrustsWhatLiesInADirectory) {
    std::string directory = testing::TempDir() + "ca-XXXXXX";
    ASSERT_NE(::mkdtemp(directory.data()), nullptr);
    EXPECT_THAT(client_tls({.ca = directory}).error().what, HasSubstr("empty"));
    std::ofstream(directory + "/ca.pem") << ca_.certificate;
    EXPECT_TRUE(get(*client({.ca = directory})));
    std::ofstream(directory + "/note.txt") << "not a certificate";
    EXPECT_THAT(client_tls({.ca = directory}).error().what, HasSubstr("note.txt"));
    std::filesystem::remove_all(directory);
    EXPECT_FALSE(client_tls({.ca = directory}));
}

}  // namespace
}  // namespace datapunk::mesh::http
