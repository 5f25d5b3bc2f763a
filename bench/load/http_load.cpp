#include "http_load.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace datapunk::mesh::load {

namespace {

[[noreturn]] void give_up(std::string_view what) {
    fmt::print(stderr, "registry_load: {}: {}\n", what, std::strerror(errno));
    std::exit(1);
}

std::string_view header(std::string_view head, std::string_view name) {
    for (std::size_t at = head.find("\r\n"); at != std::string_view::npos;
         at = head.find("\r\n", at + 2)) {
        const std::string_view line = head.substr(at + 2);
        if (line.size() <= name.size() || line[name.size()] != ':') continue;
        const bool same = std::equal(
            name.begin(),
            name.end(),
            line.begin(),
            [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); }
        );
        if (!same) continue;
        std::string_view value = line.substr(name.size() + 1);
        value = value.substr(0, value.find("\r\n"));
        while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
        return value;
    }
    return {};
}

std::uint64_t number(std::string_view text) {
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

}  // namespace

double in_ms(Clock::duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
}

std::string get_request(std::string_view target) {
    return fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", target);
}

std::string put_request(std::string_view target, std::string_view body) {
    return fmt::format(
        "PUT {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: {}\r\n\r\n{}",
        target,
        body.size(),
        body
    );
}

double percentile(const std::vector<double>& sorted, double share) {
    if (sorted.empty()) return 0;
    const auto at = static_cast<std::size_t>(share * static_cast<double>(sorted.size()));
    return sorted[std::min(at, sorted.size() - 1)];
}

HttpLoad::HttpLoad(std::uint16_t port) : port_(port), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) give_up("epoll");
}

HttpLoad::~HttpLoad() {
    for (const Connection& connection : connections_) {
        if (connection.fd >= 0) ::close(connection.fd);
    }
    ::close(epoll_);
}

std::size_t HttpLoad::connect() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) give_up("socket");
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port_);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) give_up("connect");
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const std::size_t number = connections_.size();
    connections_.push_back({.fd = fd, .head = {}, .answer = {}});
    epoll_event event{.events = EPOLLIN, .data = {.u64 = number}};
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) give_up("epoll_ctl");
    return number;
}

void HttpLoad::disconnect(std::size_t connection) {
    ::close(connections_[connection].fd);
    connections_[connection].fd = -1;
}

void HttpLoad::send(std::size_t connection, const std::string& request) {
    std::string_view left = request;
    while (!left.empty()) {  // blocking: requests are small
        const ssize_t sent =
            ::send(connections_[connection].fd, left.data(), left.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) {
            ++failures_;
            return;
        }
        left.remove_prefix(static_cast<std::size_t>(sent));
    }
}

bool HttpLoad::parse_head(Connection& connection, std::size_t head_bytes) {
    const std::string_view head = std::string_view(connection.head).substr(0, head_bytes);
    const std::size_t beyond = connection.head.size() - head_bytes;
    if (!head.starts_with("HTTP/1.1 ")) return false;
    LoadAnswer& answer = connection.answer;
    answer.status = static_cast<int>(number(head.substr(9, 3)));
    answer.index = number(header(head, "X-Consul-Index"));
    const std::string_view length = header(head, "Content-Length");
    connection.is_chunked = header(head, "Transfer-Encoding") == "chunked";
    if (length.empty() && !connection.is_chunked) return false;
    answer.body_bytes = number(length);
    connection.in_body = true;
    if (connection.is_chunked) {
        const std::string rest = connection.head.substr(head_bytes);
        connection.head.clear();
        connection.tail.clear();
        connection.body_left = 1;
        return take_chunked(connection, rest);
    }
    if (beyond > answer.body_bytes) return false;  // nothing was asked that could follow
    connection.body_left = answer.body_bytes - beyond;
    connection.head.clear();
    return true;
}

// Where the body ends is all that matters: JSON has no line ends of its own.
bool HttpLoad::take_chunked(Connection& connection, std::string_view bytes) {
    constexpr std::string_view kEnd = "\r\n0\r\n\r\n";
    connection.answer.body_bytes += bytes.size();
    connection.tail += bytes;
    if (connection.tail.size() > kEnd.size()) {
        connection.tail.erase(0, connection.tail.size() - kEnd.size());
    }
    if (connection.tail == kEnd) connection.body_left = 0;
    return true;
}

// False: the connection is no good any more.
bool HttpLoad::read(Connection& connection) {
    static std::array<char, 65536> bytes;
    for (;;) {
        if (connection.in_body && connection.body_left == 0) return true;
        ssize_t got = 0;
        if (connection.in_body && !connection.is_chunked) {
            // The kernel throws the bytes away; nothing is copied.
            constexpr std::uint64_t kAtOnce = 1UL << 20;
            got = ::recv(
                connection.fd,
                nullptr,
                std::min(connection.body_left, kAtOnce),
                MSG_TRUNC | MSG_DONTWAIT
            );
        } else {
            const std::size_t room = connection.in_body ? bytes.size() : 4096;
            got = ::recv(connection.fd, bytes.data(), room, MSG_DONTWAIT);
        }
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return true;
        if (got <= 0) return false;
        if (connection.in_body && connection.is_chunked) {
            take_chunked(connection, {bytes.data(), static_cast<std::size_t>(got)});
            continue;
        }
        if (connection.in_body) {
            connection.body_left -= static_cast<std::uint64_t>(got);
            continue;
        }
        connection.head.append(bytes.data(), static_cast<std::size_t>(got));
        const std::size_t end = connection.head.find("\r\n\r\n");
        if (end == std::string::npos) continue;
        if (!parse_head(connection, end + 4)) return false;
    }
}

bool HttpLoad::run(
    const Answered& answered, const std::function<bool()>& is_enough, Clock::time_point until
) {
    std::array<epoll_event, 256> events;
    while (!is_enough()) {
        const auto left = until - Clock::now();
        if (left <= Clock::duration::zero()) return false;
        const auto wait = std::chrono::ceil<std::chrono::milliseconds>(left).count();
        const int ready = ::epoll_wait(
            epoll_,
            events.data(),
            static_cast<int>(events.size()),
            static_cast<int>(std::min<std::int64_t>(wait, 1000))
        );
        for (int i = 0; i < ready; ++i) {
            const auto number =
                static_cast<std::size_t>(events[static_cast<std::size_t>(i)].data.u64);
            Connection& connection = connections_[number];
            if (connection.fd < 0) continue;
            if (!read(connection)) {
                ++failures_;
                disconnect(number);
                continue;
            }
            if (!connection.in_body || connection.body_left > 0) continue;
            connection.in_body = false;
            LoadAnswer answer = connection.answer;
            answer.at = Clock::now();
            answered(number, answer);
        }
    }
    return true;
}

LoadAnswer HttpLoad::ask(std::size_t connection, const std::string& request) {
    LoadAnswer got;
    bool is_done = false;
    send(connection, request);
    const bool in_time = run(
        [&](std::size_t number, const LoadAnswer& answer) {
            if (number != connection) give_up("an answer that was not asked for");
            got = answer;
            is_done = true;
        },
        [&] { return is_done || failures_ > 0; },
        Clock::now() + std::chrono::seconds(60)
    );
    if (!in_time || !is_done) give_up("no answer");
    return got;
}

}  // namespace datapunk::mesh::load
