#include "store/wal.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string_view>
#include <utility>

namespace datapunk::mesh::store {

namespace {

constexpr std::size_t kHeaderBytes = 32;
constexpr std::size_t kFrameHeaderBytes = 24;
constexpr std::uint32_t kMagic = 0x377f0682;  // the lowest bit: checksums over big-endian words

std::uint32_t word(std::string_view bytes, std::size_t at, bool big_endian) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        const auto byte = static_cast<unsigned char>(bytes[at + (big_endian ? i : 3 - i)]);
        value = value << 8U | byte;
    }
    return value;
}

struct WalSum {
    std::uint32_t a = 0;
    std::uint32_t b = 0;

    void add(std::string_view bytes, bool big_endian) {
        for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
            a += word(bytes, at, big_endian) + b;
            b += word(bytes, at + 4, big_endian) + a;
        }
    }

    bool is_at(std::string_view bytes, std::size_t at) const {
        return a == word(bytes, at, true) && b == word(bytes, at + 4, true);
    }
};

Error damaged(const std::string& path, std::string_view what) {
    return {.code = Code::internal, .what = fmt::format("{}: {}", path, what)};
}

}  // namespace

Result<> check_wal(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string header(kHeaderBytes, '\0');
    if (!file.read(header.data(), kHeaderBytes)) return Ok{};
    if (std::all_of(header.begin(), header.end(), [](char c) { return c == 0; })) return Ok{};
    const std::uint32_t magic = word(header, 0, true);
    const bool big_endian = (magic & 1U) != 0;
    const std::uint32_t page_bytes = word(header, 8, true);
    WalSum sum;
    sum.add(std::string_view(header).substr(0, 24), big_endian);
    if ((magic & ~1U) != kMagic || page_bytes < 512 || page_bytes > 65536 ||
        !sum.is_at(header, 24)) {
        return damaged(path, "the header is damaged");
    }
    const std::string_view salt = std::string_view(header).substr(16, 8);
    std::string frame(kFrameHeaderBytes + page_bytes, '\0');
    bool is_sound = true;
    int commits_behind = 0;
    while (file.read(frame.data(), static_cast<std::streamsize>(frame.size()))) {
        const std::string_view bytes = frame;
        const bool is_ours = bytes.substr(8, 8) == salt;
        if (is_sound) {
            sum.add(bytes.substr(0, 8), big_endian);
            sum.add(bytes.substr(kFrameHeaderBytes), big_endian);
            is_sound = is_ours && sum.is_at(bytes, 16);
        }
        const bool is_commit = word(bytes, 4, true) != 0;
        if (!is_sound && is_ours && is_commit) ++commits_behind;
    }
    if (commits_behind > 1) return damaged(path, "transactions in the middle are damaged");
    return Ok{};
}

}  // namespace datapunk::mesh::store
