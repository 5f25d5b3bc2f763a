#include "wire/http2/head_block.h"

#include <fmt/format.h>

#include "core/strings.h"
#include "wire/http1/body_decoder.h"
#include "wire/http1/chars.h"
#include "wire/http1/field_line.h"
#include "wire/http1/target.h"

namespace datapunk::mesh::wire::http2 {

using http1::Field;
using http1::Framing;
using http1::Header;
using http1::Method;
using http1::Reject;

namespace {

constexpr std::size_t kFieldOverhead = 32;  // RFC 9113 10.5.1
constexpr std::size_t kProtocolBytesMax = 32;
// A larger head's memory is not kept for the next one.
constexpr std::size_t kBytesKept = 4UL * 1024;

// Without a branch, so that the compiler takes many at a time.
void lower(char* text, std::size_t bytes) noexcept {
    for (std::size_t i = 0; i < bytes; ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        const unsigned is_upper = static_cast<unsigned>(c - 'A') < 26U ? 0x20U : 0U;
        text[i] = static_cast<char>(c | is_upper);
    }
}

}  // namespace

void HeadBlock::clear() noexcept {
    text_.clear();
    if (text_.capacity() > kBytesKept) text_.shrink_to_fit();
    entries_.clear();
    bytes_ = 0;
    over_ = Reject::none;
}

void HeadBlock::add(std::string_view name, std::string_view value, const BlockLimits& limits) {
    bytes_ += name.size() + value.size() + kFieldOverhead;
    if (bytes_ > limits.bytes_max) over_ = Reject::head_too_large;
    const bool is_pseudo = name.starts_with(':');
    if (!is_pseudo && entries_.size() >= limits.fields_max) {
        if (over_ == Reject::none) over_ = Reject::too_many_fields;
    }
    if (over_ != Reject::none) return;
    entries_.push_back(
        {.at = static_cast<std::uint32_t>(text_.size()),
         .name_bytes = static_cast<std::uint32_t>(name.size()),
         .value_bytes = static_cast<std::uint32_t>(value.size())}
    );
    text_ += name;
    text_ += value;
}

std::string_view HeadBlock::name(const Entry& entry) const noexcept {
    return std::string_view(text_).substr(entry.at, entry.name_bytes);
}

std::string_view HeadBlock::value(const Entry& entry) const noexcept {
    return std::string_view(text_).substr(entry.at + entry.name_bytes, entry.value_bytes);
}

std::string_view HeadBlock::pseudo(std::string_view wanted) const noexcept {
    for (const Entry& entry : entries_) {
        if (!name(entry).starts_with(':')) break;
        if (name(entry) == wanted) return value(entry);
    }
    return {};
}

int HeadBlock::status() const noexcept {
    return core::parse_number<std::uint16_t>(pseudo(":status")).value_or(0);
}

// HTTP/2 may send a cookie in crumbs; to HTTP/1.1 it is one field (RFC 9113 8.2.3).
void HeadBlock::join_cookies() {
    std::size_t count = 0;
    for (const Entry& entry : entries_) count += name(entry) == "cookie" ? 1 : 0;
    if (count < 2) return;
    std::string joined;
    std::size_t kept = 0;
    Entry* first = nullptr;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        if (name(entries_[i]) == "cookie") {
            if (!joined.empty()) joined += "; ";
            joined += value(entries_[i]);
            if (first != nullptr) continue;
            first = &entries_[kept];
        }
        entries_[kept++] = entries_[i];
    }
    entries_.resize(kept);
    first->at = static_cast<std::uint32_t>(text_.size());
    first->value_bytes = static_cast<std::uint32_t>(joined.size());
    text_ += "cookie";
    text_ += joined;
}

Reject HeadBlock::fill(http1::Head& out) {
    out.fields.clear();
    out.content_length = 0;
    out.has_content_length = false;
    out.upgrade = {};
    out.has_upgrade = false;
    out.framing = Framing::none;
    out.major_version = 2;
    out.minor_version = 1;
    out.keep_alive = true;
    if (over_ != Reject::none) return over_;
    for (const Entry& entry : entries_) {
        const std::string_view text = name(entry);
        if (text.starts_with(':')) continue;
        const Field field{.name = text, .value = value(entry), .id = http1::header_of(text)};
        // nghttp2 has refused these already; another decoder might not.
        if (!http1::all_in(field.name, http1::kToken)) return Reject::bad_field_name;
        const char* const end = field.value.data() + field.value.size();
        if (http1::find_control(field.value.data(), end) != end) return Reject::control_byte;
        if (field.value != http1::trim_blanks(field.value)) return Reject::control_byte;
        if (field.id == Header::content_length) {
            const bool is_list = field.value.find(',') != std::string_view::npos;
            if (out.has_content_length || is_list) return Reject::two_lengths;
            const auto length = core::parse_number<std::uint64_t>(field.value);
            if (!length) return Reject::bad_content_length;
            out.content_length = *length;
            out.has_content_length = true;
        }
        out.fields.push_back(field);
    }
    return Reject::none;
}

Reject HeadBlock::to_request(http1::RequestHead& out, bool ended) {
    join_cookies();
    out.method = Method::other;
    out.method_text = pseudo(":method");
    out.target = out.path = out.host = {};
    out.expects_continue = false;
    Reject why = fill(out);
    if (why != Reject::none) return why;
    if (out.method_text.empty() || out.method_text.size() > 32 ||
        !http1::all_in(out.method_text, http1::kToken))
        return Reject::bad_method;
    out.method = http1::method_of(out.method_text);
    // Extended CONNECT (RFC 8441) is what HTTP/1.1 writes as a GET with Upgrade.
    const std::string_view protocol = pseudo(":protocol");
    if (!protocol.empty()) {
        const bool is_name =
            protocol.size() <= kProtocolBytesMax && http1::all_in(protocol, http1::kToken);
        if (out.method != Method::connect || !is_name) return Reject::bad_method;
        if (out.has_content_length) return Reject::bad_content_length;
        out.method = Method::get;
        out.method_text = "GET";
        out.upgrade = protocol;
        out.has_upgrade = true;
    }
    const std::string_view authority = pseudo(":authority");
    out.target = out.method == Method::connect ? authority : pseudo(":path");
    if (out.target.size() > http1::Limits().target_bytes_max) return Reject::target_too_long;
    if (out.target.empty() || !http1::all_in(out.target, http1::kTarget)) return Reject::bad_target;
    // An absolute form would be a second authority.
    const bool is_path = out.target.front() == '/' || out.target == "*";
    if (out.method != Method::connect && !is_path) return Reject::bad_target;
    why = http1::read_target(out);
    if (why != Reject::none) return why;
    const std::string_view scheme = pseudo(":scheme");
    if (out.method != Method::connect && scheme != "http" && scheme != "https")
        return Reject::bad_target;
    if (!authority.empty()) {
        if (!http1::is_authority(authority)) return Reject::bad_host;
        out.host = authority;
    }
    bool has_host = false;
    for (const Field& field : out.fields) {
        if (field.id == Header::host) {
            if (has_host) return Reject::two_hosts;
            has_host = true;
            if (!http1::is_authority(field.value)) return Reject::bad_host;
            if (out.host.empty()) {
                out.host = field.value;
            } else if (!core::equals_ignoring_case(out.host, field.value)) {
                return Reject::host_mismatch;
            }
        } else if (field.id == Header::expect) {
            if (!core::equals_ignoring_case(field.value, "100-continue"))
                return Reject::unknown_expectation;
            out.expects_continue = true;
        }
    }
    if (out.host.empty()) return Reject::no_host;
    if (out.has_upgrade) {  // bytes of another protocol follow, and no body
        out.expects_continue = false;
    } else if (ended) {
        if (out.content_length > 0) return Reject::truncated_body;
        out.expects_continue = false;
    } else if (out.has_content_length && out.content_length > 0) {
        out.framing = Framing::length;
    } else if (out.has_content_length) {
        // No bytes will follow, only the end; nghttp2 sees to it.
        out.framing = Framing::none;
    } else {
        out.framing = Framing::chunked;
    }
    return Reject::none;
}

Reject HeadBlock::to_response(http1::ResponseHead& out, Method asked, bool ended) {
    out.status = 0;
    out.reason = {};
    const Reject why = fill(out);
    if (why != Reject::none) return why;
    const int code = status();
    if (code < 100 || code > 599 || code == 101) return Reject::bad_status_line;
    out.status = static_cast<std::uint16_t>(code);
    const bool has_none = asked == Method::head || code < 200 || code == 204 || code == 304;
    if (ended || has_none) {
        if (!has_none && out.content_length > 0) return Reject::truncated_body;
        out.framing = Framing::none;
    } else if (out.has_content_length && out.content_length > 0) {
        out.framing = Framing::length;
    } else {
        out.framing = Framing::chunked;
    }
    return Reject::none;
}

Reject HeadBlock::to_trailers(std::vector<Field>& out) {
    out.clear();
    if (over_ != Reject::none) return Reject::trailer_too_large;
    for (const Entry& entry : entries_) {
        const Field field{
            .name = name(entry), .value = value(entry), .id = http1::header_of(name(entry))
        };
        const bool is_fit = http1::all_in(field.name, http1::kToken);
        if (!is_fit || http1::is_forbidden_in_trailer(field.id)) return Reject::forbidden_trailer;
        out.push_back(field);
    }
    return Reject::none;
}

void FieldList::add(std::string_view name, std::string_view value, bool indexed) {
    entries_.push_back(
        {.at = static_cast<std::uint32_t>(text_.size()),
         .name_bytes = static_cast<std::uint32_t>(name.size()),
         .value_bytes = static_cast<std::uint32_t>(value.size()),
         .indexed = indexed}
    );
    const std::size_t at = text_.size();
    text_ += name;
    text_ += value;
    lower(text_.data() + at, name.size());
}

void FieldList::add(std::string_view name, std::uint64_t value) {
    const fmt::format_int text(value);
    add(name, std::string_view(text.data(), text.size()));
}

}  // namespace datapunk::mesh::wire::http2
