#include "wire/http1/body_decoder.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <string>
#include <utility>

#include "wire/http1/encode.h"

namespace datapunk::mesh::wire::http1 {
namespace {

using State = BodyDecoder::State;
using namespace std::string_view_literals;

// Decodes pieces one after another; "done:payload", "bad slug:payload" or "more:payload".
std::string decoded(BodyDecoder& decoder, std::initializer_list<std::string_view> pieces) {
    std::string payload;
    std::size_t left_over = 0;
    for (std::string_view piece : pieces) {
        while (!piece.empty()) {
            const BodyDecoder::Step step = decoder.decode(piece);
            payload += step.payload;
            if (step.state == State::bad)
                return fmt::format("bad {}:{}", to_string(step.why), payload);
            piece.remove_prefix(step.consumed);
            if (step.state == State::done) break;
        }
        left_over += piece.size();
    }
    if (!decoder.is_done()) return "more:" + payload;
    return "done:" + payload + (left_over > 0 ? "+rest" : "");
}

// The chunked verdict on `text`: whole, split anywhere, and byte by byte.
std::string chunked(std::string_view text, Limits limits = {}) {
    BodyDecoder whole;
    whole.reset(Framing::chunked, 0, limits);
    const std::string expected = decoded(whole, {text});
    for (std::size_t i = 1; i < text.size(); ++i) {
        BodyDecoder split;
        split.reset(Framing::chunked, 0, limits);
        EXPECT_EQ(decoded(split, {text.substr(0, i), text.substr(i)}), expected) << text << i;
    }
    BodyDecoder bytewise;
    bytewise.reset(Framing::chunked, 0, limits);
    std::string payload;
    std::string last = "more:";
    for (std::size_t i = 0; i < text.size(); ++i) {
        const BodyDecoder::Step step = bytewise.decode(text.substr(i, 1));
        payload += step.payload;
        last = step.state == State::done  ? "done:" + payload + (i + 1 < text.size() ? "+rest" : "")
               : step.state == State::bad ? fmt::format("bad {}:{}", to_string(step.why), payload)
                                          : "more:" + payload;
        if (step.state != State::more) break;
    }
    EXPECT_EQ(last, expected) << "byte by byte: " << text;
    return expected;
}

TEST(BodyDecoder, ReadsChunks) {
    EXPECT_EQ(chunked("5\r\nhello\r\n0\r\n\r\n"), "done:hello");
    EXPECT_EQ(chunked("5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n"), "done:hello world");
    EXPECT_EQ(chunked("0\r\n\r\n"), "done:");
    EXPECT_EQ(chunked("0\r\n\r\nGET / HTTP/1.1\r\n"), "done:+rest");
    EXPECT_EQ(chunked("00000000000000A\r\n0123456789\r\n000\r\n\r\n"), "done:0123456789");
    EXPECT_EQ(chunked("2\r\n\r\n\r\n0\r\n\r\n"), "done:\r\n");
}

TEST(BodyDecoder, RefusesBadFraming) {
    const std::pair<std::string_view, std::string_view> cases[] = {
        {"5;ext=1\r\nhello\r\n0\r\n\r\n", "bad chunk_extension:"},
        {"5;\r\nhello\r\n0\r\n\r\n", "bad chunk_extension:"},
        {"5 \r\nhello\r\n0\r\n\r\n", "bad chunk_extension:"},
        {"5\t\r\nhello\r\n0\r\n\r\n", "bad chunk_extension:"},
        {" 5\r\nhello\r\n0\r\n\r\n", "bad bad_chunk_size:"},
        {"0x5\r\nhello\r\n0\r\n\r\n", "bad bad_chunk_size:"},
        {"+5\r\nhello\r\n0\r\n\r\n", "bad bad_chunk_size:"},
        {"-1\r\n", "bad bad_chunk_size:"},
        {"g\r\n", "bad bad_chunk_size:"},
        {"\r\n", "bad bad_chunk_size:"},
        {"5_0\r\n", "bad bad_chunk_size:"},
        {"5\0\r\n"sv, "bad bad_chunk_size:"},
        {"10000000000000005\r\n", "bad bad_chunk_size:"},
        {"00000000000000005\r\n", "bad bad_chunk_size:"},
        {"5\nhello\r\n", "bad bare_lf:"},
        {"5\rhello\r\n", "bad bare_cr:"},
        {"5\r\r\nhello\r\n", "bad bare_cr:"},
        {"5\r\nhello\n0\r\n\r\n", "bad bad_chunk_end:hello"},
        {"5\r\nhello\r0\r\n\r\n", "bad bad_chunk_end:hello"},
        {"5\r\nhello!\r\n0\r\n\r\n", "bad bad_chunk_end:hello"},
        {"5\r\nhelloXX0\r\n\r\n", "bad bad_chunk_end:hello"},
        {"0\r\n\n", "bad bare_lf:"},
        {"0\r\nX: y\n\r\n", "bad bare_lf:"},
        {"0\r\nX: y\rz\r\n\r\n", "bad bare_cr:"},
        {"0\r\nX: a\0\r\n\r\n"sv, "bad control_byte:"},
        {"0\r\nX : a\r\n\r\n", "bad space_before_colon:"},
        {"0\r\nX\r\n\r\n", "bad no_colon:"},
        {"0\r\nX: a\r\n b\r\n\r\n", "bad obs_fold:"},
        {"0\r\nContent-Length: 5\r\n\r\n", "bad forbidden_trailer:"},
        {"0\r\ntransfer-encoding: chunked\r\n\r\n", "bad forbidden_trailer:"},
        {"0\r\nHOST: b\r\n\r\n", "bad forbidden_trailer:"},
        {"0\r\nAuthorization: b\r\n\r\n", "bad forbidden_trailer:"},
        {"0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n", "bad forbidden_trailer:"},
    };
    for (const auto& [text, expected] : cases) EXPECT_EQ(chunked(text), expected) << text;
}

TEST(BodyDecoder, TakesTheLargestSizeThatSixtyFourBitsHold) {
    BodyDecoder decoder;
    decoder.reset(Framing::chunked, 0);
    EXPECT_EQ(decoded(decoder, {"ffffffffffffffff\r\nabc"}), "more:abc");
    EXPECT_EQ(decoder.eof().why, Reject::truncated_body);
}

TEST(BodyDecoder, KeepsTrailers) {
    BodyDecoder decoder;
    decoder.reset(Framing::chunked, 0);
    EXPECT_TRUE(decoder.trailers().empty());
    EXPECT_EQ(
        decoded(decoder, {"1\r\nx\r\n0\r\nGrpc-Status: 0\r", "\nX-Sum:\t7 \r\n\r\n"}), "done:x"
    );
    const std::vector<Field> trailers = decoder.trailers();
    ASSERT_EQ(trailers.size(), 2U);
    EXPECT_EQ(trailers[0].id, Header::grpc_status);
    EXPECT_EQ(trailers[0].value, "0");
    EXPECT_EQ(trailers[1].name, "X-Sum");
    EXPECT_EQ(trailers[1].value, "7");
}

TEST(BodyDecoder, HoldsTrailerLimitsOnBothSides) {
    EXPECT_EQ(chunked("0\r\nA: b\r\n\r\n", {.trailer_bytes_max = 5}), "done:");
    EXPECT_EQ(chunked("0\r\nA: b\r\n\r\n", {.trailer_bytes_max = 3}), "bad trailer_too_large:");
    EXPECT_EQ(chunked("0\r\nA: b\r\nC: d\r\n\r\n", {.fields_max = 2}), "done:");
    EXPECT_EQ(chunked("0\r\nA: b\r\nC: d\r\n\r\n", {.fields_max = 1}), "bad too_many_fields:");
}

TEST(BodyDecoder, NeverCallsATruncatedBodyDone) {
    const std::string_view body = "5\r\nhello\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n";
    for (std::size_t i = 0; i < body.size(); ++i) {
        BodyDecoder decoder;
        decoder.reset(Framing::chunked, 0);
        EXPECT_THAT(decoded(decoder, {body.substr(0, i)}), testing::StartsWith("more:")) << i;
        EXPECT_EQ(decoder.eof().why, Reject::truncated_body) << i;
        EXPECT_EQ(decoder.decode("0\r\n\r\n").state, State::bad) << "bad stays bad";
    }
    for (std::size_t i = 0; i < 5; ++i) {
        BodyDecoder decoder;
        decoder.reset(Framing::length, 5);
        EXPECT_THAT(decoded(decoder, {body.substr(0, i)}), testing::StartsWith("more:"));
        EXPECT_EQ(decoder.length_left(), 5 - i);
        EXPECT_EQ(decoder.eof().why, Reject::truncated_body);
    }
}

TEST(BodyDecoder, EndsByLengthAndLeavesTheRest) {
    BodyDecoder decoder;
    decoder.reset(Framing::length, 5);
    EXPECT_EQ(decoded(decoder, {"hel", "loGET"}), "done:hello+rest");
    EXPECT_EQ(decoder.eof().state, State::done);
    EXPECT_EQ(decoder.decode("GET").consumed, 0U);
    decoder.reset(Framing::length, 0);
    EXPECT_TRUE(decoder.is_done());
    decoder.reset(Framing::none, 5);
    EXPECT_TRUE(decoder.is_done());
    EXPECT_EQ(decoder.decode("x").state, State::done);
}

TEST(BodyDecoder, OnlyAnOpenEndedBodyMayEndWithTheConnection) {
    BodyDecoder decoder;
    decoder.reset(Framing::until_close, 0);
    EXPECT_EQ(decoded(decoder, {"abc", "def"}), "more:abcdef");
    EXPECT_EQ(decoder.eof().state, State::done);
    EXPECT_TRUE(decoder.is_done());
}

TEST(BodyDecoder, ReadsBackWhatWasEncoded) {
    std::string bytes;
    std::string sent;
    for (std::size_t size = 1; size < 3000; size = size * 3 + 1) {
        const std::string data(size, static_cast<char>('a' + size % 26));
        append_chunk_head(bytes, size);
        bytes += data;
        bytes += kChunkEnd;
        sent += data;
    }
    bytes += kTrailersBegin;
    append_field(bytes, "x-sum", "1");
    bytes += kHeadEnd;
    EXPECT_EQ(chunked(bytes), "done:" + sent);
}

}  // namespace
}  // namespace datapunk::mesh::wire::http1
