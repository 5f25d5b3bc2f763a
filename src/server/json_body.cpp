#include "server/json_body.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "server/bodies.h"

namespace datapunk::mesh::server {

namespace {

using Json = nlohmann::json;

Error bad_request(std::string_view prefix, std::string_view what) {
    return {
        .code = Code::invalid,
        .what = fmt::format("{}{}", prefix, what),
        .source = Source::downstream,
    };
}

// What Go's decoder says about the byte at which parsing stopped (1-based).
std::string syntax_problem(std::string_view body, std::size_t at) {
    if (at == 0 || at > body.size()) return "unexpected EOF";
    const char bad = body[at - 1];
    std::size_t start = at - 1;
    while (start > 0 && body[start - 1] >= 'a' && body[start - 1] <= 'z') --start;
    for (const std::string_view literal : {"null", "true", "false"}) {
        const std::size_t matched = at - 1 - start;
        if (matched > 0 && matched < literal.size() &&
            body.substr(start, matched) == literal.substr(0, matched)) {
            return fmt::format(
                "invalid character '{}' in literal {} (expecting '{}')",
                bad,
                literal,
                literal[matched]
            );
        }
    }
    return fmt::format("invalid character '{}' looking for beginning of value", bad);
}

}  // namespace

Result<Json> parse_json(std::string_view body, std::string_view prefix) {
    if (body.size() > kJsonBytesMax) {
        return bad_request(prefix, "http: request body too large");
    }
    if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) {
        return bad_request(prefix, "EOF");
    }
    std::size_t depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < body.size(); ++i) {
        const char c = body[i];
        if (in_string) {
            if (c == '\\') ++i;
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > kJsonDepthMax) {
                return bad_request(prefix, "json: exceeded max depth");
            }
        } else if (c == '}' || c == ']') {
            depth -= depth > 0 ? 1 : 0;
        }
    }
    try {
        return Json::parse(body);
    } catch (const Json::parse_error& error) {
        return bad_request(prefix, syntax_problem(body, error.byte));
    } catch (const Json::exception&) {
        return bad_request(prefix, "invalid character in string literal");
    }
}

}  // namespace datapunk::mesh::server
