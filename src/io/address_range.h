#pragma once

// AddressRange: an IP address, or all that share its first bits: "10.0.0.0/8", "::1", "fd00::/8".

#include <vector>

#include "io/address.h"

namespace datapunk::mesh::io {

struct AddressRange {
    SocketAddress first;  // its port says nothing
    unsigned bits = 0;

    // An IPv4 address that came as IPv6 (::ffff:10.0.0.1) is the IPv4 address.
    bool contains(const SocketAddress& address) const noexcept;

    friend bool operator==(const AddressRange&, const AddressRange&) = default;
};

// Bits beyond the prefix must be zero: what looks like one address and means many is a mistake.
Result<AddressRange> parse_address_range(std::string_view text);

}  // namespace datapunk::mesh::io
