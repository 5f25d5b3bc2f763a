#include "io/address.h"

#include <gmock/gmock.h>
#include <sys/socket.h>

namespace datapunk::mesh::io {
namespace {

using ::testing::HasSubstr;

TEST(SocketAddressTest, ReadsWhatItWrites) {
    for (const char* text : {"127.0.0.1:80", "0.0.0.0:0", "[::1]:443", "[2001:db8::2]:65535"}) {
        const auto address = parse_address(text);
        ASSERT_TRUE(address.ok()) << text;
        EXPECT_EQ(address->to_string(), text);
        sockaddr_storage raw{};
        to_sockaddr(*address, raw);
        EXPECT_EQ(from_sockaddr(raw), *address) << text;
    }
    EXPECT_EQ(parse_ip("::1", 80).value().to_string(), "[::1]:80");
}

TEST(SocketAddressTest, RefusesWhatIsNoAddressAndSaysWhy) {
    EXPECT_THAT(parse_address("127.0.0.1").error().what, HasSubstr("no port"));
    EXPECT_THAT(parse_address("127.0.0.1:65536").error().what, HasSubstr("0..65535"));
    EXPECT_THAT(parse_address("127.0.0.1:-1").error().what, HasSubstr("0..65535"));
    EXPECT_THAT(parse_address("127.0.0.1: 1").error().what, HasSubstr("0..65535"));
    EXPECT_THAT(parse_address("::1:80").error().what, HasSubstr("brackets"));
    for (const char* text : {"", ":", "host:80", "[]:80", "1.2.3:80", "127.0.0.01:80", "[::1:80"}) {
        EXPECT_FALSE(parse_address(text).ok()) << text;
    }
    EXPECT_FALSE(parse_ip("127.0.0.1 ", 1).ok());
    EXPECT_FALSE(parse_ip(std::string("127.0.0.1\0x", 11), 1).ok());
    EXPECT_FALSE(parse_ip(std::string(1'000, '1'), 1).ok());
}

TEST(SocketAddressTest, KnowsLoopback) {
    EXPECT_TRUE(SocketAddress::loopback(80).is_loopback());
    EXPECT_TRUE(parse_ip("127.9.9.9", 1).value().is_loopback());
    EXPECT_TRUE(parse_ip("::1", 1).value().is_loopback());
    EXPECT_FALSE(parse_ip("::2", 1).value().is_loopback());
    EXPECT_FALSE(parse_ip("128.0.0.1", 1).value().is_loopback());
}

}  // namespace
}  // namespace datapunk::mesh::io
