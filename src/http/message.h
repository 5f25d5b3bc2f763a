#pragma once

// Whole messages, owned: for APIs, probes and registry calls, where a body is small and wanted at
// once. The proxy streams instead (message_reader.h). Values.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/address.h"

namespace datapunk::mesh::http {

struct HeaderLine {
    std::string name;
    std::string value;

    friend bool operator==(const HeaderLine&, const HeaderLine&) = default;
};

// The first field of that name (case does not matter), or "".
std::string_view find_header(
    const std::vector<HeaderLine>& headers, std::string_view name
) noexcept;

struct Request {
    std::string method = "GET";
    std::string target = "/";  // origin form: path and query
    std::string host;          // Host; a client fills in the address if empty
    std::vector<HeaderLine> headers;
    std::string body;
    io::SocketAddress peer;  // who asked, on the server's side

    // The target's part before '?', and after it.
    std::string_view path() const noexcept;
    std::string_view query() const noexcept;

    std::string_view header(std::string_view name) const noexcept {
        return find_header(headers, name);
    }
};

struct Response {
    int status = 200;
    std::vector<HeaderLine> headers;  // Content-Length and Date are added when it is sent
    // Sent before `headers`: lines that many answers have in common, made once by field_lines().
    // header() does not look into them.
    std::shared_ptr<const std::string> shared_fields{};
    std::string body;
    // Sent instead of `body`: bytes that many answers have in common, so that nobody copies them.
    std::shared_ptr<const std::string> shared_body{};

    const std::string& content() const noexcept {
        return shared_body == nullptr ? body : *shared_body;
    }

    std::string_view header(std::string_view name) const noexcept {
        return find_header(headers, name);
    }
};

// Whether a server says this field itself: framing, Date and Connection.
bool is_of_the_server(std::string_view name) noexcept;

// `headers` as they are sent, for Response::shared_fields; without those that a server adds itself.
// Nothing if one of them cannot be sent: a CR or LF in it would end it and begin another.
std::optional<std::string> field_lines(const std::vector<HeaderLine>& headers);

Response text_response(int status, std::string body);
Response json_response(int status, std::string body);

}  // namespace datapunk::mesh::http
