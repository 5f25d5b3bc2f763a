// Against nghttp2's own server session, and against bytes by hand.

#include "wire/http2/client_exchange.h"

#include <gmock/gmock.h>
#include <nghttp2/nghttp2.h>

#include <functional>

namespace datapunk::mesh::wire::http2 {
namespace {

using namespace std::string_literals;
using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<H2Field> kRequest = {
    {":method", "POST"},
    {":scheme", "http"},
    {":authority", "web:80"},
    {":path", "/a"},
    {"te", "trailers"}
};

std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string body) {
    std::string out;
    for (const int shift : {16, 8, 0}) out += static_cast<char>(body.size() >> shift & 0xff);
    out += static_cast<char>(type);
    out += static_cast<char>(flags);
    for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift & 0xff);
    return out + body;
}

const std::string kSettings = frame(4, 0, 0, "");
// ":status: 200", then nothing else: index 8 of the static table.
const std::string kStatus200 = "\x88";

class Peer : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_TRUE(exchange_.start(kRequest, "ping"));
        sent_ = exchange_.take_output();
    }

    Result<> feed(const std::string& bytes) { return exchange_.feed(bytes); }

    ClientExchange exchange_{
        {.fields_bytes_max = 200, .body_bytes_max = 10, .traffic_bytes_max = 10'000}
    };
    std::string sent_;
};

TEST_F(Peer, StartsWithThePrefaceAndOneRequest) {
    EXPECT_TRUE(sent_.starts_with("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    EXPECT_TRUE(sent_.ends_with(frame(0, 1, 1, "ping"))) << "the body ends the stream";
    EXPECT_EQ(exchange_.take_output(), "");
}

TEST_F(Peer, AnswersAreReadByteByByte) {
    const std::string answer = kSettings + frame(1, 4, 1, kStatus200) + frame(0, 0, 1, "po") +
                               frame(0, 0, 1, "ng") +
                               frame(1, 5, 1, "\x00\x0bgrpc-status\x01"s + "0");
    for (const char byte : answer) {
        EXPECT_FALSE(exchange_.is_done());
        ASSERT_TRUE(feed(std::string(1, byte)));
    }
    EXPECT_TRUE(exchange_.is_done());
    EXPECT_THAT(exchange_.answer().headers, ElementsAre(H2Field{":status", "200"}));
    EXPECT_THAT(exchange_.answer().trailers, ElementsAre(H2Field{"grpc-status", "0"}));
    EXPECT_EQ(exchange_.answer().body, "pong");
    EXPECT_EQ(exchange_.take_output(), frame(4, 1, 0, "")) << "the settings are acknowledged";
}

TEST_F(Peer, AnInterimAnswerIsNotTheAnswer) {
    const std::string interim = "\x08\x03"s + "103";  // :status with a literal value
    ASSERT_TRUE(feed(kSettings + frame(1, 4, 1, interim) + frame(1, 5, 1, kStatus200)));
    EXPECT_TRUE(exchange_.is_done());
    EXPECT_THAT(exchange_.answer().headers, ElementsAre(H2Field{":status", "200"}));
}

TEST_F(Peer, BodiesAndFieldsAreBounded) {
    ASSERT_TRUE(feed(kSettings + frame(1, 4, 1, kStatus200) + frame(0, 0, 1, "0123456789")));
    const auto body = feed(frame(0, 1, 1, "x"));
    ASSERT_FALSE(body);
    EXPECT_THAT(body.error().what, HasSubstr("a body over 10 bytes"));
}

TEST_F(Peer, FieldsAreBounded) {
    const std::string field = "\x00\x01x\x64"s + std::string(100, 'v');
    const auto fields = feed(kSettings + frame(1, 4, 1, kStatus200 + field + field));
    ASSERT_FALSE(fields);
    EXPECT_THAT(fields.error().what, HasSubstr("header fields over 200 bytes"));
}

TEST_F(Peer, AFloodOfPingsEnds) {
    Result<> fed = feed(kSettings);
    int pings = 0;
    while (fed && pings < 100'000) {
        fed = feed(frame(6, 0, 0, "12345678"));
        (void)exchange_.take_output();
        ++pings;
    }
    ASSERT_FALSE(fed);
    EXPECT_LT(pings, 1000);
}

TEST_F(Peer, UnreadPingsAreNotHoarded) {
    std::string flood = kSettings;
    for (int i = 0; i < 200; ++i) flood += frame(6, 0, 0, "12345678");
    EXPECT_FALSE(feed(flood)) << "200 answers would wait to be sent";
}

TEST_F(Peer, ResetsAndGoodbyesAreErrors) {
    const auto reset = feed(kSettings + frame(3, 0, 1, "\0\0\0\x07"s));
    ASSERT_FALSE(reset);
    EXPECT_THAT(reset.error().what, HasSubstr("REFUSED_STREAM"));
}

TEST_F(Peer, AGoodbyeBeforeTheRequestWasSeenIsAnError) {
    const auto gone = feed(kSettings + frame(7, 0, 0, "\0\0\0\0\0\0\0\x0b"s));
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.error().code, Code::unavailable);
}

TEST_F(Peer, WhatIsNoHttp2IsAnError) {
    EXPECT_FALSE(feed("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
}

TEST_F(Peer, APushIsRefused) {
    ASSERT_TRUE(feed(kSettings));
    const auto pushed = feed(frame(5, 4, 1, "\0\0\0\x02"s + "\x82\x86\x84\x41\x01" + "a"));
    EXPECT_FALSE(pushed && exchange_.is_done());
    EXPECT_TRUE(exchange_.answer().headers.empty());
}

TEST(ClientExchangeTest, FieldsThatAreNotFitAreNotSent) {
    for (const H2Field& bad :
         {H2Field{"x", "a\nb"}, H2Field{"X-Upper", "a"}, H2Field{"a b", "a"}, H2Field{"", "a"}}) {
        ClientExchange exchange;
        std::vector<H2Field> fields = kRequest;
        fields.push_back(bad);
        const auto started = exchange.start(fields, "");
        ASSERT_FALSE(started) << bad.name;
        EXPECT_EQ(started.error().code, Code::invalid);
    }
}

}  // namespace
}  // namespace datapunk::mesh::wire::http2
