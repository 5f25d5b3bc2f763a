#pragma once

// Real servers as children of a test: a free port below the range that the kernel gives to outgoing
// connections, a directory of their own, and an end with the test, even if it crashes. For tests
// only.

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "core/rng.h"
#include "io/epoll_loop.h"

namespace datapunk::mesh::registry {

// PEERS=0 in the environment leaves the tests with real servers out.
inline bool has_peers() {
    const char* peers = std::getenv("PEERS");
    return peers == nullptr || std::string_view(peers) != "0";
}

inline bool is_free(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int yes = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0;
    ::close(fd);
    return bound;
}

inline std::uint16_t free_port() {
    core::Rng rng(io::random_seed());
    for (;;) {
        const auto port = static_cast<std::uint16_t>(20'000 + rng.below(12'000));
        if (is_free(port)) return port;
    }
}

// Removed at the end, unless the test failed: its logs are then worth reading.
class PeerDirectory {
  public:
    explicit PeerDirectory(const std::string& name) {
        std::string pattern = testing::TempDir() + name + "-XXXXXX";
        EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
        path_ = pattern;
    }

    PeerDirectory(const PeerDirectory&) = delete;
    PeerDirectory& operator=(const PeerDirectory&) = delete;

    ~PeerDirectory() {
        std::error_code ignored;
        if (!testing::Test::HasFailure()) std::filesystem::remove_all(path_, ignored);
    }

    const std::filesystem::path& path() const { return path_; }

    std::string operator/(const std::string& name) const { return path_ / name; }

  private:
    std::filesystem::path path_;
};

// A program that runs until it is killed. Its output goes to a file.
class Peer {
  public:
    Peer(const std::vector<std::string>& command, const std::string& log) {
        std::vector<char*> arguments;
        for (const std::string& one : command) arguments.push_back(const_cast<char*>(one.c_str()));
        arguments.push_back(nullptr);
        pid_ = ::fork();
        if (pid_ != 0) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        const int fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
        ::dup2(fd, 1);
        ::dup2(fd, 2);
        ::execvp(arguments[0], arguments.data());
        ::_exit(127);
    }

    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    ~Peer() {
        signal(SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

    void signal(int number) const { ::kill(pid_, number); }  // SIGSTOP makes it hang

  private:
    pid_t pid_ = -1;
};

}  // namespace datapunk::mesh::registry
