#pragma once

// One "name: value" line without its CRLF and without control bytes, as heads and trailers have it.

#include "wire/http1/chars.h"
#include "wire/http1/message.h"

namespace datapunk::mesh::wire::http1 {

inline bool is_blank(char c) noexcept {
    return c == ' ' || c == '\t';
}

inline std::string_view trim_blanks(std::string_view text) noexcept {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

inline Reject parse_field_line(std::string_view line, Field& out) noexcept {
    std::size_t at = 0;
    while (at < line.size() && is_in(line[at], kToken)) ++at;
    if (at == line.size()) return Reject::no_colon;
    if (line[at] != ':') {
        if (at == 0) return is_blank(line[0]) ? Reject::obs_fold : Reject::bad_field_name;
        std::size_t after = at;
        while (after < line.size() && is_blank(line[after])) ++after;
        const bool blanks_only = after > at && after < line.size() && line[after] == ':';
        return blanks_only ? Reject::space_before_colon : Reject::bad_field_name;
    }
    if (at == 0) return Reject::bad_field_name;
    out.name = line.substr(0, at);
    out.value = trim_blanks(line.substr(at + 1));
    out.id = header_of(out.name);
    return Reject::none;
}

// Whether a tab was among the blanks behind the value of a field, whose line still has its end.
// RFC 9110 5.6.3 allows it; llhttp takes it for a part of the value.
inline bool has_tab_behind(std::string_view value) noexcept {
    for (const char* at = value.data() + value.size(); is_blank(*at); ++at) {
        if (*at == '\t') return true;
    }
    return false;
}

// Calls visit(element) for each non-empty element of a comma-separated list (RFC 9110 5.6.1).
template <class Visit>
void for_each_element(std::string_view list, Visit&& visit) {
    while (!list.empty()) {
        const std::size_t comma = list.find(',');
        const std::string_view element = trim_blanks(list.substr(0, comma));
        if (!element.empty()) visit(element);
        if (comma == std::string_view::npos) return;
        list.remove_prefix(comma + 1);
    }
}

}  // namespace datapunk::mesh::wire::http1
