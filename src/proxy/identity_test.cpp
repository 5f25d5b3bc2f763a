#include "proxy/identity.h"

#include <gtest/gtest.h>

namespace datapunk::mesh::proxy {
namespace {

io::TlsPeer peer(std::vector<std::string> names) {
    return {.subject = "CN=web", .names = std::move(names), .sha256 = "ab12", .is_leaf = true};
}

TEST(Identity, IsTheOneSpiffeIdOfACertificateThatCannotSign) {
    EXPECT_EQ(identity_of(peer({"URI:spiffe://mesh/web"})), "spiffe://mesh/web");
    EXPECT_EQ(
        identity_of(peer({"DNS:web", "URI:spiffe://mesh/web", "IP:10.0.0.1"})), "spiffe://mesh/web"
    );
    EXPECT_EQ(identity_of({}), "");
    EXPECT_EQ(identity_of(peer({"DNS:web"})), "");
    EXPECT_EQ(identity_of(peer({"URI:https://mesh/web"})), "");
    EXPECT_EQ(identity_of(peer({"URI:spiffe://mesh"})), "") << "that is the authority's";
    EXPECT_EQ(identity_of(peer({"URI:spiffe://mesh/a", "URI:spiffe://mesh/b"})), "");
    EXPECT_EQ(identity_of(peer({"URI:spiffe://mesh/a", "URI:https://mesh/b"})), "");
    io::TlsPeer authority = peer({"URI:spiffe://mesh/web"});
    authority.is_leaf = false;
    EXPECT_EQ(identity_of(authority), "");
}

TEST(Identity, IsForwardedAsEnvoyWritesIt) {
    EXPECT_EQ(
        forwarded_certificate(peer({}), "spiffe://mesh/web"),
        "Hash=ab12;Subject=\"CN=web\";URI=spiffe://mesh/web"
    );
    EXPECT_EQ(forwarded_certificate(peer({}), ""), "Hash=ab12;Subject=\"CN=web\"");
    EXPECT_EQ(forwarded_certificate({}, ""), "");
    io::TlsPeer odd = peer({});
    odd.subject = "CN=a\r\nx-admin: yes";
    EXPECT_EQ(forwarded_certificate(odd, ""), "Hash=ab12");
    odd.subject = "CN=" + std::string(600, 'a');
    EXPECT_EQ(forwarded_certificate(odd, ""), "Hash=ab12");
}

}  // namespace
}  // namespace datapunk::mesh::proxy
