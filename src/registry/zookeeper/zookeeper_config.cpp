#include "registry/zookeeper/zookeeper_config.h"

#include <fmt/format.h>

#include <algorithm>

namespace datapunk::mesh::registry::zookeeper {

namespace {

bool is_printable(std::string_view text) {
    return std::none_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
}

// A path of ZooKeeper's: no empty parts, no dots alone.
bool is_path(const std::string& path) {
    if (!path.starts_with('/') || path.size() < 2 || path.ends_with('/') || path.size() > 255) {
        return false;
    }
    const std::string closed = path + "/";
    return closed.find("//") == std::string::npos && closed.find("/./") == std::string::npos &&
           closed.find("/../") == std::string::npos;
}

}  // namespace

Result<> check(const ZookeeperConfig& config) {
    using std::chrono::minutes;
    using std::chrono::seconds;
    std::string problems;
    const auto need = [&](bool ok, std::string_view what) {
        if (!ok) problems += fmt::format("{}{}", problems.empty() ? "" : "; ", what);
    };
    need(!config.servers.empty() && config.servers.size() <= 16, "servers must be 1 to 16");
    for (const ZookeeperServer& server : config.servers) {
        need(
            !server.host.empty() && is_printable(server.host) && server.port != 0,
            fmt::format("server \"{}:{}\" is no place", server.host.substr(0, 80), server.port)
        );
    }
    need(
        is_path(config.prefix) && is_printable(config.prefix),
        "prefix must be a path like /dpmesh, at most 255 bytes"
    );
    need(config.user.empty() == config.password.empty(), "user and password go together");
    need(
        is_printable(config.user) && config.user.find(':') == std::string::npos &&
            config.user.size() <= 255,
        "user must be printable, without ':'"
    );
    need(is_printable(config.node) && config.node.size() <= 200, "node: at most 200 bytes");
    need(
        config.session_timeout >= seconds(1) && config.session_timeout <= minutes(10),
        "session_timeout must be 1s..10m"
    );
    need(
        config.connect_timeout >= std::chrono::milliseconds(50) &&
            config.connect_timeout <= minutes(1),
        "connect_timeout must be 50ms..1m"
    );
    if (problems.empty()) return Ok{};
    return Error{.code = Code::invalid, .what = "ZooKeeper: " + problems};
}

}  // namespace datapunk::mesh::registry::zookeeper
