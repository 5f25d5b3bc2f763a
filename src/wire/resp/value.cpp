#include "wire/resp/value.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

namespace datapunk::mesh::wire::resp {

namespace {

void append_blob(std::string& out, char mark, std::string_view text) {
    fmt::format_to(std::back_inserter(out), "{}{}\r\n", mark, text.size());
    out.append(text).append("\r\n");
}

void append_items(
    std::string& out, char mark, std::size_t count, const RespValue& value, bool resp3
) {
    fmt::format_to(std::back_inserter(out), "{}{}\r\n", mark, count);
    for (const RespValue& item : value.items) append_value(out, item, resp3);
}

void append_real(std::string& out, double real, bool resp3) {
    std::string text = fmt::format("{}", real);
    if (std::isnan(real)) text = "nan";
    if (std::isinf(real)) text = real > 0 ? "inf" : "-inf";
    if (resp3) {
        fmt::format_to(std::back_inserter(out), ",{}\r\n", text);
    } else {
        append_blob(out, '$', text);
    }
}

// An error is one line, unless it is a RESP3 blob: what would end a line early becomes a blank.
void append_error(std::string& out, std::string_view text, bool resp3) {
    if (resp3 && text.find_first_of("\r\n") != std::string_view::npos) {
        append_blob(out, '!', text);
        return;
    }
    out += '-';
    for (const char c : text) out += c == '\r' || c == '\n' ? ' ' : c;
    out += "\r\n";
}

}  // namespace

std::string_view RespValue::error_code() const noexcept {
    return std::string_view(text).substr(0, text.find(' '));
}

void append_command(std::string& out, const std::vector<std::string>& words) {
    fmt::format_to(std::back_inserter(out), "*{}\r\n", words.size());
    for (const std::string& word : words) append_blob(out, '$', word);
}

void append_value(std::string& out, const RespValue& value, bool resp3) {
    const auto whole = static_cast<long long>(value.integer);
    switch (value.type) {
        case RespType::null:
            out += resp3 ? "_\r\n" : "$-1\r\n";
            break;
        case RespType::text:
            append_blob(out, '$', value.text);
            break;
        case RespType::error:
            append_error(out, value.text, resp3);
            break;
        case RespType::integer:
            fmt::format_to(std::back_inserter(out), ":{}\r\n", whole);
            break;
        case RespType::real:
            append_real(out, value.real, resp3);
            break;
        case RespType::boolean:
            out += resp3 ? (whole != 0 ? "#t\r\n" : "#f\r\n") : (whole != 0 ? ":1\r\n" : ":0\r\n");
            break;
        case RespType::array:
            append_items(out, '*', value.items.size(), value, resp3);
            break;
        case RespType::map:
            append_items(
                out,
                resp3 ? '%' : '*',
                resp3 ? value.items.size() / 2 : value.items.size(),
                value,
                resp3
            );
            break;
        case RespType::push:
            append_items(out, resp3 ? '>' : '*', value.items.size(), value, resp3);
            break;
    }
}

}  // namespace datapunk::mesh::wire::resp
