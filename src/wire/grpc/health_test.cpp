#include "wire/grpc/health.h"

#include <gtest/gtest.h>

namespace datapunk::mesh::wire::grpc {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

// As protoc's Python output writes them.
TEST(GrpcHealth, WritesTheRequest) {
    EXPECT_EQ(health_request(""), "\0\0\0\0\0"s);
    EXPECT_EQ(health_request("shop.Cart"), "\0\0\0\0\x0b\x0a\x09shop.Cart"s);
    const std::string name(300, 'x');
    EXPECT_EQ(health_request(name), "\0\0\0\x01\x2f\x0a\xac\x02"s + name);
}

TEST(GrpcHealth, ReadsEveryStatus) {
    EXPECT_EQ(*parse_health_response("\0\0\0\0\0"s), ServingStatus::unknown);
    EXPECT_EQ(*parse_health_response("\0\0\0\0\x02\x08\x01"s), ServingStatus::serving);
    EXPECT_EQ(*parse_health_response("\0\0\0\0\x02\x08\x02"s), ServingStatus::not_serving);
    EXPECT_EQ(*parse_health_response("\0\0\0\0\x02\x08\x03"s), ServingStatus::service_unknown);
    EXPECT_EQ(*parse_health_response("\0\0\0\0\x02\x08\x04"s), ServingStatus::unknown);
    EXPECT_EQ(to_string(ServingStatus::service_unknown), "SERVICE_UNKNOWN");
}

TEST(GrpcHealth, SkipsFieldsOfLaterVersions) {
    const std::string fields =
        "\x12\x02hi"
        "\x18\x96\x01"
        "\x21"
        "12345678"
        "\x08\x01"
        "\x2d"
        "1234"
        "\x22\x00"s;
    ASSERT_EQ(fields.size(), 25U);
    EXPECT_EQ(*parse_health_response("\0\0\0\0\x19"s + fields), ServingStatus::serving);
}

TEST(GrpcHealth, RefusesWhatIsNoMessage) {
    for (const std::string& bad :
         {""s,
          "\0\0\0\0"s,
          "\x01\0\0\0\0"s,
          "\0\0\0\0\x01"s,
          "\0\0\0\0\x01\x08\x01"s,
          "\0\0\0\0\x01\x08"s,
          "\0\0\0\0\x02\x12\x05"s,
          "\0\0\0\0\x01\x0b"s,
          "\0\0\0\0\x01\x00"s,
          "\0\0\0\0\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"s,
          "\0\0\0\0\x03\x21\x01\x02"s}) {
        EXPECT_FALSE(parse_health_response(bad)) << testing::PrintToString(bad);
    }
}

TEST(GrpcHealth, SaysTimeoutsInAtMostEightDigits) {
    EXPECT_EQ(timeout_text(5s), "5000m");
    EXPECT_EQ(timeout_text(1ns), "1m");
    EXPECT_EQ(timeout_text(-1s), "1m");
    EXPECT_EQ(timeout_text(99'999'999ms), "99999999m");
    EXPECT_EQ(timeout_text(100'000'000ms), "100000S");
}

TEST(GrpcHealth, NamesStatusCodes) {
    EXPECT_EQ(status_name("0"), "OK");
    EXPECT_EQ(status_name("16"), "UNAUTHENTICATED");
    EXPECT_EQ(status_name("17"), "17");
    EXPECT_EQ(status_name(""), "");
}

}  // namespace
}  // namespace datapunk::mesh::wire::grpc
