#include "registry/etcd/etcd_config.h"

#include <fmt/format.h>

#include <algorithm>

namespace datapunk::mesh::registry::etcd {

namespace {

bool is_printable(std::string_view text) {
    return std::none_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
}

}  // namespace

Result<> check(const EtcdConfig& config) {
    std::string problems;
    const auto need = [&](bool ok, std::string_view what) {
        if (!ok) problems += fmt::format("{}{}", problems.empty() ? "" : "; ", what);
    };
    using std::chrono::hours;
    using std::chrono::seconds;
    need(!config.endpoints.empty() && config.endpoints.size() <= 16, "endpoints must be 1 to 16");
    for (const EtcdMember& member : config.endpoints) {
        need(
            !member.host.empty() && is_printable(member.host) && member.port != 0,
            fmt::format("endpoint \"{}:{}\" is no place", member.host.substr(0, 80), member.port)
        );
    }
    need(is_printable(config.user) && config.user.size() <= 255, "user must be printable");
    need(config.user.empty() == config.password.empty(), "user and password go together");
    need(
        !config.prefix.empty() && is_printable(config.prefix) && config.prefix.size() <= 255 &&
            config.prefix.back() != '/',
        "prefix must be 1 to 255 printable bytes and not end with '/'"
    );
    need(is_printable(config.node) && config.node.size() <= 200, "node: at most 200 bytes");
    need(
        config.lease_ttl >= seconds(5) && config.lease_ttl <= hours(1) &&
            config.lease_ttl % seconds(1) == Duration::zero(),
        "lease_ttl must be 5s..1h, whole seconds"
    );
    need(
        config.request_timeout >= std::chrono::milliseconds(50) &&
            config.request_timeout * 3 <= config.lease_ttl,
        "request_timeout must be at least 50ms and at most a third of lease_ttl"
    );
    need(config.linger >= Duration::zero(), "linger must not be negative");
    need(config.body_bytes_max >= 64UL * 1024, "body_bytes_max must be at least 65536");
    if (problems.empty()) return Ok{};
    return Error{.code = Code::invalid, .what = "etcd: " + problems};
}

}  // namespace datapunk::mesh::registry::etcd
