#pragma once

// CustomBackend: a user's Registry behind the interface that the mesh uses. Waits for replies,
// which come on any thread; bounds them in time; stops exceptions; puts answers in order.
//
// The public interface takes callbacks. The alternative was blocking functions:
//
//     callbacks   void wait(service, after, longest, Reply<RegistryAnswer> reply);
//                 a registry with a client that blocks: pool.submit([=] { reply(client.get(…)); });
//     blocking    Result<RegistryAnswer> wait(service, after, longest);
//                 the mesh needs a thread per service that is watched, and cannot cancel one
//
// A user can turn blocking into callbacks with the threads that he has anyway; the mesh could not
// turn a hundred blocked watches back into one thread.
//
// One loop's object; the replies are anybody's.

#include <datapunk/mesh/registry.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/log.h"
#include "io/loop.h"
#include "registry/backend.h"

namespace datapunk::mesh::internal {

class CustomBackend final : public registry::Backend {
  public:
    // Errors: no registry, or a kind that no metric can have.
    static Result<std::unique_ptr<CustomBackend>> create(
        io::Loop& loop, std::shared_ptr<Registry> registry
    );
    ~CustomBackend() override;

    std::string_view kind() const noexcept override { return kind_; }

    registry::Capabilities capabilities() const noexcept override { return capabilities_; }

    io::Task<Result<>> register_service(ServiceConfig config, Instant deadline) override;
    io::Task<Result<>> deregister_service(std::string id, Instant deadline) override;
    io::Task<Result<bool>> has_service(std::string id, Instant deadline) override;
    io::Task<Result<>> heartbeat(std::string id, Health health, std::string note, Instant deadline)
        override;
    io::Task<Result<registry::Answer>> wait(
        std::string service, std::uint64_t after, Duration longest, Instant deadline
    ) override;
    io::Task<Result<std::vector<registry::ServiceSummary>>> services(Instant deadline) override;

  private:
    // How a reply finds the loop. Null once the backend is gone.
    struct Link {
        std::mutex mutex;
        io::Loop* loop = nullptr;
    };

    template <class T>
    struct Call;

    CustomBackend(io::Loop& loop, std::shared_ptr<Registry> registry);

    template <class T>
    Reply<T> reply_to(const std::shared_ptr<Call<T>>& call) const;
    // Runs `start` with a Reply and waits for it. Nothing: the deadline came.
    template <class T, class Start>
    io::Task<std::optional<Result<T>>> ask(Start start, Instant deadline);
    Error late() const;

    io::Loop& loop_;
    const std::shared_ptr<Registry> registry_;
    std::string kind_;
    registry::Capabilities capabilities_;
    const std::shared_ptr<Link> link_ = std::make_shared<Link>();
};

}  // namespace datapunk::mesh::internal
