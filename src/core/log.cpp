#include "core/log.h"

#include <fmt/format.h>

namespace datapunk::mesh::core {

namespace {

constexpr std::size_t kValueBytesMax = 1024;  // a peer's header must not fill the disk

void append_escaped(std::string& out, std::string_view text) {
    const std::string_view shown = text.substr(0, kValueBytesMax);
    for (const char c : shown) {
        const auto byte = static_cast<unsigned char>(c);
        switch (c) {
            case '"':
                out += "\\\"";
                break;
            case '\\':
                out += "\\\\";
                break;
            case '\n':
                out += "\\n";
                break;
            case '\r':
                out += "\\r";
                break;
            case '\t':
                out += "\\t";
                break;
            default:
                if (byte < 0x20 || byte == 0x7f) {
                    fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
                } else {
                    out += c;
                }
        }
    }
    if (shown.size() < text.size()) out += "…";
}

bool is_bare(std::string_view text) {
    if (text.empty()) return false;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte <= 0x20 || byte >= 0x7f || c == '"' || c == '=' || c == '\\') return false;
    }
    return true;
}

void append_value(std::string& out, const LogField::Value& value, bool quote_always) {
    if (const auto* text = std::get_if<std::string_view>(&value)) {
        if (!quote_always && text->size() <= kValueBytesMax && is_bare(*text)) {
            out += *text;
            return;
        }
        out += '"';
        append_escaped(out, *text);
        out += '"';
    } else if (const auto* boolean = std::get_if<bool>(&value)) {
        out += *boolean ? "true" : "false";
    } else if (const auto* real = std::get_if<double>(&value)) {
        fmt::format_to(std::back_inserter(out), "{:.6g}", *real);
    } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
        fmt::format_to(std::back_inserter(out), "{}", *integer);
    } else {
        fmt::format_to(std::back_inserter(out), "{}", std::get<std::uint64_t>(value));
    }
}

}  // namespace

std::string_view to_string(Level level) noexcept {
    switch (level) {
        case Level::debug:
            return "debug";
        case Level::info:
            return "info";
        case Level::warn:
            return "warn";
        case Level::error:
            return "error";
        case Level::off:
            return "off";
    }
    return "unknown";
}

void append_logfmt(std::string& out, const LogRecord& record) {
    out += "level=";
    out += to_string(record.level);
    out += " event=";
    append_value(out, record.event, true);
    for (std::size_t i = 0; i < record.field_count; ++i) {
        out += ' ';
        out += record.fields[i].key;
        out += '=';
        append_value(out, record.fields[i].value, false);
    }
}

void append_json_members(std::string& out, const LogRecord& record) {
    out += "\"level\":\"";
    out += to_string(record.level);
    out += "\",\"event\":";
    append_value(out, record.event, true);
    for (std::size_t i = 0; i < record.field_count; ++i) {
        out += ",\"";
        append_escaped(out, record.fields[i].key);
        out += "\":";
        append_value(out, record.fields[i].value, true);
    }
}

}  // namespace datapunk::mesh::core
