#include "registry/consul/consul_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/strings.h"
#include "wire/url.h"

namespace datapunk::mesh::registry::consul {

namespace {

std::string_view variable(const Environment& environment, std::string_view name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::string_view() : core::trim(found->second);
}

Error bad_variable(std::string_view name, std::string_view value, std::string_view why) {
    return {
        .code = Code::invalid, .what = fmt::format("{}=\"{}\": {}", name, value.substr(0, 200), why)
    };
}

// Go's strconv.ParseBool, which Consul's own client uses.
Result<bool> parse_bool(std::string_view name, std::string_view value) {
    for (const std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"}) {
        if (value == yes) return true;
    }
    for (const std::string_view no : {"0", "f", "F", "FALSE", "false", "False"}) {
        if (value == no) return false;
    }
    return bad_variable(name, value, "must be true or false");
}

// A field of ours that stands in a header line: no control bytes.
bool is_header_text(std::string_view text) {
    return std::none_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
}

}  // namespace

Result<ConsulConfig> with_environment(ConsulConfig base, const Environment& environment) {
    if (const auto token = variable(environment, "CONSUL_HTTP_TOKEN"); !token.empty()) {
        base.token = token;
    }
    if (const auto ssl = variable(environment, "CONSUL_HTTP_SSL"); !ssl.empty()) {
        const auto https = parse_bool("CONSUL_HTTP_SSL", ssl);
        if (!https) return https.error();
        base.https = *https;
    }
    std::string_view address = variable(environment, "CONSUL_HTTP_ADDR");
    if (address.empty()) return base;
    const std::string_view whole = address;
    if (const std::size_t at = address.find("://"); at != std::string_view::npos) {
        const std::string scheme = core::lowercase(address.substr(0, at));
        if (scheme != "http" && scheme != "https") {
            return bad_variable("CONSUL_HTTP_ADDR", whole, "only http:// and https:// are known");
        }
        base.https = scheme == "https";
        address.remove_prefix(at + 3);
    }
    while (address.ends_with('/')) address.remove_suffix(1);
    const auto parsed = wire::parse_host_port(address);
    if (!parsed) return bad_variable("CONSUL_HTTP_ADDR", whole, parsed.error().what);
    base.host = parsed->host;
    base.port = parsed->port.value_or(base.port);
    return base;
}

Result<> check(const ConsulConfig& config) {
    std::string problems;
    const auto need = [&](bool ok, std::string_view what) {
        if (!ok) problems += fmt::format("{}{}", problems.empty() ? "" : "; ", what);
    };
    need(!config.host.empty() && is_header_text(config.host), "host must be a name or an address");
    need(config.port != 0, "port must be 1..65535");
    need(!config.https, "https to Consul is not supported yet: use the local agent's http port");
    need(is_header_text(config.token), "token must be printable");
    need(is_header_text(config.owner) && config.owner.size() <= 512, "owner: at most 512 bytes");
    need(
        config.wait_max >= std::chrono::seconds(1) && config.wait_max <= std::chrono::minutes(10),
        "wait_max must be 1s..10m"
    );
    need(config.wait_slack >= Duration::zero(), "wait_slack must not be negative");
    need(config.body_bytes_max >= 1024, "body_bytes_max must be at least 1024");
    if (problems.empty()) return Ok{};
    return Error{.code = Code::invalid, .what = "Consul: " + problems};
}

}  // namespace datapunk::mesh::registry::consul
