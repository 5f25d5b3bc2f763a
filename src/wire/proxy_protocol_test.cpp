#include "wire/proxy_protocol.h"

#include <gtest/gtest.h>

#include <vector>

namespace datapunk::mesh::wire {
namespace {

using namespace std::string_literals;

ProxyAddress v4(std::uint8_t last, std::uint16_t port) {
    return {.ip = {192, 0, 2, last}, .port = port};
}

ProxyAddress v6(std::uint8_t last, std::uint16_t port) {
    ProxyAddress address{.ip = {0x20, 0x01, 0x0d, 0xb8}, .port = port, .is_v6 = true};
    address.ip[15] = last;
    return address;
}

std::string v2(char version_command, char family, const std::string& rest) {
    std::string text("\r\n\r\n\0\r\nQUIT\n", 12);
    text += version_command;
    text += family;
    text += static_cast<char>(rest.size() >> 8U);
    text += static_cast<char>(rest.size() & 0xffU);
    return text + rest;
}

ProxyRead read(const std::string& text, ProxyHeader& header) {
    return parse_proxy_header(text, header);
}

// Also that every part of it wants more, and never more than there is.
ProxyHeader whole(const std::string& text) {
    ProxyHeader header;
    std::string got;
    while (parse_proxy_header(got, header) == ProxyRead::more || got.empty()) {
        const std::size_t wanted = proxy_bytes_wanted(got);
        EXPECT_GE(wanted, 1U);
        if (got.size() + wanted > text.size()) {
            ADD_FAILURE() << "reads past the header";
            break;
        }
        got += text.substr(got.size(), wanted);
    }
    EXPECT_EQ(got, text);
    EXPECT_EQ(read(text + "GET /", header), ProxyRead::done);
    EXPECT_EQ(header.bytes, text.size());
    return header;
}

TEST(ProxyProtocol, ReadsVersionOne) {
    ProxyHeader header = whole("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n");
    EXPECT_EQ(header.source, v4(1, 56324));
    EXPECT_EQ(header.destination, v4(2, 443));
    header = whole("PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n");
    EXPECT_EQ(header.source, v6(1, 0));
    EXPECT_EQ(header.destination, v6(2, 65535));
    EXPECT_FALSE(whole("PROXY UNKNOWN\r\n").source.has_value());
    EXPECT_FALSE(whole("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n").source);
}

TEST(ProxyProtocol, RefusesWhatIsNotVersionOneToTheLetter) {
    for (const std::string& bad : std::vector<std::string>{
             "GET / HTTP/1.1\r\n",
             "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
             "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
             "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
             "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
             "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
             "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
             "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
             "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
             "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
             "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
             "PROXY TCP4 192.0.2.1\r192.0.2.2 1 2\r\n",
             "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
             "PROXY TCP4 192.0.02.1 192.0.2.2 1 2\r\n",
             "PROXY TCP4 ::1 ::1 1 2\r\n",
             "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
             "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
             "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
             "PROXY UNKNOWNS\r\n",
             "PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n"s,
             "PROXY " + std::string(101, 'A')
         }) {
        ProxyHeader header;
        EXPECT_EQ(read(bad, header), ProxyRead::malformed) << bad;
    }
    ProxyHeader header;
    EXPECT_EQ(read("PROXY " + std::string(100, 'A'), header), ProxyRead::more);
}

TEST(ProxyProtocol, ReadsVersionTwoAndSkipsWhatItDoesNotKnow) {
    std::string text;
    append_proxy_v2(text, v4(1, 56324), v4(2, 443));
    EXPECT_EQ(text.size(), 28U);
    ProxyHeader header = whole(text);
    EXPECT_EQ(header.source, v4(1, 56324));
    EXPECT_EQ(header.destination, v4(2, 443));
    text.clear();
    append_proxy_v2(text, v6(1, 1), v6(2, 2));
    EXPECT_EQ(text.size(), 52U);
    EXPECT_EQ(whole(text).source, v6(1, 1));
    const std::string addresses = text.substr(16);
    EXPECT_EQ(whole(v2('\x21', '\x21', addresses + "\x04\x00\x01x"s)).source, v6(1, 1)) << "a TLV";
    EXPECT_FALSE(whole(v2('\x20', '\x00', "")).source.has_value()) << "LOCAL";
    EXPECT_FALSE(whole(v2('\x20', '\x11', "ab")).source.has_value()) << "LOCAL, whatever it says";
    EXPECT_FALSE(whole(v2('\x21', '\x00', "abc")).source.has_value()) << "unspecified";
}

TEST(ProxyProtocol, RefusesWhatIsNotVersionTwoToTheLetter) {
    const std::string four(12, '\1');
    for (const std::string& bad : std::vector<std::string>{
             v2('\x11', '\x11', four),
             v2('\x31', '\x11', four),
             v2('\x22', '\x11', four),
             v2('\x21', '\x11', four.substr(1)),
             v2('\x21', '\x21', std::string(35, '\1')),
             v2('\x21', '\x12', four),
             v2('\x21', '\x22', std::string(36, '\1')),
             v2('\x21', '\x31', std::string(216, '\1')),
             v2('\x21', '\x41', four),
             v2('\x21', '\x11', std::string(kProxyHeaderBytesMax - 15, '\1')),
             "\r\n\r\n\0\r\nQUIX\n"s
         }) {
        ProxyHeader header;
        EXPECT_EQ(read(bad, header), ProxyRead::malformed);
    }
    ProxyHeader header;
    EXPECT_EQ(
        read(v2('\x21', '\x11', std::string(kProxyHeaderBytesMax - 16, '\1')), header),
        ProxyRead::done
    );
}

TEST(ProxyProtocol, WritesWhatItReads) {
    std::string text;
    append_proxy_v1(text, v4(1, 56324), v4(2, 443));
    EXPECT_EQ(text, "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n");
    text.clear();
    append_proxy_v1(text, v6(1, 1), v6(2, 2));
    EXPECT_EQ(whole(text).destination, v6(2, 2));
    text.clear();
    append_proxy_v1(text, v4(1, 1), v6(2, 2));
    EXPECT_EQ(text, "PROXY UNKNOWN\r\n");
    text.clear();
    append_proxy_v2(text, v4(1, 1), v6(2, 2));
    EXPECT_FALSE(whole(text).source.has_value());
}

}  // namespace
}  // namespace datapunk::mesh::wire
