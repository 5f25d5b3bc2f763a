#include "io/address_range.h"

#include <gtest/gtest.h>

namespace datapunk::mesh::io {
namespace {

bool is_in(const char* range, const char* address) {
    return parse_address_range(range).value().contains(parse_ip(address, 80).value());
}

TEST(AddressRange, ContainsWhatSharesItsBits) {
    EXPECT_TRUE(is_in("10.0.0.0/8", "10.255.1.2"));
    EXPECT_FALSE(is_in("10.0.0.0/8", "11.0.0.0"));
    EXPECT_TRUE(is_in("10.1.2.128/25", "10.1.2.200"));
    EXPECT_FALSE(is_in("10.1.2.128/25", "10.1.2.127"));
    EXPECT_TRUE(is_in("127.0.0.1", "127.0.0.1"));
    EXPECT_FALSE(is_in("127.0.0.1", "127.0.0.2"));
    EXPECT_TRUE(is_in("0.0.0.0/0", "192.0.2.1"));
    EXPECT_FALSE(is_in("0.0.0.0/0", "::1"));
    EXPECT_TRUE(is_in("fd00::/8", "fdff::1"));
    EXPECT_FALSE(is_in("fd00::/8", "fe80::1"));
    EXPECT_TRUE(is_in("::1", "::1"));
    EXPECT_TRUE(is_in("10.0.0.0/8", "::ffff:10.0.0.1"));
}

TEST(AddressRange, RefusesWhatIsNone) {
    for (const char* bad :
         {"",
          "/8",
          "10.0.0.0/",
          "10.0.0.0/33",
          "10.0.0.0/-1",
          "10.0.0.0/8x",
          "10.0.0.0/ 8",
          "10.0.0.1/8",
          "::1/129",
          "::1/64",
          "localhost",
          "10.0.0.0/8/8"})
        EXPECT_FALSE(parse_address_range(bad).ok()) << bad;
}

}  // namespace
}  // namespace datapunk::mesh::io
