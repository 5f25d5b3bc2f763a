#include "wire/http1/encode.h"

#include <gmock/gmock.h>

#include <cstdint>
#include <string>

#include "wire/http1/chars.h"
#include "wire/http1/head_writer.h"

namespace datapunk::mesh::wire::http1 {
namespace {

using namespace std::string_view_literals;

TEST(Encode, WritesHeads) {
    std::string out;
    append_request_line(out, "GET", "/x?y=1");
    append_field(out, "Host", "a:80");
    append_field(out, "Content-Length", std::uint64_t{18446744073709551615U});
    out += kHeadEnd;
    EXPECT_EQ(
        out, "GET /x?y=1 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 18446744073709551615\r\n\r\n"
    );
    out.clear();
    append_status_line(out, 404);
    append_status_line(out, 200, "Fine", 0);
    append_status_line(out, 599);
    EXPECT_EQ(out, "HTTP/1.1 404 Not Found\r\nHTTP/1.0 200 Fine\r\nHTTP/1.1 599 Unknown\r\n");
}

TEST(Encode, WritesChunkHeadsInHex) {
    std::string out;
    append_chunk_head(out, 1);
    append_chunk_head(out, 4096);
    append_chunk_head(out, 18446744073709551615U);
    EXPECT_EQ(out, "1\r\n1000\r\nffffffffffffffff\r\n");
}

TEST(Encode, RefusesFieldsThatWouldBreakTheFraming) {
    std::string out;
    EXPECT_FALSE(try_append_field(out, "X", "a\r\nSet-Cookie: b"));
    EXPECT_FALSE(try_append_field(out, "X", "a\nb"));
    EXPECT_FALSE(try_append_field(out, "X", "a\0b"sv));
    EXPECT_FALSE(try_append_field(out, "X: y\r\nZ", "a"));
    EXPECT_FALSE(try_append_field(out, "X ", "a"));
    EXPECT_FALSE(try_append_field(out, "", "a"));
    EXPECT_EQ(out, "");
    EXPECT_TRUE(try_append_field(out, "X", "a\tb\xff"));
    EXPECT_EQ(out, "X: a\tb\xff\r\n");
}

TEST(EncodeDeathTest, AssertsThatOurOwnTextIsFit) {
    std::string out;
    EXPECT_DEATH(append_field(out, "X", "a\nb"), "");
    EXPECT_DEATH(append_request_line(out, "GET", "/ x"), "");
    EXPECT_DEATH(append_chunk_head(out, 0), "");
}

TEST(Encode, KnowsReasonPhrases) {
    EXPECT_EQ(reason_phrase(100), "Continue");
    EXPECT_EQ(reason_phrase(431), "Request Header Fields Too Large");
    EXPECT_EQ(reason_phrase(505), "HTTP Version Not Supported");
    EXPECT_EQ(reason_phrase(299), "Unknown");
    EXPECT_EQ(reason_phrase(999), "Unknown");
}

TEST(HeadWriter, WritesLinesBehindWhatIsThere) {
    std::string out = "GET / HTTP/1.1\r\n";
    const std::string longer(3000, 'v');
    {
        HeadWriter head(out);
        head.add("host", "a");
        head.add("content-length", std::uint64_t{18446744073709551615U});
        head.add("x", "");
        head.add("y", longer);
        head.add("z", "\xc3\xa4\tb");
        head.end();
    }
    EXPECT_EQ(
        out,
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 18446744073709551615\r\nx: \r\ny: " + longer +
            "\r\nz: \xc3\xa4\tb\r\n\r\n"
    );
}

// Wherever it stands, also behind the last whole 16 bytes; what lies behind the line does not
// count.
TEST(HeadWriterDeathTest, AssertsThatNothingBreaksTheFraming) {
    for (std::size_t at = 0; at < 40; ++at) {
        std::string value(40 + kScanSlack, 'v');
        value[at] = '\n';
        EXPECT_TRUE(has_control(value.data(), at + 1)) << at;
        EXPECT_FALSE(has_control(value.data(), at)) << at;
    }
    std::string out;
    HeadWriter head(out);
    EXPECT_DEATH(head.add("a", "b\r\nc: d"), "");
    EXPECT_DEATH(head.add("a\r\n", "b"), "");
    EXPECT_DEATH(head.add("", "b"), "");
}

}  // namespace
}  // namespace datapunk::mesh::wire::http1
