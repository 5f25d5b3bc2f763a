#pragma once

// DnsName: a domain name as it stands in a message: labels with their lengths, the root at the end,
// at most 255 bytes. Keeps the case it was given (a question is echoed as it was asked), compares
// without it. A value; ASCII case rules only (RFC 4343).

#include <datapunk/mesh/result.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::wire::dns {

inline constexpr std::size_t kNameBytesMax = 255;  // RFC 1035 2.3.4, lengths and root included
inline constexpr std::size_t kLabelBytesMax = 63;

class DnsName {
  public:
    DnsName() = default;  // the root

    // "a.b.c", with or without the last dot; "." is the root. "\." is a dot inside a label, "\065"
    // a byte.
    static Result<DnsName> parse(std::string_view text);
    // Labels as they are, dots in them included.
    static Result<DnsName> from_labels(const std::vector<std::string_view>& labels);

    bool is_root() const noexcept { return wire_.size() == 1; }

    // "a.b.c.", with escapes where parse() needs them.
    std::string text() const;
    std::vector<std::string_view> labels() const;
    // Length bytes and labels, uncompressed.
    const std::string& wire() const noexcept { return wire_; }

    // In lowercase: equal for equal names.
    std::string key() const;
    // Itself or below.
    bool is_under(const DnsName& zone) const;
    // This name with the labels of `other` behind its own.
    Result<DnsName> below(const DnsName& other) const;
    // The same, byte for byte: what a resolver that varies the case expects back.
    bool is_identical(const DnsName& other) const noexcept { return wire_ == other.wire_; }

    friend bool operator==(const DnsName& a, const DnsName& b) noexcept;

  private:
    friend class NameReader;

    std::string wire_ = std::string(1, '\0');
};

}  // namespace datapunk::mesh::wire::dns
