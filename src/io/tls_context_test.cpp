// What contexts decide: which certificate is shown, which versions are spoken, who is believed, and
// what a second connection to the same server may skip.

#include <gmock/gmock.h>
#include <openssl/ssl.h>

#include "io/test_tls.h"
#include "io/tls_slot.h"

namespace datapunk::mesh::io {
namespace {

using ::testing::HasSubstr;

TestCertificate certificate_for(const std::string& name, const std::string& names) {
    return make_test_certificate({.common_name = name, .names = names}, &ca());
}

class TlsContextTest : public TlsTest {
  protected:
    TlsClientConfig trusting() const { return {.ca = ca().certificate}; }

    // Whom a client meets that asks for this name.
    std::string subject_for(const TlsServerConfig& at_server, const std::string& host) {
        auto config = trusting();
        config.verify_peer = false;
        connect(at_server, config, host);
        EXPECT_TRUE(handshake().ok());
        EXPECT_EQ(server->server_name(), host);
        server_verdict.reset();
        return client->peer_identity().subject;
    }

    // A connection that uses and fills `sessions`, with a byte from the server: its tickets are
    // there.
    void connect_again(
        const std::shared_ptr<const TlsContext>& at_server,
        const std::shared_ptr<const TlsContext>& at_client
    ) {
        StreamPtr raw;
        TaskGroup group;
        group.spawn(accept_one(listener.get(), &raw));
        auto near = run(world.host(kA).connect(parse_ip(kB, 443).value(), in(10s)));
        server = TlsStream::server(std::move(raw), at_server);
        client = TlsStream::client(*std::move(near), at_client, "web.mesh");
        client->resume(sessions, "web");
        server_verdict.reset();
        const auto done = handshake();
        ASSERT_TRUE(done.ok()) << done.error().what;
        ASSERT_TRUE(run(write_all(server.get(), "x", in(1s))));
        EXPECT_EQ(run(read_once(client.get(), in(1s))).value(), "x");
    }

    std::shared_ptr<TlsSessions> sessions = std::make_shared<TlsSessions>();
};

TEST_F(TlsContextTest, ShowsTheCertificateForTheNameThatIsAskedFor) {
    const auto first = certificate_for("first", "DNS:first.mesh");
    const auto exact = certificate_for("exact", "DNS:a.wild.mesh");
    const auto wild = certificate_for("wild", "DNS:*.wild.mesh");
    auto config = server_of(first);
    config.more = {{wild.certificate, wild.key}, {exact.certificate, exact.key}};
    EXPECT_EQ(subject_for(config, "first.mesh"), "CN=first");
    EXPECT_EQ(subject_for(config, "a.wild.mesh"), "CN=exact") << "not the wildcard before it";
    EXPECT_EQ(subject_for(config, "b.wild.mesh"), "CN=wild");
    EXPECT_EQ(subject_for(config, "a.b.wild.mesh"), "CN=first");
    EXPECT_EQ(subject_for(config, "stranger.mesh"), "CN=first");
}

TEST_F(TlsContextTest, AMoreSpecificCertificateStandsBeforeTheFirstOnesWildcard) {
    const auto first = certificate_for("first", "DNS:*.wild.mesh");
    const auto exact = certificate_for("exact", "DNS:a.wild.mesh");
    auto config = server_of(first);
    config.more = {{exact.certificate, exact.key}};
    EXPECT_EQ(subject_for(config, "a.wild.mesh"), "CN=exact");
    EXPECT_EQ(subject_for(config, "b.wild.mesh"), "CN=first");
}

TEST_F(TlsContextTest, AnyOfSeveralCertificatesThatIsBadIsAnErrorThatNamesIt) {
    auto config = server_of(web());
    config.more = {{web().certificate, caller().key}};
    EXPECT_THAT(TlsContext::server(config).error().what, HasSubstr("does not fit"));
    config.more = {{"/no/such/one.pem", web().key}};
    EXPECT_THAT(TlsContext::server(config).error().what, HasSubstr("/no/such/one.pem"));
}

TEST_F(TlsContextTest, AnOptionalClientCertificateMayBeMissingButNotBad) {
    auto at_server = server_of(web());
    at_server.client_ca = ca().certificate;
    at_server.client_certificate_optional = true;
    connect(at_server, trusting(), "web.mesh");
    ASSERT_TRUE(handshake().ok());
    EXPECT_EQ(server->peer_identity().subject, "");
    auto with = trusting();
    with.certificate_chain = caller().certificate;
    with.private_key = caller().key;
    server_verdict.reset();
    connect(at_server, with, "web.mesh");
    ASSERT_TRUE(handshake().ok());
    EXPECT_EQ(server->peer_identity().subject, "CN=caller");
    EXPECT_TRUE(server->peer_identity().is_leaf);
    EXPECT_EQ(server->peer_identity().sha256.size(), 64U);
    const auto stranger = make_test_certificate({.common_name = "stranger"});
    with.certificate_chain = stranger.certificate;
    with.private_key = stranger.key;
    server_verdict.reset();
    connect(at_server, with, "web.mesh");
    static_cast<void>(handshake());
    ASSERT_TRUE(server_verdict.has_value());
    EXPECT_FALSE(server_verdict->ok());
    EXPECT_EQ(server->failure(), TlsFailure::distrusted);
}

TEST_F(TlsContextTest, AnAuthoritysCertificateIsNoLeaf) {
    auto at_server = server_of(web());
    at_server.client_ca = ca().certificate;
    auto with = trusting();
    with.certificate_chain = ca().certificate;
    with.private_key = ca().key;
    connect(at_server, with, "web.mesh");
    static_cast<void>(handshake());
    EXPECT_FALSE(server->peer_identity().is_leaf);
}

TEST_F(TlsContextTest, TheUriStandsForTheNameWhereUrisAreWanted) {
    auto wanting = trusting();
    wanting.peer_uris = {"spiffe://mesh/other", "spiffe://mesh/caller"};
    connect(server_of(caller()), wanting, "10.0.0.2");
    const auto done = handshake();
    EXPECT_TRUE(done.ok()) << done.error().what;
    wanting.peer_uris = {"spiffe://mesh/call"};
    connect(server_of(caller()), wanting, "10.0.0.2");
    EXPECT_EQ(handshake().error().code, Code::denied);
    const auto two = certificate_for("two", "URI:spiffe://mesh/call,URI:spiffe://mesh/b");
    connect(server_of(two), wanting, "10.0.0.2");
    EXPECT_EQ(handshake().error().code, Code::denied) << "which one is it?";
    connect(server_of(web()), wanting, "web.mesh");
    EXPECT_EQ(handshake().error().code, Code::denied) << "a name is no URI";
    const auto forged =
        make_test_certificate({.common_name = "forged", .names = "URI:spiffe://mesh/call"});
    connect(server_of(forged), wanting, "10.0.0.2");
    EXPECT_EQ(handshake().error().code, Code::denied) << "signed by nobody that counts";
}

TEST_F(TlsContextTest, ResumesWithEveryTicketOnceAndOnlyWithTheContextThatGaveIt) {
    const auto at_server = TlsContext::server(server_of(web())).value();
    const auto at_client = TlsContext::client(trusting()).value();
    connect_again(at_server, at_client);
    EXPECT_FALSE(client->is_resumed());
    EXPECT_EQ(sessions->servers(), 1U);
    connect_again(at_server, at_client);
    EXPECT_TRUE(client->is_resumed());
    EXPECT_TRUE(server->is_resumed());
    EXPECT_EQ(client->peer_identity().subject, "CN=web");
    const auto other = TlsContext::server(server_of(web())).value();
    EXPECT_NE(other->id(), at_server->id());
    connect_again(other, at_client);
    EXPECT_FALSE(client->is_resumed()) << "its ticket keys are its own";
}

TEST_F(TlsContextTest, KnowsTheCallerAgainWithoutAnotherCertificate) {
    auto server_config = server_of(web());
    server_config.client_ca = ca().certificate;
    auto client_config = trusting();
    client_config.certificate_chain = caller().certificate;
    client_config.private_key = caller().key;
    const auto at_server = TlsContext::server(server_config).value();
    const auto at_client = TlsContext::client(client_config).value();
    for (const bool again : {false, true}) {
        connect_again(at_server, at_client);
        EXPECT_EQ(client->is_resumed(), again);
        EXPECT_EQ(server->peer_identity().subject, "CN=caller");
    }
}

TEST_F(TlsContextTest, SaysHowAHandshakeFailed) {
    connect(server_of(web()), trusting(), "web.mesh");
    EXPECT_FALSE(run(server->handshake(in(1s))).ok());
    EXPECT_EQ(server->failure(), TlsFailure::timeout);

    connect(server_of(web()), trusting(), "web.mesh");
    client->close();
    EXPECT_FALSE(run(server->handshake(in(1s))).ok());
    EXPECT_EQ(server->failure(), TlsFailure::closed);

    for (const std::string garbage : {"GET / HTTP/1.1\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n"}) {
        connect(server_of(web()), trusting(), "web.mesh");
        ASSERT_TRUE(run(write_all(raw_client, garbage, in(1s))));
        EXPECT_FALSE(run(server->handshake(in(1s))).ok());
        EXPECT_EQ(server->failure(), TlsFailure::not_tls) << garbage;
    }

    auto secured = server_of(web());
    secured.client_ca = ca().certificate;
    connect(secured, trusting(), "web.mesh");
    static_cast<void>(handshake());
    EXPECT_EQ(server->failure(), TlsFailure::no_certificate);

    server_verdict.reset();
    connect(server_of(web()), {}, "web.mesh");
    EXPECT_FALSE(handshake().ok());
    EXPECT_EQ(client->failure(), TlsFailure::distrusted);
    EXPECT_FALSE(run(server->handshake(in(1s))).ok());
    EXPECT_EQ(server->failure(), TlsFailure::refused_by_peer);

    auto h2_only = server_of(web());
    h2_only.alpn = {"h2"};
    auto h1_only = trusting();
    h1_only.alpn = {"http/1.1"};
    connect(h2_only, h1_only, "web.mesh");
    EXPECT_FALSE(handshake().ok());
    EXPECT_EQ(server->failure(), TlsFailure::alpn);
}

TEST_F(TlsContextTest, SaysHowLongItsCertificatesAreGood) {
    EXPECT_EQ(TlsContext::client(trusting()).value()->expires_at(), WallTime::max());
    const auto soon = make_test_certificate({.common_name = "soon", .ends_s = 600}, &ca());
    auto config = server_of(web());
    config.more = {{soon.certificate, soon.key}};
    const auto one = TlsContext::server(server_of(web())).value();
    const auto two = TlsContext::server(config).value();
    EXPECT_LT(two->expires_at(), one->expires_at());
    EXPECT_EQ(
        std::chrono::round<std::chrono::minutes>(two->expires_at() - two->valid_from()), 70min
    );
}

TEST(TlsSlot, GivesTheLastOneAndLeavesTheOthersToThoseWhoHoldThem) {
    const auto config = server_of(web());
    TlsSlot slot(TlsContext::server(config).value());
    const auto first = slot.get();
    slot.set(TlsContext::server(config).value());
    EXPECT_NE(slot.get()->id(), first->id());
}

}  // namespace
}  // namespace datapunk::mesh::io
