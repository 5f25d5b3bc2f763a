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
    const auto take = [&](std::string& to, std::string_view name) {
        if (const auto value = variable(environment, name); !value.empty()) to = value;
    };
    take(base.token, "CONSUL_HTTP_TOKEN");
    take(base.token_file, "CONSUL_HTTP_TOKEN_FILE");
    take(base.ca, "CONSUL_CAPATH");
    take(base.ca, "CONSUL_CACERT");  // both: the file, as Consul's client does
    take(base.certificate, "CONSUL_CLIENT_CERT");
    take(base.private_key, "CONSUL_CLIENT_KEY");
    take(base.server_name, "CONSUL_TLS_SERVER_NAME");
    if (const auto auth = variable(environment, "CONSUL_HTTP_AUTH"); !auth.empty()) {
        const std::size_t colon = auth.find(':');
        base.user = auth.substr(0, colon);
        base.password = colon == std::string_view::npos ? "" : auth.substr(colon + 1);
    }
    for (const auto& [name, to] :
         {std::pair<std::string_view, bool*>{"CONSUL_HTTP_SSL", &base.https},
          {"CONSUL_HTTP_SSL_VERIFY", &base.verify}}) {
        const auto text = variable(environment, name);
        if (text.empty()) continue;
        const auto value = parse_bool(name, text);
        if (!value) return value.error();
        *to = *value;
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
    need(
        config.certificate.empty() == config.private_key.empty(),
        "certificate and private_key go together"
    );
    need(
        config.https || (config.ca.empty() && config.certificate.empty()),
        "ca and certificate need https"
    );
    need(is_header_text(config.server_name), "server_name must be a host name");
    need(is_header_text(config.token), "token must be printable");
    need(
        is_header_text(config.user) && is_header_text(config.password), "user, password: printable"
    );
    need(config.user.find(':') == std::string::npos, "user must have no ':'");
    need(
        config.registration == ConsulRegistration::agent ||
            (is_header_text(config.node) && !config.node.empty() && !config.node_address.empty()),
        "registration in the catalog needs node and node_address"
    );
    need(config.last_contact_max > Duration::zero(), "last_contact_max must be positive");
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
