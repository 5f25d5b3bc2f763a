#include "http/message.h"

#include "core/strings.h"
#include "wire/http1/encode.h"
#include "wire/http1/message.h"

namespace datapunk::mesh::http {

bool is_of_the_server(std::string_view name) noexcept {
    using wire::http1::Header;
    const Header header = wire::http1::header_of(name);
    return header == Header::content_length || header == Header::date ||
           header == Header::connection || header == Header::transfer_encoding;
}

std::optional<std::string> field_lines(const std::vector<HeaderLine>& headers) {
    std::string out;
    for (const HeaderLine& line : headers) {
        if (is_of_the_server(line.name)) continue;
        if (!wire::http1::try_append_field(out, line.name, line.value)) return std::nullopt;
    }
    return out;
}

std::string_view find_header(
    const std::vector<HeaderLine>& headers, std::string_view name
) noexcept {
    for (const HeaderLine& line : headers) {
        if (core::equals_ignoring_case(line.name, name)) return line.value;
    }
    return {};
}

std::string_view Request::path() const noexcept {
    return std::string_view(target).substr(0, target.find('?'));
}

std::string_view Request::query() const noexcept {
    const std::size_t at = target.find('?');
    return at == std::string::npos ? std::string_view() : std::string_view(target).substr(at + 1);
}

Response text_response(int status, std::string body) {
    return {
        .status = status,
        .headers = {{"Content-Type", "text/plain; charset=utf-8"}},
        .body = std::move(body)
    };
}

Response json_response(int status, std::string body) {
    return {
        .status = status, .headers = {{"Content-Type", "application/json"}}, .body = std::move(body)
    };
}

}  // namespace datapunk::mesh::http
