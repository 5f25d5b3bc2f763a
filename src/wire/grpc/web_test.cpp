#include "wire/grpc/web.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/strings.h"

namespace datapunk::mesh::wire::grpc {
namespace {

TEST(GrpcWeb, ItsTypesAreToldFromGrpcsOwn) {
    EXPECT_FALSE(web_type("application/grpc"));
    EXPECT_FALSE(web_type("application/grpc+proto"));
    EXPECT_FALSE(web_type("application/grpc-webx"));
    EXPECT_FALSE(web_type("application/grpc-web-textual"));
    EXPECT_FALSE(web_type("text/plain"));
    EXPECT_FALSE(web_type(""));
    const std::vector<std::pair<std::string_view, std::pair<bool, std::string_view>>> types = {
        {"application/grpc-web", {false, ""}},
        {"Application/gRPC-Web+proto", {false, "+proto"}},
        {"application/grpc-web;charset=utf-8", {false, ";charset=utf-8"}},
        {"application/grpc-web-text", {true, ""}},
        {"application/grpc-web-text+json", {true, "+json"}},
    };
    for (const auto& [text, expected] : types) {
        const auto type = web_type(text);
        ASSERT_TRUE(type) << text;
        EXPECT_EQ(type->is_text, expected.first) << text;
        EXPECT_EQ(type->rest, expected.second) << text;
    }
}

TEST(GrpcWeb, TheAnswerIsInTextIfAcceptSaysSoOrNothing) {
    const WebType binary{.is_text = false, .rest = {}};
    const WebType text{.is_text = true, .rest = {}};
    EXPECT_TRUE(wants_text("application/grpc-web-text", binary));
    EXPECT_FALSE(wants_text("application/grpc-web+proto", text));
    EXPECT_TRUE(wants_text("*/*", text));
    EXPECT_FALSE(wants_text("", binary));
}

TEST(GrpcWeb, TrailersAreAFrameOfLines) {
    std::string out = "before";
    const std::vector<http1::Field> trailers = {
        {.name = "grpc-status", .value = "0"}, {.name = "X-Name", .value = "a b"}
    };
    append_trailer_frame(out, trailers);
    const std::string lines = "grpc-status: 0\r\nx-name: a b\r\n";
    EXPECT_EQ(
        out, "before" + std::string("\x80\0\0\0", 4) + static_cast<char>(lines.size()) + lines
    );
}

std::string bytes_upto(std::size_t size) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(i * 37 + 5);
    return bytes;
}

TEST(GrpcWeb, Base64IsTheSameHoweverItIsSplit) {
    for (std::size_t size = 0; size < 40; ++size) {
        const std::string bytes = bytes_upto(size);
        // As encoders do that flush: padding in the middle.
        const std::string text = core::base64_encode(bytes) + core::base64_encode("!") +
                                 core::base64_encode(bytes.substr(0, size / 2));
        for (std::size_t step = 1; step <= text.size(); ++step) {
            Base64Stream stream;
            std::string out;
            for (std::size_t at = 0; at < text.size(); at += step)
                ASSERT_TRUE(stream.decode(std::string_view(text).substr(at, step), out));
            EXPECT_TRUE(stream.is_whole());
            EXPECT_EQ(out, bytes + "!" + bytes.substr(0, size / 2));
        }
    }
}

TEST(GrpcWeb, WhatIsNoBase64IsRefused) {
    for (const std::string_view text :
         {"A===", "=AAA", "AA=A", "AAA=A=", "AA A", "AAA\n", "AA-A", "AB==", "AAB=", "\x80===", "=="
         }) {
        Base64Stream stream;
        std::string out;
        EXPECT_FALSE(stream.decode(text, out) && stream.is_whole()) << text;
    }
    Base64Stream stream;
    std::string out;
    EXPECT_TRUE(stream.decode("AAA", out));
    EXPECT_FALSE(stream.is_whole());
    EXPECT_TRUE(stream.decode("=", out));
    EXPECT_TRUE(stream.is_whole());
    EXPECT_EQ(out, std::string(2, '\0'));
}

}  // namespace
}  // namespace datapunk::mesh::wire::grpc
