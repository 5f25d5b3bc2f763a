#pragma once

// Just enough blocking HTTP/1.1 for the examples: the mesh leaves the transport to its users, and
// this is theirs. IPv4, a thread per connection, bodies by Content-Length, 64 KiB a message.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace examples {

constexpr std::size_t kMessageBytesMax = 64 * 1024;

struct Message {
    std::string method{};  // of requests
    std::string target{};
    int status = 200;  // of answers
    std::string body{};
    bool keep_alive = true;
};

inline bool send_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

inline std::string lowercase(std::string text) {
    for (char& c : text) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
    }
    return text;
}

// One whole message; `rest` keeps what was read beyond it. Nothing on end, error or nonsense.
inline std::optional<Message> receive(int fd, std::string& rest) {
    std::size_t head_end = std::string::npos;
    std::size_t want = 0;
    for (;;) {
        if (head_end == std::string::npos) {
            head_end = rest.find("\r\n\r\n");
            if (head_end != std::string::npos) {
                const std::string head = lowercase(rest.substr(0, head_end));
                const std::size_t at = head.find("\r\ncontent-length:");
                want = head_end + 4;
                if (at != std::string::npos) want += std::strtoul(&head[at + 17], nullptr, 10);
                if (want > kMessageBytesMax) return std::nullopt;
            }
        }
        if (head_end != std::string::npos && rest.size() >= want) break;
        char buffer[4096];
        const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
        if (got <= 0 || rest.size() > kMessageBytesMax) return std::nullopt;
        rest.append(buffer, static_cast<std::size_t>(got));
    }
    Message message;
    const std::string line = rest.substr(0, rest.find("\r\n"));
    const std::size_t first = line.find(' ');
    if (first == std::string::npos) return std::nullopt;
    message.method = line.substr(0, first);
    message.target = line.substr(first + 1, line.find(' ', first + 1) - first - 1);
    message.status = std::atoi(message.target.c_str());
    const std::string head = lowercase(rest.substr(0, head_end));
    message.keep_alive = head.find("\r\nconnection: close") == std::string::npos;
    message.body = rest.substr(head_end + 4, want - head_end - 4);
    rest.erase(0, want);
    return message;
}

class HttpServer {
  public:
    using Handler = std::function<Message(const Message&)>;

    // Listens on `port`, 0 = any free one. Throws if it cannot.
    HttpServer(const std::string& host, std::uint16_t port, Handler handler)
        : handler_(std::move(handler)), fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        const int on = 1;
        ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        sockaddr_in at{
            .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}
        };
        socklen_t size = sizeof at;
        if (::inet_pton(AF_INET, host.c_str(), &at.sin_addr) != 1 ||
            ::bind(fd_, reinterpret_cast<sockaddr*>(&at), size) != 0 || ::listen(fd_, 128) != 0 ||
            ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size) != 0) {
            ::close(fd_);
            throw std::runtime_error("cannot listen on " + host + ":" + std::to_string(port));
        }
        port_ = ntohs(at.sin_port);
        acceptor_ = std::thread([this] { accept_all(); });
    }

    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    // Accepts no more, lets requests that have begun finish.
    ~HttpServer() {
        ::shutdown(fd_, SHUT_RDWR);
        acceptor_.join();
        ::close(fd_);
        std::unique_lock lock(mutex_);
        for (const int fd : connections_) ::shutdown(fd, SHUT_RD);
        gone_.wait(lock, [this] { return connections_.empty(); });
    }

    std::uint16_t port() const { return port_; }

  private:
    void accept_all() {
        for (;;) {
            const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd < 0) return;
            const int on = 1;
            ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            const std::lock_guard lock(mutex_);
            connections_.insert(fd);
            std::thread([this, fd] { serve(fd); }).detach();
        }
    }

    void serve(int fd) {
        std::string rest;
        while (auto request = receive(fd, rest)) {
            const Message answer = handler_(*request);
            const std::string text = "HTTP/1.1 " + std::to_string(answer.status) +
                                     (answer.status == 200 ? " OK" : " Error") +
                                     "\r\nContent-Type: text/plain\r\nContent-Length: " +
                                     std::to_string(answer.body.size()) + "\r\n\r\n" + answer.body;
            if (!send_all(fd, text) || !request->keep_alive) break;
        }
        const std::lock_guard lock(mutex_);
        connections_.erase(fd);
        ::close(fd);
        gone_.notify_all();  // under the lock: the server may be gone right after it
    }

    Handler handler_;
    int fd_;
    std::uint16_t port_ = 0;
    std::mutex mutex_;
    std::condition_variable gone_;
    std::set<int> connections_;
    std::thread acceptor_;
};

enum class Failure { none, not_connected, timeout, cut_off };

// One GET on a connection of its own, within `limit`.
inline Failure get(
    const std::string& host,
    std::uint16_t port,
    const std::string& target,
    std::chrono::milliseconds limit,
    Message& answer
) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return Failure::not_connected;
    const auto micros = std::max<long>(1000, std::chrono::microseconds(limit).count());
    const timeval wait{.tv_sec = micros / 1'000'000, .tv_usec = micros % 1'000'000};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
    Failure failure = Failure::not_connected;
    if (::inet_pton(AF_INET, host.c_str(), &to.sin_addr) == 1 &&
        ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) {
        failure = Failure::cut_off;
        std::string rest;
        const auto begun = std::chrono::steady_clock::now();
        if (send_all(
                fd, "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"
            )) {
            if (auto message = receive(fd, rest)) {
                answer = std::move(*message);
                failure = Failure::none;
            } else if (std::chrono::steady_clock::now() - begun >= limit) {
                failure = Failure::timeout;
            }
        }
    }
    ::close(fd);
    return failure;
}

}  // namespace examples
