#pragma once

// Handing over from one process to the one that follows it (a new binary, say), so that nothing
// listens twice and nothing is refused: the listening sockets pass as SCM_RIGHTS through a Unix
// socket (SOCK_SEQPACKET, one message each) that the running process keeps at a path.
//
//     follower                          running process
//     "mesh-handover 1"          ->
//                                <-     "socket ADDRESS" + descriptor, each; then "end"
//     [ "release"                ->     gives up what only one process can have (a state file)
//                                <-     "released" ]
//     "ready"                    ->     stops listening, removes the path, drains
//                                <-     "yours"
//
// If the follower goes before "ready", the running process just goes on. Only processes of the same
// user, or root, are spoken to.

#include <datapunk/mesh/result.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/log.h"
#include "io/epoll_loop.h"
#include "io/foreign_fd.h"
#include "io/listening_sockets.h"
#include "io/owned_fd.h"
#include "io/task.h"

namespace datapunk::mesh::io {

// The running process's side. One loop's object.
class HandoverServer {
  public:
    struct Callbacks {
        std::function<void()> release;     // give up what only one can have
        std::function<void()> taken_over;  // the follower serves: drain
    };

    // Errors: another process is there (Code::conflict); the path cannot be bound.
    static Result<std::unique_ptr<HandoverServer>> open(
        EpollLoop& loop,
        const std::string& path,
        const ListeningSockets& sockets,
        Callbacks callbacks,
        core::Logger log
    );

    HandoverServer(const HandoverServer&) = delete;
    HandoverServer& operator=(const HandoverServer&) = delete;
    ~HandoverServer();

  private:
    HandoverServer(
        EpollLoop& loop,
        int fd,
        std::string path,
        const ListeningSockets& sockets,
        Callbacks callbacks,
        core::Logger log
    );

    Task<void> accept_loop();
    Task<void> converse(int fd);
    Task<Result<>> send_sockets(int fd);
    Task<Result<std::string>> receive(int fd, Instant deadline);
    Task<Result<>> send(int fd, std::string text, int passed);
    void stop_listening() noexcept;

    EpollLoop& loop_;
    OwnedFd fd_;
    std::unique_ptr<ForeignFd> watched_;
    std::string path_;
    const ListeningSockets& sockets_;
    Callbacks callbacks_;
    core::Logger log_;
    TaskGroup tasks_;
};

// The follower's side, before its loop runs: every call blocks, at most for the timeout.
class HandoverClient {
  public:
    // Nothing: nobody is there, so there is nothing to take over.
    static Result<std::optional<HandoverClient>> connect(const std::string& path, Duration timeout);

    HandoverClient(HandoverClient&& other) noexcept : fd_(other.fd_.release()) {}

    Result<> receive(ListeningSockets& into);
    Result<> release();
    Result<> finish();

  private:
    explicit HandoverClient(int fd) noexcept : fd_(fd) {}

    Result<> say(std::string_view word, std::string_view expected);

    OwnedFd fd_;
};

}  // namespace datapunk::mesh::io
