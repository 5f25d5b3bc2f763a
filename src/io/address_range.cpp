#include "io/address_range.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace datapunk::mesh::io {

namespace {

constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

SocketAddress unmapped(const SocketAddress& address) noexcept {
    if (!address.is_v6 || !std::equal(kMapped.begin(), kMapped.end(), address.ip.begin()))
        return address;
    SocketAddress v4{.port = address.port};
    std::copy_n(address.ip.begin() + 12, 4, v4.ip.begin());
    return v4;
}

bool same_bits(
    const std::array<std::uint8_t, 16>& a, const std::array<std::uint8_t, 16>& b, unsigned bits
) noexcept {
    for (unsigned i = 0; i < bits; i += 8) {
        const unsigned mask = bits - i >= 8 ? 0xffU : 0xffU << (8 - (bits - i)) & 0xffU;
        if (((a[i / 8] ^ b[i / 8]) & mask) != 0) return false;
    }
    return true;
}

}  // namespace

bool AddressRange::contains(const SocketAddress& address) const noexcept {
    const SocketAddress plain = unmapped(address);
    return plain.is_v6 == first.is_v6 && same_bits(plain.ip, first.ip, bits);
}

Result<AddressRange> parse_address_range(std::string_view text) {
    const auto fail = [&](std::string_view why) {
        return Error{.code = Code::invalid, .what = fmt::format("\"{:.80}\" {}", text, why)};
    };
    const std::size_t slash = text.find('/');
    auto address = parse_ip(text.substr(0, slash), 0);
    if (!address) return fail("is no address or range, such as 10.0.0.0/8");
    const unsigned bits_max = address->is_v6 ? 128 : 32;
    AddressRange range{.first = *address, .bits = bits_max};
    if (slash != text.npos) {
        const std::string_view number = text.substr(slash + 1);
        const auto [end, error] =
            std::from_chars(number.data(), number.data() + number.size(), range.bits);
        if (error != std::errc() || end != number.data() + number.size() || range.bits > bits_max)
            return fail("has no number of bits that fits behind the slash");
    }
    SocketAddress zeroed;
    zeroed.is_v6 = range.first.is_v6;
    for (unsigned i = 0; i < range.bits; i += 8) {
        const unsigned left = range.bits - i;
        const unsigned mask = left >= 8 ? 0xffU : 0xffU << (8 - left) & 0xffU;
        zeroed.ip[i / 8] = static_cast<std::uint8_t>(range.first.ip[i / 8] & mask);
    }
    if (zeroed.ip != range.first.ip) return fail("has bits set beyond its range");
    return range;
}

}  // namespace datapunk::mesh::io
