#include "io/certificate_authority.h"

#include <gmock/gmock.h>

#include "io/epoll_loop.h"
#include "io/test_tls.h"

namespace datapunk::mesh::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CertificateAuthorityTest : public TlsTest {
  protected:
    IssuedCertificate authority(const std::string& trust_domain = "mesh.example") {
        auto made = make_authority(trust_domain, wall_now, 24h);
        EXPECT_TRUE(made.ok()) << made.error().what;
        return *std::move(made);
    }

    IssuedCertificate issue(const IssuedCertificate& by, const CertificateRequest& request) {
        auto made = issue_certificate(by.certificate, by.private_key, request, wall_now);
        EXPECT_TRUE(made.ok()) << made.error().what;
        return *std::move(made);
    }

    // A handshake in which both show what `by` has issued and believe what it signs.
    Result<> meet(
        const IssuedCertificate& by,
        const IssuedCertificate& web,
        const IssuedCertificate& caller_of
    ) {
        TlsServerConfig at_server{
            .certificate_chain = web.certificate,
            .private_key = web.private_key,
            .client_ca = by.certificate
        };
        TlsClientConfig at_client{
            .ca = by.certificate,
            .certificate_chain = caller_of.certificate,
            .private_key = caller_of.private_key,
            .peer_uris = {"spiffe://mesh.example/web"}
        };
        server_verdict.reset();
        connect(at_server, at_client, "10.0.0.2");
        auto ours = handshake();
        if (!ours) return ours;
        return server_verdict.value_or(Result<>(Error{.what = "no verdict"}));
    }

    WallTime wall_now = (*EpollLoop::create())->wall_now();
};

TEST_F(CertificateAuthorityTest, WhatItIssuesIsBelievedByThoseWhoBelieveIt) {
    const auto ca = authority();
    EXPECT_EQ(trust_domain_of(ca.certificate).value(), "mesh.example");
    const auto web = issue(
        ca,
        {.spiffe_id = "spiffe://mesh.example/web",
         .dns_names = {"web.mesh", "localhost"},
         .addresses = {"10.0.0.2", "::1"}}
    );
    const auto api = issue(ca, {.spiffe_id = "spiffe://mesh.example/prod/api"});
    const auto met = meet(ca, web, api);
    ASSERT_TRUE(met.ok()) << met.error().what;
    EXPECT_THAT(
        client->peer_identity().names,
        ElementsAre(
            "URI:spiffe://mesh.example/web",
            "DNS:web.mesh",
            "DNS:localhost",
            "IP:10.0.0.2",
            "IP:::1"
        )
    );
    EXPECT_TRUE(client->peer_identity().is_leaf);
    EXPECT_THAT(server->peer_identity().names, ElementsAre("URI:spiffe://mesh.example/prod/api"));
    exchange(10);
}

TEST_F(CertificateAuthorityTest, CannotVouchForAnotherTrustDomain) {
    const auto ca = authority();
    const auto web = issue(ca, {.spiffe_id = "spiffe://mesh.example/web"});
    const auto foreign = issue(ca, {.spiffe_id = "spiffe://other.example/api"});
    const auto met = meet(ca, web, foreign);
    ASSERT_FALSE(met.ok());
    EXPECT_THAT(met.error().what, HasSubstr("permitted subtree"));
}

TEST_F(CertificateAuthorityTest, AnotherAuthorityOfTheSameDomainIsAnother) {
    const auto ca = authority();
    const auto web = issue(ca, {.spiffe_id = "spiffe://mesh.example/web"});
    const auto forged = issue(authority(), {.spiffe_id = "spiffe://mesh.example/api"});
    EXPECT_FALSE(meet(ca, web, forged).ok());
}

TEST_F(CertificateAuthorityTest, ALifeEndsWithTheAuthoritys) {
    const auto ca = authority();
    CertificateRequest request{.spiffe_id = "spiffe://mesh.example/web", .life = 1h};
    EXPECT_EQ(issue(ca, request).expires_at, wall_now + 1h);
    request.life = 1'000h;
    EXPECT_EQ(
        std::chrono::floor<std::chrono::seconds>(issue(ca, request).expires_at),
        std::chrono::floor<std::chrono::seconds>(ca.expires_at)
    );
    const auto late = issue_certificate(ca.certificate, ca.private_key, request, wall_now + 25h);
    EXPECT_THAT(late.error().what, HasSubstr("expired"));
}

TEST_F(CertificateAuthorityTest, RefusesNamesThatWouldSayMoreThanTheySeem) {
    const auto ca = authority();
    for (const std::string name : {"a,URI:spiffe://mesh.example/admin", "", "a b", "a:b", "@x"}) {
        const CertificateRequest request{
            .spiffe_id = "spiffe://mesh.example/web", .dns_names = {name}
        };
        EXPECT_FALSE(issue_certificate(ca.certificate, ca.private_key, request, wall_now).ok())
            << name;
    }
    const CertificateRequest request{
        .spiffe_id = "spiffe://mesh.example/web", .addresses = {"localhost"}
    };
    EXPECT_FALSE(issue_certificate(ca.certificate, ca.private_key, request, wall_now).ok());
}

TEST_F(CertificateAuthorityTest, RefusesFilesThatAreNotAnAuthoritys) {
    const auto ca = authority();
    const auto other = authority();
    const CertificateRequest request{.spiffe_id = "spiffe://mesh.example/web"};
    EXPECT_FALSE(issue_certificate("nonsense", ca.private_key, request, wall_now).ok());
    EXPECT_FALSE(issue_certificate(ca.certificate, "nonsense", request, wall_now).ok());
    EXPECT_FALSE(issue_certificate(ca.certificate, other.private_key, request, wall_now).ok());
    EXPECT_FALSE(trust_domain_of("nonsense").ok());
    EXPECT_FALSE(trust_domain_of(make_test_certificate({.common_name = "a"}).certificate).ok());
}

}  // namespace
}  // namespace datapunk::mesh::io
