#include "wire/http1/encode.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/assert.h"
#include "wire/http1/chars.h"

namespace datapunk::mesh::wire::http1 {
namespace {

struct ReasonRow {
    int status;
    std::string_view phrase;
};

constexpr std::array<ReasonRow, 47> kReasons = {{
    {100, "Continue"},
    {101, "Switching Protocols"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
}};

void append_number(std::string& out, std::uint64_t value, int base) {
    std::array<char, 20> digits;
    const auto end = std::to_chars(digits.begin(), digits.end(), value, base).ptr;
    out.append(digits.begin(), end);
}

void append_version(std::string& out, int minor_version) {
    out += minor_version == 0 ? "HTTP/1.0" : "HTTP/1.1";
}

}  // namespace

std::string_view reason_phrase(int status) noexcept {
    const auto* const row = std::lower_bound(
        kReasons.begin(),
        kReasons.end(),
        status,
        [](const ReasonRow& a, int wanted) { return a.status < wanted; }
    );
    return row != kReasons.end() && row->status == status ? row->phrase : "Unknown";
}

bool is_field_name(std::string_view name) noexcept {
    return !name.empty() && all_in(name, kToken);
}

bool is_field_value(std::string_view value) noexcept {
    const char* const end = value.data() + value.size();
    return find_control(value.data(), end) == end;
}

void append_request_line(
    std::string& out, std::string_view method, std::string_view target, int minor_version
) {
    MESH_ASSERT(is_field_name(method));
    MESH_ASSERT(!target.empty() && all_in(target, kTarget));
    out += method;
    out += ' ';
    out += target;
    out += ' ';
    append_version(out, minor_version);
    out += "\r\n";
}

void append_status_line(std::string& out, int status, std::string_view reason, int minor_version) {
    MESH_ASSERT(status >= 100 && status <= 599);
    MESH_ASSERT(is_field_value(reason));
    append_version(out, minor_version);
    out += ' ';
    append_number(out, static_cast<std::uint64_t>(status), 10);
    out += ' ';
    out += reason.empty() ? reason_phrase(status) : reason;
    out += "\r\n";
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
    const bool is_fit = try_append_field(out, name, value);
    MESH_ASSERT(is_fit);
}

void append_field(std::string& out, std::string_view name, std::uint64_t value) {
    MESH_ASSERT(is_field_name(name));
    out += name;
    out += ": ";
    append_number(out, value, 10);
    out += "\r\n";
}

bool try_append_field(std::string& out, std::string_view name, std::string_view value) {
    if (!is_field_name(name) || !is_field_value(value)) return false;
    out += name;
    out += ": ";
    out += value;
    out += "\r\n";
    return true;
}

void append_chunk_head(std::string& out, std::uint64_t data_bytes) {
    MESH_ASSERT(data_bytes > 0);
    append_number(out, data_bytes, 16);
    out += "\r\n";
}

}  // namespace datapunk::mesh::wire::http1
