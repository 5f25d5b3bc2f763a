#pragma once

// The words of an HTTP/1 message: methods, known field names, heads, limits, reasons to refuse.
// Views in a head point into the buffer that was parsed and live as long as it does.
// Plain values; source: RFC 9110 (semantics), RFC 9112 (HTTP/1.1).

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace datapunk::mesh::wire::http1 {

enum class Method : std::uint8_t {
    get,
    head,
    post,
    put,
    delete_,
    connect,
    options,
    trace,
    patch,
    other,
};

Method method_of(std::string_view text) noexcept;  // case-sensitive, as RFC 9110 9.1 wants it
bool is_safe(Method method) noexcept;              // RFC 9110 9.2.1
bool is_idempotent(Method method) noexcept;        // RFC 9110 9.2.2; `other` is neither

// Known field names. The order is that of the table in message.cpp.
enum class Header : std::uint8_t {
    unknown,
    accept,
    accept_encoding,
    accept_language,
    age,
    allow,
    authorization,
    cache_control,
    connection,
    content_encoding,
    content_language,
    content_length,
    content_location,
    content_range,
    content_type,
    cookie,
    date,
    etag,
    expect,
    expires,
    forwarded,
    from,
    grpc_status,
    host,
    if_match,
    if_modified_since,
    if_none_match,
    if_range,
    if_unmodified_since,
    keep_alive,
    last_modified,
    location,
    max_forwards,
    origin,
    pragma,
    proxy_authenticate,
    proxy_authorization,
    proxy_connection,
    range,
    referer,
    retry_after,
    server,
    set_cookie,
    te,
    traceparent,
    tracestate,
    trailer,
    transfer_encoding,
    upgrade,
    user_agent,
    vary,
    via,
    www_authenticate,
    x_forwarded_for,
    x_forwarded_host,
    x_forwarded_port,
    x_forwarded_proto,
    x_real_ip,
    x_request_id,
};

// `name` is a token (RFC 9110 5.6.2) in any case; ~3 ns.
Header header_of(std::string_view name) noexcept;
// Lowercase; empty for unknown.
std::string_view to_string(Header header) noexcept;

struct Field {
    std::string_view name;   // as it was sent
    std::string_view value;  // without the blanks around it; may hold bytes >= 0x80
    Header id = Header::unknown;
};

struct Limits {
    // 60 KiB: twice what browsers and proxies send at most, and a head fits in one 64 KiB buffer.
    std::size_t head_bytes_max = 60UL * 1024;
    std::size_t fields_max = 100;  // as Apache's; a table of 100 is still searched in a line or two
    std::size_t target_bytes_max = 8UL * 1024;   // RFC 9112 3 recommends at least 8000
    std::size_t trailer_bytes_max = 8UL * 1024;  // gRPC status details are the largest in use
};

enum class Framing : std::uint8_t {
    none,         // no body follows
    length,       // content_length bytes follow
    chunked,      // chunks follow
    until_close,  // responses only: all bytes until the connection ends
};

// What request and response heads share.
struct Head {
    std::vector<Field> fields;  // in order; its capacity is kept when the head is parsed into again
    std::uint64_t content_length = 0;  // only if has_content_length
    std::string_view upgrade;          // the Upgrade value if Connection lists "upgrade", or empty
    Framing framing = Framing::none;
    std::uint8_t major_version = 1;  // 2: it came as HTTP/2 and reads as if it were HTTP/1.1
    std::uint8_t minor_version = 1;
    bool has_content_length = false;
    bool keep_alive = false;  // what the sender wants, by version and Connection
    bool has_upgrade = false;

    const Field* find(Header id) const noexcept;
    const Field* find(std::string_view name) const noexcept;  // any case
    std::string_view value(Header id) const noexcept;         // the first one's, or empty
    bool has(Header id) const noexcept { return find(id) != nullptr; }
};

struct RequestHead : Head {
    Method method = Method::other;
    bool expects_continue = false;
    std::string_view method_text;
    std::string_view target;  // as it was sent
    // The origin form of it: begins with '/', or is "*", or is empty for CONNECT.
    std::string_view path;
    // The authority: of the target if that has one, else the Host field. Empty only in HTTP/1.0.
    std::string_view host;
};

struct ResponseHead : Head {
    std::uint16_t status = 0;
    std::string_view reason;

    bool is_interim() const noexcept { return status < 200 && status != 101; }
};

// Why a message is refused: one for each cause, so that a metric can count them.
enum class Reject : std::uint8_t {
    none,
    bare_cr,
    bare_lf,
    control_byte,
    obs_fold,
    bad_request_line,
    bad_method,
    bad_target,
    target_too_long,
    bad_version,
    unsupported_version,
    bad_status_line,
    head_too_large,
    too_many_fields,
    no_colon,
    bad_field_name,
    space_before_colon,
    no_host,
    two_hosts,
    bad_host,
    host_mismatch,
    bad_content_length,
    two_lengths,
    te_and_length,
    te_in_http10,
    unknown_transfer_coding,
    unknown_expectation,
    bad_chunk_size,
    chunk_extension,
    bad_chunk_end,
    trailer_too_large,
    forbidden_trailer,
    truncated_body,
};

std::string_view to_string(Reject why) noexcept;  // "bare_lf": fit for a metric label
int http_status(Reject why) noexcept;             // 400, 414, 417, 431, 501, 505; 0 for none

}  // namespace datapunk::mesh::wire::http1
