#pragma once

// URLs as a mesh meets them: addresses in configuration, request targets, query parameters.
// Values; nothing here resolves names. Source: RFC 3986; the query rules are those of HTML forms.

#include <datapunk/mesh/result.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::wire {

// Nothing if a '%' is not followed by two hex digits. '+' stays itself: see Query.
std::optional<std::string> percent_decode(std::string_view text);
// Everything but A-Z a-z 0-9 - . _ ~ becomes %XX: fit for a path segment or a query key or value.
std::string percent_encode(std::string_view text);

struct HostPort {
    std::string host;  // an IPv6 address without its brackets
    std::optional<std::uint16_t> port;

    std::string text() const;  // "a:80", "a", "[::1]:80"

    friend bool operator==(const HostPort&, const HostPort&) = default;
};

// "a", "a:80", "10.0.0.1:80", "[::1]", "[::1]:80".
Result<HostPort> parse_host_port(std::string_view text);

struct Url {
    std::string scheme;      // lowercase
    std::string host;        // lowercase; an IPv6 address without its brackets
    std::uint16_t port = 0;  // the one given, or 80 for http, 443 for https, else 0
    std::string path = "/";  // as it was written, not decoded
    std::string query;       // without the '?'

    friend bool operator==(const Url&, const Url&) = default;
};

// "http://host:port/path?query". Userinfo is refused (secrets do not belong into addresses); a
// fragment is dropped. At most 8 KiB.
Result<Url> parse_url(std::string_view text);

struct PathQuery {
    std::string_view path;
    std::string_view query;  // without the '?'
};

PathQuery split_path_query(std::string_view target) noexcept;  // "/a?b=c#d" -> "/a", "b=c"

// The parameters of a query, decoded ('+' is a blank), in order. Keys may repeat or lack a value.
class Query {
  public:
    struct Parameter {
        std::string key;
        std::string value;
        bool has_value = false;  // tells "k=" from "k"

        friend bool operator==(const Parameter&, const Parameter&) = default;
    };

    // At most 256 parameters; a bad %-escape is an error that names it.
    static Result<Query> parse(std::string_view text);

    bool has(std::string_view key) const noexcept;
    // The first value: empty for "k=" and "k", nothing if the key is not there.
    std::optional<std::string_view> value(std::string_view key) const noexcept;
    std::vector<std::string_view> values(std::string_view key) const;

    const std::vector<Parameter>& parameters() const noexcept { return parameters_; }

  private:
    std::vector<Parameter> parameters_;
};

}  // namespace datapunk::mesh::wire
