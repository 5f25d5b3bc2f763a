#pragma once

// A real redis-server as a child process, in memory, on a free port of loopback. For tests only.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/rng.h"

namespace datapunk::mesh::redis {

class TestRedisServer {
  public:
    // PEERS=0 in the environment leaves foreign programs out.
    static bool is_wanted() {
        const char* peers = std::getenv("PEERS");
        return peers == nullptr || std::string_view(peers) != "0";
    }

    // `door`: the option whose value is its port; "--tls-port" shuts the one without TLS.
    explicit TestRedisServer(
        std::uint64_t seed, std::vector<std::string> options = {}, std::string door = "--port"
    )
        : port_(free_port(seed)), options_(std::move(options)), door_(std::move(door)) {
        start();
    }

    TestRedisServer(const TestRedisServer&) = delete;
    TestRedisServer& operator=(const TestRedisServer&) = delete;

    ~TestRedisServer() { kill(); }

    void start() {
        const std::string port = std::to_string(port_);
        std::vector<const char*> words = {
            "redis-server",
            "--port",
            "0",
            door_.c_str(),
            port.c_str(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no"
        };
        for (const std::string& option : options_) words.push_back(option.c_str());
        words.push_back(nullptr);
        pid_ = ::fork();
        if (pid_ != 0) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // not left behind by a test that crashes
        const int nothing = ::open("/dev/null", O_RDWR);
        ::dup2(nothing, 1);
        ::dup2(nothing, 2);
        ::execv("/usr/bin/redis-server", const_cast<char* const*>(words.data()));
        ::_exit(127);
    }

    void kill() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }

    void freeze() const { ::kill(pid_, SIGSTOP); }

    void thaw() const { ::kill(pid_, SIGCONT); }

    std::uint16_t port() const noexcept { return port_; }

  private:
    // Below the range from which the kernel gives ports to outgoing connections.
    static std::uint16_t free_port(std::uint64_t seed) {
        core::Rng rng(seed);
        for (;;) {
            const auto port = static_cast<std::uint16_t>(20'000 + rng.below(12'000));
            const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            sockaddr_in at{};
            at.sin_family = AF_INET;
            at.sin_port = htons(port);
            at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0;
            ::close(fd);
            if (bound) return port;
        }
    }

    std::uint16_t port_;
    std::vector<std::string> options_;
    std::string door_;
    pid_t pid_ = -1;
};

}  // namespace datapunk::mesh::redis
