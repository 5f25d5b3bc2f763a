#include "wire/grpc/call.h"

#include <gtest/gtest.h>

namespace datapunk::mesh::wire::grpc {
namespace {

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
