#include "wire/grpc/call.h"

#include <gtest/gtest.h>

#include "wire/grpc/health.h"

namespace datapunk::mesh::wire::grpc {
namespace {

using namespace std::chrono_literals;

TEST(GrpcCall, TimeoutsAreReadAndNothingElseIs) {
    EXPECT_EQ(parse_timeout("1S"), Duration(1s));
    EXPECT_EQ(parse_timeout("250m"), Duration(250ms));
    EXPECT_EQ(parse_timeout("99999999n"), Duration(99'999'999ns));
    EXPECT_EQ(parse_timeout("2M"), Duration(2min));
    EXPECT_EQ(parse_timeout("99999999H"), Duration(std::chrono::hours(24 * 365))) << "capped";
    for (const char* bad : {"", "S", "1", "1s", "-1S", "1.5S", " 1S", "123456789S", "1SS", "0x1S"})
        EXPECT_FALSE(parse_timeout(bad)) << bad;
    for (const Duration one : {Duration(5ms), Duration(250ms), Duration(7s), Duration(3h)})
        EXPECT_EQ(parse_timeout(timeout_text(one)), one) << timeout_text(one);
}

TEST(GrpcCall, ContentTypes) {
    EXPECT_TRUE(is_content_type("application/grpc"));
    EXPECT_TRUE(is_content_type("application/grpc+proto"));
    EXPECT_TRUE(is_content_type("Application/GRPC; charset=x"));
    EXPECT_FALSE(is_content_type("application/grpc-web"));
    EXPECT_FALSE(is_content_type("application/json"));
    EXPECT_FALSE(is_content_type(""));
}

TEST(GrpcCall, StatusIsReadFromFields) {
    const auto read = [](std::string_view value) {
        const http1::Field fields[] = {
            {.name = "x", .value = "1"},
            {.name = "grpc-status", .value = value, .id = http1::Header::grpc_status}
        };
        return status_of(fields);
    };
    EXPECT_EQ(read("0"), GrpcStatus::ok);
    EXPECT_EQ(read("14"), GrpcStatus::unavailable);
    EXPECT_EQ(read("17"), GrpcStatus::unknown);
    EXPECT_EQ(read("abc"), GrpcStatus::unknown);
    EXPECT_EQ(status_of({}), std::nullopt);
    EXPECT_TRUE(is_failure(GrpcStatus::unavailable));
    EXPECT_FALSE(is_failure(GrpcStatus::not_found));
    EXPECT_FALSE(is_failure(GrpcStatus::resource_exhausted));
    EXPECT_EQ(to_string(GrpcStatus::unauthenticated), "UNAUTHENTICATED");
}

TEST(GrpcCall, MessagesArePercentEncoded) {
    std::string out;
    append_message(out, "50% of caf\xc3\xa9\n");
    EXPECT_EQ(out, "50%25 of caf%C3%A9%0A");
}

}  // namespace
}  // namespace datapunk::mesh::wire::grpc
