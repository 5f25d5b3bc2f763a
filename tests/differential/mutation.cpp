#include "mutation.h"

#include <array>
#include <fstream>

namespace datapunk::mesh::differential {

namespace {

// What parsers trip over, and what makes a changed message meaningful again.
constexpr auto kPieces = std::to_array<std::string_view>({
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    " ",
    "\t",
    ":",
    ";",
    ",",
    "=",
    "\"",
    "/",
    "*",
    "?",
    "#",
    "%2f",
    "\x0b",
    "\x0c",
    "\x7f",
    "\x80",
    "\xff",
    "\x01",
    "0",
    "5",
    "a",
    "f",
    "+",
    "-",
    "_",
    "0x",
    "GET",
    "POST",
    "HEAD",
    "CONNECT",
    "OPTIONS",
    "PRI",
    "SOURCE",
    "get",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/0.9",
    "HTTP/2.0",
    "http://a/",
    "Host: a\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length:",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding:",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Connection: upgrade\r\nUpgrade: websocket\r\n",
    "Proxy-Connection: keep-alive\r\n",
    "Expect: 100-continue\r\n",
    "X: y\r\n",
    "chunked",
    "5\r\nabcde\r\n",
    "0\r\n\r\n",
    "0\r\nX: y\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 304\r\n",
});

std::size_t place(const std::string& bytes, core::Rng& rng) {
    return rng.below(bytes.size() + 1);
}

// A line of it with its end, or the rest.
std::pair<std::size_t, std::size_t> line_of(const std::string& bytes, core::Rng& rng) {
    const std::size_t at = place(bytes, rng);
    const std::size_t before = at == 0 ? std::string::npos : bytes.rfind('\n', at - 1);
    const std::size_t begin = before == std::string::npos ? 0 : before + 1;
    const std::size_t behind = bytes.find('\n', begin);
    return {begin, (behind == std::string::npos ? bytes.size() : behind + 1) - begin};
}

void change(std::string& bytes, const std::vector<Sample>& corpus, core::Rng& rng) {
    const std::size_t at = place(bytes, rng);
    const auto [begin, size] = line_of(bytes, rng);
    switch (rng.below(8)) {
        case 0:
            if (at < bytes.size()) bytes[at] = static_cast<char>(rng.below(256));
            break;
        case 1:
            bytes.insert(at, 1, static_cast<char>(rng.below(256)));
            break;
        case 2:
            bytes.erase(at, 1 + rng.below(4));
            break;
        case 3:
            bytes.insert(at, kPieces[rng.below(kPieces.size())]);
            break;
        case 4:
            bytes.insert(begin, kPieces[rng.below(kPieces.size())]);
            break;
        case 5:
            bytes.insert(begin, bytes.substr(begin, size));
            break;
        case 6:
            bytes.erase(begin, size);
            break;
        default: {
            const std::string& other = corpus[rng.below(corpus.size())].bytes;
            const auto [from, length] = line_of(other, rng);
            bytes.replace(begin, rng.below(2) == 0 ? 0 : size, other.substr(from, length));
        }
    }
}

int digit(char c) {
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

}  // namespace

std::vector<Sample> load_corpus(const std::string& path) {
    std::vector<Sample> corpus;
    std::ifstream in(path);
    std::string kind;
    std::string hex;
    while (in >> kind >> hex) {
        Sample& sample = corpus.emplace_back();
        sample.kind = kind == "request" ? Kind::request : Kind::response;
        for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
            sample.bytes += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
    }
    return corpus;
}

Sample mutated(const std::vector<Sample>& corpus, core::Rng& rng) {
    Sample sample = corpus[rng.below(corpus.size())];
    for (auto changes = 1 + rng.below(4); changes > 0; --changes) change(sample.bytes, corpus, rng);
    return sample;
}

}  // namespace datapunk::mesh::differential
