#include "io/handover.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

namespace datapunk::mesh::io {

namespace {

constexpr std::string_view kHello = "mesh-handover 1";
constexpr std::string_view kSocket = "socket ";
constexpr std::size_t kMessageBytesMax = 256;
constexpr std::size_t kSocketsMax = 4096;  // listeners x workers, and more than anybody has
// From the sockets to "ready": the follower learns meanwhile where its services are.
constexpr Duration kPatience = std::chrono::minutes(5);
constexpr Duration kAnswerTime = std::chrono::seconds(10);

Result<sockaddr_un> unix_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
        return Error{
            .code = Code::invalid,
            .what = fmt::format(
                "the path of a Unix socket has 1 to {} bytes, \"{}\" has {}",
                sizeof address.sun_path - 1,
                path,
                path.size()
            )
        };
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

Error failed(std::string_view what, const std::string& path, int error) {
    return {
        .code = Code::unavailable,
        .what = fmt::format("handover: {} {}: {}", what, path, std::strerror(error))
    };
}

int connect_unix(const sockaddr_un& address) noexcept {
    const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
    const int error = errno;
    ::close(fd);
    return -error;
}

// One message, with a descriptor if `passed` >= 0. 0 or an errno.
int send_message(int fd, std::string_view text, int passed) noexcept {
    iovec piece{.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    if (passed >= 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(rights), &passed, sizeof passed);
    }
    return ::sendmsg(fd, &message, MSG_NOSIGNAL) >= 0 ? 0 : errno;
}

struct Message {
    std::string text;
    int passed = -1;  // the reader's
};

// An empty text: the other side has gone.
Result<Message> receive_message(int fd) {
    std::array<char, kMessageBytesMax> text{};
    iovec piece{.iov_base = text.data(), .iov_len = text.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (got < 0) {
        const int error = errno;
        const bool late = error == EAGAIN || error == EWOULDBLOCK;
        return Error{
            .code = late ? Code::timeout : Code::unavailable,
            .what = fmt::format(
                "handover: {}", late ? "the other process does not answer" : std::strerror(error)
            )
        };
    }
    Message received{.text = std::string(text.data(), static_cast<std::size_t>(got))};
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        std::memcpy(&received.passed, CMSG_DATA(part), sizeof received.passed);
    }
    return received;
}

bool is_trusted(int fd) noexcept {
    ucred peer{};
    socklen_t size = sizeof peer;
    return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == ::geteuid() || peer.uid == 0);
}

}  // namespace

Result<std::unique_ptr<HandoverServer>> HandoverServer::open(
    EpollLoop& loop,
    const std::string& path,
    const ListeningSockets& sockets,
    Callbacks callbacks,
    core::Logger log
) {
    const auto address = unix_address(path);
    if (!address) return address.error();
    if (const int other = connect_unix(*address); other >= 0) {
        ::close(other);
        return Error{
            .code = Code::conflict,
            .what = fmt::format(
                "another agent runs here: it answers at {} (--take-over takes its place)", path
            )
        };
    }
    // Nobody answers: what is there was left by a process that died.
    struct stat found{};
    if (::lstat(path.c_str(), &found) == 0) {
        if (!S_ISSOCK(found.st_mode)) {
            return Error{
                .code = Code::invalid, .what = fmt::format("{} is there and is not a socket", path)
            };
        }
        ::unlink(path.c_str());
    }
    const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return failed("socket", path, errno);
    const mode_t mask = ::umask(0177);
    const int bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof *address);
    const int error = errno;
    ::umask(mask);
    if (bound != 0 || ::listen(fd, 4) != 0) {
        ::close(fd);
        return failed("bind", path, bound != 0 ? error : errno);
    }
    std::unique_ptr<HandoverServer> server(
        new HandoverServer(loop, fd, path, sockets, std::move(callbacks), std::move(log))
    );
    auto watched = ForeignFd::create(loop, server->fd_.get());
    if (!watched) return std::move(watched).error();
    server->watched_ = *std::move(watched);
    server->tasks_.spawn(server->accept_loop());
    return server;
}

HandoverServer::HandoverServer(
    EpollLoop& loop,
    int fd,
    std::string path,
    const ListeningSockets& sockets,
    Callbacks callbacks,
    core::Logger log
)
    : loop_(loop),
      fd_(fd),
      path_(std::move(path)),
      sockets_(sockets),
      callbacks_(std::move(callbacks)),
      log_(std::move(log)) {}

HandoverServer::~HandoverServer() {
    tasks_.cancel();
    stop_listening();
}

void HandoverServer::stop_listening() noexcept {
    if (fd_.get() < 0) return;
    ::unlink(path_.c_str());
    watched_.reset();
    fd_.reset();
}

// One follower at a time: who comes meanwhile waits in the socket's queue.
Task<void> HandoverServer::accept_loop() {
    while (watched_ != nullptr) {
        const FdReady wanted{.readable = true};
        co_await watched_->ready(wanted, kNever);
        const OwnedFd follower(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)
        );
        if (follower.get() < 0) continue;
        if (is_trusted(follower.get())) {
            co_await converse(follower.get());
        } else {
            log_.warn("handover: asked by another user, who was sent away");
        }
    }
}

Task<void> HandoverServer::converse(int fd) {
    auto hello = co_await receive(fd, loop_.now() + kAnswerTime);
    if (!hello) co_return;
    if (*hello != kHello) {
        log_.warn("handover: a process of another version asked", {{"said", *hello}});
        std::string refusal = fmt::format("error: this process speaks \"{}\"", kHello);
        auto told = co_await send(fd, refusal, -1);
        if (!told) log_.warn("handover", {{"why", told.error().what}});
        co_return;
    }
    auto sent = co_await send_sockets(fd);
    if (!sent) co_return;
    for (;;) {
        auto word = co_await receive(fd, loop_.now() + kPatience);
        if (!word) {
            log_.warn(
                "handover: the process that was to follow has gone: this one goes on",
                {{"why", word.error().what}}
            );
            co_return;
        }
        if (*word == "release") {
            callbacks_.release();
            auto told = co_await send(fd, "released", -1);
            if (!told) log_.error("handover", {{"why", told.error().what}});
        } else if (*word == "ready") {
            // The path first: the follower makes its own there.
            stop_listening();
            auto told = co_await send(fd, "yours", -1);
            if (!told) log_.error("handover", {{"why", told.error().what}});
            callbacks_.taken_over();
            co_return;
        } else {
            co_return;
        }
    }
}

Task<Result<>> HandoverServer::send_sockets(int fd) {
    std::vector<ListeningSockets::Socket> copies = sockets_.duplicates();
    Result<> sent = Ok{};
    for (const ListeningSockets::Socket& socket : copies) {
        if (sent) {
            std::string text = fmt::format("{}{}", kSocket, socket.at.to_string());
            sent = co_await send(fd, text, socket.fd);
        }
        ::close(socket.fd);
    }
    if (sent) sent = co_await send(fd, "end", -1);
    co_return sent;
}

Task<Result<std::string>> HandoverServer::receive(int fd, Instant deadline) {
    auto watched = ForeignFd::create(loop_, fd);
    if (!watched) co_return std::move(watched).error();
    const FdReady wanted{.readable = true};
    const FdReady is = co_await (*watched)->ready(wanted, deadline);
    if (!is.readable) co_return Error{.code = Code::timeout, .what = "it said nothing more"};
    auto message = receive_message(fd);
    if (!message) co_return std::move(message).error();
    if (message->passed >= 0) ::close(message->passed);  // nobody asked for it
    if (message->text.empty())
        co_return Error{.code = Code::unavailable, .what = "it closed the conversation"};
    co_return std::move(message->text);
}

Task<Result<>> HandoverServer::send(int fd, std::string text, int passed) {
    for (;;) {
        const int error = send_message(fd, text, passed);
        if (error == 0) co_return Ok{};
        if (error != EAGAIN) co_return failed("send", path_, error);
        auto watched = ForeignFd::create(loop_, fd);
        if (!watched) co_return std::move(watched).error();
        const FdReady wanted{.writable = true};
        const FdReady is = co_await (*watched)->ready(wanted, loop_.now() + kAnswerTime);
        if (!is.writable) co_return failed("send", path_, ETIMEDOUT);
    }
}

Result<std::optional<HandoverClient>> HandoverClient::connect(
    const std::string& path, Duration timeout
) {
    const auto address = unix_address(path);
    if (!address) return address.error();
    const int fd = connect_unix(*address);
    if (fd == -ENOENT || fd == -ECONNREFUSED) return std::optional<HandoverClient>();
    if (fd < 0) return failed("connect to", path, -fd);
    HandoverClient client(fd);
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(timeout).count();
    const timeval limit{.tv_sec = us / 1'000'000, .tv_usec = us % 1'000'000};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return std::optional<HandoverClient>(std::move(client));
}

Result<> HandoverClient::receive(ListeningSockets& into) {
    if (const int error = send_message(fd_.get(), kHello, -1); error != 0)
        return failed("send", "", error);
    for (std::size_t i = 0; i < kSocketsMax; ++i) {
        auto message = receive_message(fd_.get());
        if (!message) return std::move(message).error();
        if (message->text == "end") return Ok{};
        const bool is_socket = message->text.starts_with(kSocket) && message->passed >= 0;
        auto at = is_socket ? parse_address(std::string_view(message->text).substr(kSocket.size()))
                            : Result<SocketAddress>(Error{});
        if (!at) {
            if (message->passed >= 0) ::close(message->passed);
            return Error{
                .code = Code::invalid,
                .what = fmt::format("handover: the running process said \"{}\"", message->text)
            };
        }
        into.give(*at, message->passed);
    }
    return Error{.code = Code::exhausted, .what = "handover: more sockets than a process has"};
}

Result<> HandoverClient::release() {
    return say("release", "released");
}

Result<> HandoverClient::finish() {
    return say("ready", "yours");
}

Result<> HandoverClient::say(std::string_view word, std::string_view expected) {
    if (const int error = send_message(fd_.get(), word, -1); error != 0)
        return failed("send", "", error);
    auto message = receive_message(fd_.get());
    if (!message) return std::move(message).error();
    if (message->passed >= 0) ::close(message->passed);
    if (message->text == expected) return Ok{};
    return Error{
        .code = Code::invalid,
        .what = fmt::format("handover: the running process said \"{}\"", message->text)
    };
}

}  // namespace datapunk::mesh::io
