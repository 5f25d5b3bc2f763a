#include "wire/client_hello.h"

#include <gtest/gtest.h>

namespace datapunk::mesh::wire {
namespace {

using namespace std::string_literals;

std::string number(std::size_t value, int bytes) {
    std::string text;
    while (bytes-- > 0) text += static_cast<char>(value >> (8U * static_cast<unsigned>(bytes)));
    return text;
}

std::string vector(int length_bytes, const std::string& content) {
    return number(content.size(), length_bytes) + content;
}

std::string server_name(const std::string& name) {
    return number(0, 2) + vector(2, vector(2, "\0"s + vector(2, name)));
}

std::string message(const std::string& extensions) {
    const std::string body = "\3\3"s + std::string(32, 'r') + vector(1, std::string(32, 's')) +
                             vector(2, "\x13\x01"s) + vector(1, "\0"s) + vector(2, extensions);
    return "\1"s + vector(3, body);
}

std::string record(const std::string& content) {
    return "\x16\3\1"s + vector(2, content);
}

HelloRead read(const std::string& data, std::string& name) {
    return read_server_name(data, name);
}

TEST(ClientHello, SaysWhatNameIsAskedFor) {
    const std::string other = number(43, 2) + vector(2, "\2\3\4"s);
    const std::string hello = record(message(other + server_name("Web.Example") + other));
    std::string name;
    EXPECT_EQ(read(hello, name), HelloRead::done);
    EXPECT_EQ(name, "web.example");
    for (std::size_t i = 0; i < hello.size(); ++i)
        EXPECT_EQ(read(hello.substr(0, i), name), HelloRead::more) << i;
    EXPECT_EQ(read(hello + "early data", name), HelloRead::done);
}

TEST(ClientHello, MayAskForNone) {
    std::string name = "old";
    EXPECT_EQ(read(record(message("")), name), HelloRead::done);
    EXPECT_EQ(name, "");
}

TEST(ClientHello, MayComeInPieces) {
    const std::string whole = message(server_name("web.example"));
    std::string name;
    std::string pieces;
    for (const char c : whole) pieces += record(std::string(1, c));
    EXPECT_EQ(read(pieces, name), HelloRead::done);
    EXPECT_EQ(name, "web.example");
}

TEST(ClientHello, AnythingElseIsRefusedAtOnce) {
    std::string name;
    EXPECT_EQ(read("GET / HTTP/1.1\r\n", name), HelloRead::malformed);
    EXPECT_EQ(read("\x16\x02", name), HelloRead::malformed);
    EXPECT_EQ(read("\x16\3\1\0\0"s, name), HelloRead::malformed) << "an empty record";
    EXPECT_EQ(read("\x16\3\1"s + number(16'385, 2), name), HelloRead::malformed);
    EXPECT_EQ(read(record("\2\0\0\1x"s), name), HelloRead::malformed) << "a server's greeting";
    EXPECT_EQ(read(record("\1\1\0\0"s), name), HelloRead::malformed) << "64 KiB";
    EXPECT_EQ(read(record("\1\0\0\3abc"s), name), HelloRead::malformed);
    EXPECT_EQ(
        read(record(message(server_name("a") + server_name("b"))), name), HelloRead::malformed
    );
    for (const std::string& bad : {""s, "a b"s, "a\0b"s, "a/b"s, std::string(254, 'a')})
        EXPECT_EQ(read(record(message(server_name(bad))), name), HelloRead::malformed) << bad;
    const std::string cut = number(0, 2) + number(9, 2) + "abc";
    EXPECT_EQ(read(record(message(cut)), name), HelloRead::malformed);
}

}  // namespace
}  // namespace datapunk::mesh::wire
