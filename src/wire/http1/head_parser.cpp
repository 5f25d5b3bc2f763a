#include "wire/http1/head_parser.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/strings.h"
#include "wire/http1/chars.h"
#include "wire/http1/field_line.h"
#include "wire/http1/target.h"

namespace datapunk::mesh::wire::http1 {
namespace {

constexpr std::size_t kMethodBytesMax = 32;   // the longest registered one has 17
constexpr std::size_t kVersionBytes = 8;      // "HTTP/1.1"
constexpr std::size_t kReasonBytesMax = 512;  // nobody reads it; it only has to fit a line

constexpr ParseResult bad(Reject why) noexcept {
    return {.state = ParseResult::State::bad, .head_bytes = 0, .why = why};
}

Reject parse_version(std::string_view text, std::uint8_t& minor) noexcept {
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (text.size() != kVersionBytes || text.substr(0, 5) != "HTTP/" || !is_digit(text[5]) ||
        text[6] != '.' || !is_digit(text[7]))
        return Reject::bad_version;
    if (text[5] != '1' || text[7] > '1') return Reject::unsupported_version;
    minor = static_cast<std::uint8_t>(text[7] - '0');
    return Reject::none;
}

void clear(Head& out) noexcept {
    out.fields.clear();
    out.content_length = 0;
    out.upgrade = {};
    out.framing = Framing::none;
    out.major_version = 1;
    out.has_content_length = false;
    out.keep_alive = false;
    out.has_upgrade = false;
}

}  // namespace

HeadParser::LineState HeadParser::next_line(
    std::string_view buffered, std::size_t bytes_max, std::string_view& line, Reject& why
) {
    const std::size_t window = std::min(buffered.size(), bytes_max);
    const char* const end = buffered.data() + window;
    const char* const stop = find_control(buffered.data() + progress_.scanned, end);
    progress_.scanned = static_cast<std::size_t>(stop - buffered.data());
    if (stop == end || (*stop == '\r' && stop + 1 == end)) return LineState::incomplete;
    if (*stop != '\r') {
        why = *stop == '\n' ? Reject::bare_lf : Reject::control_byte;
        return LineState::bad;
    }
    if (stop[1] != '\n') {
        why = Reject::bare_cr;
        return LineState::bad;
    }
    line = buffered.substr(progress_.line_start, progress_.scanned - progress_.line_start);
    progress_.scanned += 2;
    progress_.line_start = progress_.scanned;
    return LineState::ready;
}

template <class HeadType>
ParseResult HeadParser::parse(std::string_view buffered, HeadType& out) {
    constexpr bool kIsRequest = std::is_same_v<HeadType, RequestHead>;
    const std::size_t start_line_max =
        kIsRequest ? limits_.target_bytes_max + kMethodBytesMax + kVersionBytes + 6
                   : kReasonBytesMax;
    if (progress_.scanned == 0) clear(out);
    if (progress_.base != nullptr && progress_.base != buffered.data())
        follow_moved_buffer(buffered, out);
    progress_.base = buffered.data();
    for (;;) {
        std::string_view line;
        Reject why = Reject::none;
        const std::size_t bytes_max = progress_.has_start_line
                                          ? limits_.head_bytes_max
                                          : std::min(start_line_max, limits_.head_bytes_max);
        const LineState state = next_line(buffered, bytes_max, line, why);
        if (state == LineState::incomplete) {
            if (buffered.size() < bytes_max) return {};
            if (progress_.has_start_line || bytes_max == limits_.head_bytes_max)
                return bad(Reject::head_too_large);
            return bad(kIsRequest ? Reject::target_too_long : Reject::bad_status_line);
        }
        if (state == LineState::bad) return bad(why);
        if (!progress_.has_start_line) {
            if (kIsRequest && line.empty() && !progress_.has_leading_crlf) {
                progress_.has_leading_crlf = true;  // RFC 9112 2.2 asks us to forgive one
                continue;
            }
            why = start_line(line, out);
            progress_.has_start_line = true;
        } else if (!line.empty()) {
            why = add_field(line, out);
        } else {
            if constexpr (kIsRequest)
                why = finish_request(out);
            else
                why = finish(out);
            if (why != Reject::none) return bad(why);
            return {.state = ParseResult::State::done, .head_bytes = progress_.scanned};
        }
        if (why != Reject::none) return bad(why);
    }
}

template <class HeadType>
Reject HeadParser::add_field(std::string_view line, HeadType& out) {
    if (out.fields.size() >= limits_.fields_max) return Reject::too_many_fields;
    Field& field = out.fields.emplace_back();
    const Reject why = parse_field_line(line, field);
    if (why != Reject::none || field.id == Header::unknown) return why;
    if constexpr (std::is_same_v<HeadType, RequestHead>)
        return note_request_field(field, out);
    else
        return note_field(field, out);
}

// The views of the lines read so far point into the old place of the bytes.
template <class HeadType>
void HeadParser::follow_moved_buffer(std::string_view buffered, HeadType& out) const {
    const auto old_base = reinterpret_cast<std::uintptr_t>(progress_.base);
    const auto follow = [&](std::string_view& view) {
        const std::uintptr_t offset = reinterpret_cast<std::uintptr_t>(view.data()) - old_base;
        // A path of "/" or "*" may be a literal of ours, outside the buffer.
        if (!view.empty() && offset < progress_.scanned)
            view = buffered.substr(offset, view.size());
    };
    for (Field& field : out.fields) {
        follow(field.name);
        follow(field.value);
    }
    follow(out.upgrade);
    if constexpr (std::is_same_v<HeadType, RequestHead>) {
        follow(out.method_text);
        follow(out.target);
        follow(out.path);
        follow(out.host);
    } else {
        follow(out.reason);
    }
}

Reject HeadParser::start_line(std::string_view line, RequestHead& out) const {
    std::size_t at = 0;
    while (at < line.size() && is_in(line[at], kToken)) ++at;
    if (at == 0 || at > kMethodBytesMax) return Reject::bad_method;
    if (at == line.size()) return Reject::bad_request_line;
    if (line[at] != ' ') return Reject::bad_method;
    out.method_text = line.substr(0, at);
    out.method = method_of(out.method_text);
    const std::string_view rest = line.substr(at + 1);
    const std::size_t blank = rest.find(' ');
    if (blank == std::string_view::npos || blank == 0) return Reject::bad_request_line;
    out.target = rest.substr(0, blank);
    if (out.target.size() > limits_.target_bytes_max) return Reject::target_too_long;
    if (!all_in(out.target, kTarget)) return Reject::bad_target;
    const Reject why = parse_version(rest.substr(blank + 1), out.minor_version);
    out.expects_continue = false;
    return why != Reject::none ? why : read_target(out);
}

// "HTTP/1.1 200 OK", "HTTP/1.1 200 " and, forgiven, "HTTP/1.1 200".
Reject HeadParser::start_line(std::string_view line, ResponseHead& out) const {
    const std::size_t blank = line.find(' ');
    const Reject why = parse_version(line.substr(0, blank), out.minor_version);
    if (why != Reject::none) return why;
    const std::string_view rest =
        blank == std::string_view::npos ? std::string_view() : line.substr(blank + 1);
    const auto status = core::parse_number<std::uint16_t>(rest.substr(0, 3));
    if (!status || rest.size() < 3 || *status < 100 || *status > 599 ||
        (rest.size() > 3 && rest[3] != ' '))
        return Reject::bad_status_line;
    out.status = *status;
    out.reason = rest.size() > 4 ? rest.substr(4) : std::string_view();
    return Reject::none;
}

void HeadParser::note_connection(std::string_view value) {
    for_each_element(value, [&](std::string_view option) {
        progress_.wants_close |= core::equals_ignoring_case(option, "close");
        progress_.wants_keep_alive |= core::equals_ignoring_case(option, "keep-alive");
        progress_.lists_upgrade |= core::equals_ignoring_case(option, "upgrade");
    });
}

Reject HeadParser::note_field(const Field& field, Head& out) {
    switch (field.id) {
        case Header::connection:
            note_connection(field.value);
            break;
        case Header::content_length: {
            const bool is_list = field.value.find(',') != std::string_view::npos;
            if (out.has_content_length || is_list) return Reject::two_lengths;
            const auto length = core::parse_number<std::uint64_t>(field.value);
            if (!length || has_tab_behind(field.value)) return Reject::bad_content_length;
            out.content_length = *length;
            out.has_content_length = true;
            break;
        }
        case Header::transfer_encoding:
            if (progress_.has_te || !core::equals_ignoring_case(field.value, "chunked") ||
                has_tab_behind(field.value))
                return Reject::unknown_transfer_coding;
            progress_.has_te = true;
            break;
        case Header::upgrade:
            out.upgrade = field.value;
            break;
        default:
            break;
    }
    return Reject::none;
}

Reject HeadParser::note_request_field(const Field& field, RequestHead& out) {
    if (field.id == Header::host) {
        if (progress_.has_host) return Reject::two_hosts;
        progress_.has_host = true;
        if (!is_authority(field.value)) return Reject::bad_host;
        if (out.host.empty()) {
            out.host = field.value;
        } else if (!core::equals_ignoring_case(out.host, field.value)) {
            // RFC 9112 3.2.2 lets the target win; who sends two names wants them read differently.
            return Reject::host_mismatch;
        }
        return Reject::none;
    }
    if (field.id == Header::expect) {
        if (!core::equals_ignoring_case(field.value, "100-continue"))
            return Reject::unknown_expectation;
        out.expects_continue = true;
        return Reject::none;
    }
    return note_field(field, out);
}

Reject HeadParser::finish(Head& out) const {
    if (progress_.has_te && out.has_content_length) return Reject::te_and_length;
    if (progress_.has_te && out.minor_version == 0) return Reject::te_in_http10;
    out.keep_alive =
        !progress_.wants_close && (out.minor_version == 1 || progress_.wants_keep_alive);
    // RFC 9110 7.8: an Upgrade in HTTP/1.0, or one that Connection does not list, is ignored.
    out.has_upgrade = !out.upgrade.empty() && progress_.lists_upgrade && out.minor_version == 1;
    if (!out.has_upgrade) out.upgrade = {};
    return Reject::none;
}

Reject HeadParser::finish_request(RequestHead& out) const {
    const Reject why = finish(out);
    if (why != Reject::none) return why;
    if (!progress_.has_host && out.minor_version == 1) return Reject::no_host;
    if (progress_.has_te) {
        out.framing = Framing::chunked;
    } else if (out.has_content_length && out.content_length > 0) {
        out.framing = Framing::length;
    }
    out.expects_continue = out.expects_continue && out.minor_version == 1;
    return Reject::none;
}

ParseResult HeadParser::parse_request(std::string_view buffered, RequestHead& out) {
    const ParseResult result = parse(buffered, out);
    if (result.state != ParseResult::State::incomplete) reset();
    return result;
}

ParseResult HeadParser::parse_response(
    std::string_view buffered, Method request_method, ResponseHead& out
) {
    const ParseResult result = parse(buffered, out);
    if (result.state == ParseResult::State::incomplete) return result;
    const bool has_te = progress_.has_te;
    reset();
    if (result.state == ParseResult::State::bad) return result;
    // RFC 9112 6.3, in its order.
    const bool is_tunnel = request_method == Method::connect && out.status / 100 == 2;
    if (request_method == Method::head || out.status < 200 || out.status == 204 ||
        out.status == 304 || is_tunnel) {
        out.framing = Framing::none;
    } else if (has_te) {
        out.framing = Framing::chunked;
    } else if (out.has_content_length) {
        out.framing = out.content_length > 0 ? Framing::length : Framing::none;
    } else {
        out.framing = Framing::until_close;
        out.keep_alive = false;
    }
    return result;
}

}  // namespace datapunk::mesh::wire::http1
