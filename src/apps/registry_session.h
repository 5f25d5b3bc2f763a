#pragma once

// RegistrySession: a loop, a network and a connection to the registry for one command-line command.

#include <memory>

#include "apps/commands.h"
#include "http/message.h"
#include "io/epoll_loop.h"
#include "io/tcp.h"
#include "registry/consul/consul_backend.h"

namespace datapunk::mesh::apps {

class RegistrySession {
  public:
    // Errors are about the address or the environment, not about reaching it.
    static Result<std::unique_ptr<RegistrySession>> open(const RegistryAccess& access);

    registry::Backend& backend() noexcept { return *backend_; }

    // What the backend has no word for: this request as it is, with the token. The answer may be
    // as large as a snapshot.
    io::Task<Result<http::Response>> fetch(http::Request request);

    io::EpollLoop& loop() noexcept { return *loop_; }

    Instant deadline() const noexcept { return loop_->now() + timeout_; }

    // Runs the task to its end.
    template <class T>
    T run(io::Task<T> task) {
        std::optional<T> result;
        io::TaskGroup group;
        group.spawn(keep(std::move(task), result));
        while (!result) loop_->turn(kNever);
        return *std::move(result);
    }

  private:
    RegistrySession() = default;

    template <class T>
    static io::Task<void> keep(io::Task<T> task, std::optional<T>& out) {
        T value = co_await std::move(task);
        out.emplace(std::move(value));
    }

    std::unique_ptr<io::EpollLoop> loop_;
    std::unique_ptr<io::KernelNetwork> network_;
    registry::consul::ConsulConfig config_;
    std::unique_ptr<registry::Backend> backend_;
    Duration timeout_;
};

// Prints the error to standard error; the exit code that fits it.
int report(const Error& error);

}  // namespace datapunk::mesh::apps
