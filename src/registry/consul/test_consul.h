#pragma once

// A real Consul (tools/peers/consul.sh) as a child of a test. For tests only.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "core/strings.h"
#include "http/client.h"
#include "io/tcp.h"
#include "registry/consul/consul_backend.h"
#include "registry/test_peers.h"
#include "sim/run.h"

namespace datapunk::mesh::registry::consul {

// Gossip uses both kinds.
inline bool is_free_for_gossip(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0;
    ::close(fd);
    return bound && is_free(port);
}

inline std::vector<std::uint16_t> free_ports(std::size_t count) {
    std::vector<std::uint16_t> ports;
    while (ports.size() < count) {
        const std::uint16_t port = free_port();
        const bool taken = std::find(ports.begin(), ports.end(), port) != ports.end();
        if (!taken && is_free_for_gossip(port)) ports.push_back(port);
    }
    return ports;
}

// The path of its binary; empty if it could not be had. `root`: of the source tree.
inline std::string fetch_consul(const std::string& root) {
    FILE* out = ::popen((root + "/tools/peers/consul.sh").c_str(), "r");
    std::string path;
    std::array<char, 512> line{};
    while (std::fgets(line.data(), line.size(), out) != nullptr) path += line.data();
    if (::pclose(out) != 0) return {};
    return std::string(core::trim(path.substr(0, path.find('\n'))));
}

inline io::Task<bool> has_leader(
    io::Network& network, ConsulConfig config, http::ClientConfig client_config, Instant deadline
) {
    http::Client client(network, std::move(client_config));
    while (network.loop().now() < deadline) {
        http::Request request{.target = "/v1/status/leader"};
        auto response =
            co_await client.fetch(config.host, config.port, std::move(request), deadline);
        if (response && response->status == 200 && response->body.size() > 4) co_return true;
        co_await io::sleep_for(network.loop(), std::chrono::milliseconds(50));
    }
    co_return false;
}

// A development server, alone, in memory.
class ConsulServer {
  public:
    // `more`: of its configuration, JSON members after a comma.
    explicit ConsulServer(const std::string& binary, const std::string& more = "")
        : directory_("consul"), ports_(free_ports(5)) {
        const std::string config = directory_ / "consul.json";
        std::ofstream(config) << R"({"bind_addr": "127.0.0.1", "disable_update_check": true,)"
                              << R"("node_name": "n1", "ports": {"grpc": -1, "dns": -1, "http": )"
                              << ports_[0] << R"(, "server": )" << ports_[1] << R"(, "serf_lan": )"
                              << ports_[2] << R"(, "serf_wan": )" << ports_[3] << R"(, "https": )"
                              << ports_[4] << "}" << more << "}";
        const std::string option = "-config-file=" + config;
        process_.emplace(
            std::vector<std::string>{binary, "agent", "-dev", option}, directory_ / "consul.log"
        );
    }

    // Whether there is a leader in time.
    bool is_ready(io::Loop& loop, io::Network& network) const {
        const ConsulConfig config{.port = http_port()};
        const Instant deadline = loop.now() + std::chrono::seconds(30);
        const auto ready =
            sim::run_on(loop, has_leader(network, config, {}, deadline), std::chrono::seconds(40));
        return ready && *ready;
    }

    std::uint16_t http_port() const { return ports_[0]; }

    std::uint16_t https_port() const { return ports_[4]; }

    std::string operator/(const std::string& name) const { return directory_ / name; }

  private:
    PeerDirectory directory_;
    std::vector<std::uint16_t> ports_;
    std::optional<Peer> process_;
};

}  // namespace datapunk::mesh::registry::consul
