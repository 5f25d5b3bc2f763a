#include "wire/dns/name.h"

#include <fmt/format.h>

#include <optional>

#include "core/strings.h"

namespace datapunk::mesh::wire::dns {

namespace {

Error bad_name(std::string_view text, std::string_view why) {
    return {
        .code = Code::invalid,
        .what = fmt::format("\"{}\" is not a domain name: {}", text.substr(0, 100), why)
    };
}

bool is_plain(char c) {
    return c > 0x20 && c < 0x7f && c != '.' && c != '\\';
}

// The byte of "\065" or "\." whose backslash stands at `at`; moves `at` to its last character.
std::optional<char> unescape(std::string_view text, std::size_t& at) {
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (at + 1 >= text.size()) return std::nullopt;
    if (!is_digit(text[at + 1])) return text[++at];
    const auto value = core::parse_number<unsigned>(text.substr(at + 1, 3));
    if (at + 3 >= text.size() || !value || *value > 255) return std::nullopt;
    at += 3;
    return static_cast<char>(static_cast<unsigned char>(*value));
}

}  // namespace

Result<DnsName> DnsName::from_labels(const std::vector<std::string_view>& labels) {
    DnsName name;
    name.wire_.clear();
    for (const std::string_view label : labels) {
        if (label.empty()) return bad_name(label, "a label is empty");
        if (label.size() > kLabelBytesMax) return bad_name(label, "a label is over 63 bytes");
        name.wire_ += static_cast<char>(label.size());
        name.wire_ += label;
    }
    name.wire_ += '\0';
    if (name.wire_.size() > kNameBytesMax) return bad_name(name.text(), "it is over 255 bytes");
    return name;
}

Result<DnsName> DnsName::parse(std::string_view text) {
    if (text.empty()) return bad_name(text, "it is empty");
    if (text == ".") return DnsName();
    // An escape takes four characters at most.
    if (text.size() > 4 * kNameBytesMax) return bad_name(text, "it is over 255 bytes");
    std::vector<std::string> labels(1);
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] == '.') {
            if (labels.back().empty()) return bad_name(text, "a label is empty");
            labels.emplace_back();
        } else if (text[at] == '\\') {
            const auto byte = unescape(text, at);
            if (!byte) return bad_name(text, "an escape is not \\. or \\000 to \\255");
            labels.back() += *byte;
        } else {
            labels.back() += text[at];
        }
    }
    if (labels.back().empty()) labels.pop_back();
    const std::vector<std::string_view> views(labels.begin(), labels.end());
    auto name = from_labels(views);
    if (!name) return bad_name(text, name.error().what);
    return name;
}

std::vector<std::string_view> DnsName::labels() const {
    std::vector<std::string_view> labels;
    for (std::size_t at = 0; wire_[at] != '\0';) {
        const std::size_t size = static_cast<unsigned char>(wire_[at]);
        labels.push_back(std::string_view(wire_).substr(at + 1, size));
        at += size + 1;
    }
    return labels;
}

std::string DnsName::text() const {
    if (is_root()) return ".";
    std::string out;
    for (const std::string_view label : labels()) {
        for (const char c : label) {
            if (is_plain(c)) {
                out += c;
            } else if (c == '.' || c == '\\') {
                out += '\\';
                out += c;
            } else {
                out += fmt::format("\\{:03}", static_cast<unsigned char>(c));
            }
        }
        out += '.';
    }
    return out;
}

// Length bytes are at most 63, below 'A': lowering the whole leaves them alone.
std::string DnsName::key() const {
    return core::lowercase(wire_);
}

bool operator==(const DnsName& a, const DnsName& b) noexcept {
    return core::equals_ignoring_case(a.wire_, b.wire_);
}

bool DnsName::is_under(const DnsName& zone) const {
    const std::string_view whole = wire_;
    for (std::size_t at = 0;;) {
        if (core::equals_ignoring_case(whole.substr(at), zone.wire_)) return true;
        const std::size_t size = static_cast<unsigned char>(whole[at]);
        if (size == 0) return false;
        at += size + 1;
    }
}

Result<DnsName> DnsName::below(const DnsName& other) const {
    std::vector<std::string_view> all = labels();
    for (const std::string_view label : other.labels()) all.push_back(label);
    return from_labels(all);
}

}  // namespace datapunk::mesh::wire::dns
