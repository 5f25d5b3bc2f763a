#include "http/message.h"

#include "core/strings.h"

namespace datapunk::mesh::http {

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
