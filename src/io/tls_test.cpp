#include "io/tls.h"

#include <gmock/gmock.h>

#include <optional>
#include <string>

#include "io/tcp.h"
#include "io/test_tls.h"

namespace datapunk::mesh::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(TlsTest, ShakesHandsAgreesOnAProtocolAndKnowsThePeer) {
    auto at_server = server_of(web());
    at_server.alpn = {"h2", "http/1.1"};
    connect(at_server, {.ca = ca().certificate, .alpn = {"http/1.1", "h2"}}, "web.mesh");
    const auto done = handshake();
    ASSERT_TRUE(done.ok()) << done.error().what;
    EXPECT_EQ(client->alpn(), "h2");  // the server's preference
    EXPECT_EQ(server->alpn(), "h2");
    EXPECT_EQ(client->version(), "TLSv1.3");
    EXPECT_EQ(client->peer_identity().subject, "CN=web");
    EXPECT_THAT(
        client->peer_identity().names, ElementsAre("DNS:web.mesh", "DNS:*.wild.mesh", "IP:10.0.0.2")
    );
    EXPECT_EQ(server->peer_identity().subject, "");
    exchange(10);
}

TEST_F(TlsTest, CarriesMegabytesBothWaysAtOnceOverAnUnpleasantNetwork) {
    world.set_plan(
        kA,
        kB,
        {.latency_max = 5ms,
         .loss = 0.01,
         .short_read = 0.5,
         .short_write = 0.5,
         .segment_bytes_max = 700,
         .buffer_bytes = 8'000}
    );
    connect(server_of(web()), {.ca = ca().certificate}, "web.mesh");
    ASSERT_TRUE(handshake().ok());
    exchange(1'000'000);
}

TEST_F(TlsTest, ChecksNamesWildcardsAndAddresses) {
    const TlsClientConfig trusting{.ca = ca().certificate};
    for (const char* host : {"web.mesh", "one.wild.mesh", "10.0.0.2"}) {
        connect(server_of(web()), trusting, host);
        const auto done = handshake();
        EXPECT_TRUE(done.ok()) << host << ": " << done.error().what;
    }
    for (const char* host : {"other.mesh", "mesh", "a.b.wild.mesh", "10.0.0.3", "", ".mesh"}) {
        connect(server_of(web()), trusting, host);
        const auto done = handshake();
        ASSERT_FALSE(done.ok()) << host;
        EXPECT_EQ(done.error().code, Code::denied) << host;
        EXPECT_THAT(done.error().what, HasSubstr("mismatch")) << host;
        EXPECT_FALSE(done.error().retryable);
        server_verdict.reset();
    }
}

TEST_F(TlsTest, RefusesExpiredFutureSelfSignedAndForeignCertificates) {
    const TlsClientConfig trusting{.ca = ca().certificate};
    const auto refused = [&](const TestCertificate& shown, const char* why) {
        connect(server_of(shown), trusting, "web.mesh");
        const auto done = handshake();
        ASSERT_FALSE(done.ok()) << why;
        EXPECT_EQ(done.error().code, Code::denied);
        EXPECT_THAT(done.error().what, HasSubstr(why));
        world.loop().run_for(1s);
    };
    const std::string names = "DNS:web.mesh";
    refused(
        make_test_certificate(
            {.common_name = "old", .names = names, .begins_s = -7'200, .ends_s = -1}, &ca()
        ),
        "expired"
    );
    refused(
        make_test_certificate(
            {.common_name = "new", .names = names, .begins_s = 3'600, .ends_s = 7'200}, &ca()
        ),
        "not yet valid"
    );
    refused(make_test_certificate({.common_name = "self", .names = names}), "self-signed");
    const auto other_ca = make_test_certificate({.common_name = "other ca", .is_ca = true});
    refused(
        make_test_certificate({.common_name = "foreign", .names = names}, &other_ca),
        "unable to get local issuer"
    );
}

TEST_F(TlsTest, VerificationCanBeSwitchedOffAndTheSystemsRootsDoNotKnowUs) {
    connect(server_of(web()), {.verify_peer = false}, "anything");
    EXPECT_TRUE(handshake().ok());
    connect(server_of(web()), {}, "web.mesh");
    EXPECT_EQ(handshake().error().code, Code::denied);
}

TEST_F(TlsTest, MutualTlsKnowsTheCallerAndRefusesStrangers) {
    auto at_server = server_of(web());
    at_server.client_ca = ca().certificate;
    connect(
        at_server,
        {.ca = ca().certificate,
         .certificate_chain = caller().certificate,
         .private_key = caller().key},
        "web.mesh"
    );
    ASSERT_TRUE(handshake().ok());
    EXPECT_EQ(server->peer_identity().subject, "CN=caller");
    EXPECT_THAT(server->peer_identity().names, ElementsAre("URI:spiffe://mesh/caller"));

    // In TLS 1.3 the client learns of its refusal at its first read.
    server_verdict.reset();
    connect(at_server, {.ca = ca().certificate}, "web.mesh");
    static_cast<void>(handshake());
    ASSERT_TRUE(server_verdict.has_value());
    EXPECT_FALSE(server_verdict->ok());
    EXPECT_EQ(server_verdict->error().source, Source::downstream);
    const auto told = run(read_once(client.get(), in(1s)));
    ASSERT_FALSE(told.ok());
    EXPECT_THAT(told.error().what, HasSubstr("certificate required"));

    const auto stranger = make_test_certificate({.common_name = "stranger"});
    server_verdict.reset();
    connect(
        at_server,
        {.ca = ca().certificate,
         .certificate_chain = stranger.certificate,
         .private_key = stranger.key},
        "web.mesh"
    );
    static_cast<void>(handshake());
    ASSERT_TRUE(server_verdict.has_value());
    EXPECT_EQ(server_verdict->error().code, Code::denied);
}

TEST_F(TlsTest, NoCommonProtocolIsRefused) {
    auto at_server = server_of(web());
    at_server.alpn = {"h2"};
    connect(at_server, {.ca = ca().certificate, .alpn = {"http/1.1"}}, "web.mesh");
    const auto done = handshake();
    ASSERT_FALSE(done.ok());
    EXPECT_THAT(done.error().what, HasSubstr("no application protocol"));
}

TEST_F(TlsTest, APlainTextPeerIsAnErrorNotAHang) {
    connect(server_of(web()), {.ca = ca().certificate}, "web.mesh");
    ASSERT_TRUE(run(write_all(raw_client, "GET / HTTP/1.1\r\n\r\n", in(1s))));
    const auto done = run(server->handshake(in(10s)));
    ASSERT_FALSE(done.ok());
    EXPECT_THAT(done.error().what, HasSubstr("http request"));
}

TEST_F(TlsTest, ASilentPeerEndsTheHandshakeAtItsDeadline) {
    connect(server_of(web()), {.ca = ca().certificate}, "web.mesh");
    EXPECT_EQ(run(server->handshake(in(3s))).error().code, Code::timeout);
    client->close();
    connect(server_of(web()), {.ca = ca().certificate}, "web.mesh");
    client->close();
    EXPECT_THAT(run(server->handshake(in(3s))).error().what, HasSubstr("closed"));
}

TEST_F(TlsTest, AnEndWithoutCloseNotifyIsAnErrorWithCloseNotifyAnEnd) {
    connect(server_of(web()), {.ca = ca().certificate}, "web.mesh");
    ASSERT_TRUE(handshake().ok());
    ASSERT_TRUE(run(write_all(client.get(), "half an ans", in(1s))));
    raw_client->shutdown_write();  // a FIN that anybody on the way could have sent
    const auto cut = run(read_to_end(server.get(), in(1s)));
    ASSERT_FALSE(cut.ok());
    EXPECT_THAT(cut.error().what, HasSubstr("cut"));
    EXPECT_FALSE(run(read_to_end(server.get(), in(1s))).ok());  // and stays one

    connect(server_of(web()), {.ca = ca().certificate}, "web.mesh");
    ASSERT_TRUE(handshake().ok());
    ASSERT_TRUE(run(write_all(client.get(), "all of it", in(1s))));
    client.reset();  // dropping ends as close() does
    EXPECT_EQ(run(read_to_end(server.get(), in(1s))).value(), "all of it");
}

TEST_F(TlsTest, AnIdleConnectionIsNotReadableBecauseOfSessionTickets) {
    connect(server_of(web()), {.ca = ca().certificate}, "web.mesh");
    ASSERT_TRUE(handshake().ok());
    EXPECT_EQ(run(until_readable(client.get(), in(1s))).error().code, Code::timeout);
    ASSERT_TRUE(run(write_all(server.get(), "x", in(1s))));
    EXPECT_TRUE(run(until_readable(client.get(), in(1s))).ok());
    EXPECT_EQ(run(read_once(client.get(), in(1s))).value(), "x");
    server->close();
    EXPECT_TRUE(run(until_readable(client.get(), in(1s))).ok());
    EXPECT_EQ(run(read_once(client.get(), in(1s))).value(), "");
}

TEST_F(TlsTest, AWriteThatTimesOutDoesNotSwallowTheNextOne) {
    world.set_plan(kA, kB, {.buffer_bytes = 1'000});
    connect(server_of(web()), {.ca = ca().certificate}, "web.mesh");
    ASSERT_TRUE(handshake().ok());
    const std::string first(10'000, 'a');
    EXPECT_EQ(run(write_all(client.get(), first, in(1s))).error().code, Code::timeout);
    std::optional<Result<std::string>> all;
    TaskGroup group;
    group.spawn(keep(read_to_end(server.get(), in(1min)), &all));
    ASSERT_TRUE(run(write_and_finish(client.get(), "then b", in(1min))));
    ASSERT_TRUE(world.loop().run_until([&] { return all.has_value(); }, in(1min)));
    EXPECT_EQ(all->value(), first + "then b");
}

TEST_F(TlsTest, AnAnswerSentBeforeThePeerClosedCanBeReadAfterAFailedWrite) {
    connect(server_of(web()), {.ca = ca().certificate}, "web.mesh");
    ASSERT_TRUE(handshake().ok());
    ASSERT_TRUE(run(write_all(server.get(), "413 too large", in(1s))));
    server.reset();
    ASSERT_TRUE(run(write_all(client.get(), "more", in(1s))));  // answered with a reset
    world.loop().run_for(1s);
    ASSERT_FALSE(run(write_all(client.get(), "and more", in(1s))).ok());
    EXPECT_EQ(run(read_once(client.get(), in(1s))).value(), "413 too large");
}

TEST_F(TlsTest, CloseEndsWaitsAndDestroyingWaitingTasksIsQuiet) {
    connect(server_of(web()), {.ca = ca().certificate}, "web.mesh");
    ASSERT_TRUE(handshake().ok());
    std::optional<Result<std::string>> read;
    std::optional<Result<>> write;
    {
        TaskGroup cancelled;
        cancelled.spawn(keep(read_once(client.get(), kNever), &read));
        cancelled.spawn(keep(write_all(client.get(), pattern(500'000), kNever), &write));
    }
    TaskGroup group;
    group.spawn(keep(read_once(client.get(), kNever), &read));
    group.spawn(keep(write_all(client.get(), pattern(500'000), kNever), &write));
    client->close();
    ASSERT_TRUE(world.loop().run_until([&] { return read && write; }, in(1s)));
    EXPECT_EQ(read->error().code, Code::aborted);
    EXPECT_EQ(write->error().code, Code::aborted);
}

TEST_F(TlsTest, AHandshakeMayBeDestroyedAtAnyPoint) {
    for (int turns = 0; turns < 12; ++turns) {
        connect(server_of(web()), {.ca = ca().certificate}, "web.mesh");
        std::optional<Result<>> ours;
        TaskGroup group;
        group.spawn(keep(server->handshake(in(1min)), &server_verdict));
        group.spawn(keep(client->handshake(in(1min)), &ours));
        for (int i = 0; i < turns; ++i) world.loop().turn(in(1ms));
        group.cancel();
    }
}

TEST_F(TlsTest, BadConfigurationIsRefusedWithItsReason) {
    EXPECT_THAT(
        TlsContext::server({.certificate_chain = "/no/such.pem", .private_key = web().key})
            .error()
            .what,
        HasSubstr("/no/such.pem")
    );
    EXPECT_FALSE(TlsContext::server({}).ok());
    auto mixed = server_of(web());
    mixed.private_key = caller().key;
    EXPECT_THAT(TlsContext::server(mixed).error().what, HasSubstr("does not fit"));
    auto garbage = server_of(web());
    garbage.certificate_chain = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    EXPECT_THAT(TlsContext::server(garbage).error().what, HasSubstr("bad certificate"));
    garbage.certificate_chain = web().certificate + garbage.certificate_chain;
    EXPECT_FALSE(TlsContext::server(garbage).ok()) << "the second of two is broken";
    EXPECT_FALSE(TlsContext::client({.ca = "/no/such.pem"}).ok());
    EXPECT_FALSE(TlsContext::client({.alpn = {""}}).ok());
    EXPECT_FALSE(TlsContext::client({.alpn = {std::string(256, 'x')}}).ok());
}

TEST(TlsOverTcpTest, WorksOverTheKernelsLoopback) {
    auto loop = EpollLoop::create().value();
    KernelNetwork network(*loop);
    auto listener = network.listen(SocketAddress::loopback(0), {}).value();
    StreamPtr raw;
    TaskGroup group;
    group.spawn(accept_one(listener.get(), &raw));
    const auto deadline = loop->now() + 10s;
    auto near = sim::run_on(*loop, network.connect(listener->local(), deadline)).value().value();
    while (raw == nullptr) loop->turn(deadline);
    const auto server =
        TlsStream::server(std::move(raw), TlsContext::server(server_of(web())).value());
    const auto client = TlsStream::client(
        std::move(near), TlsContext::client({.ca = ca().certificate}).value(), "web.mesh"
    );
    std::optional<Result<>> theirs;
    std::optional<Result<>> written;
    group.spawn(keep(server->handshake(deadline), &theirs));
    const auto ours = sim::run_on(*loop, client->handshake(deadline)).value();
    ASSERT_TRUE(ours.ok()) << ours.error().what;
    while (!theirs) loop->turn(deadline);
    group.spawn(keep(write_and_finish(client.get(), pattern(3'000'000), deadline), &written));
    const auto got = sim::run_on(*loop, read_to_end(server.get(), deadline)).value();
    ASSERT_TRUE(got.ok()) << got.error().what;
    EXPECT_TRUE(got.value() == pattern(3'000'000));
    EXPECT_TRUE(written->ok());
}

}  // namespace
}  // namespace datapunk::mesh::io
