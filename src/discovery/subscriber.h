#pragma once

// Subscriber: one watch of a service. It is called in its own time, later in the turn, with the
// difference to what it was told last: several changes in between come as one. Internal.

#include <datapunk/mesh/endpoint.h>

#include <memory>
#include <utility>

#include "discovery/followed_service.h"
#include "io/loop.h"

namespace datapunk::mesh::discovery {

class Subscriber final : public io::Ready, public std::enable_shared_from_this<Subscriber> {
  public:
    Subscriber(FollowedService& service, ChangeCallback callback)
        : service_(&service), callback_(std::move(callback)) {}

    // No call after this one.
    void stop();
    // The service is going away.
    void orphan() noexcept;

  private:
    void run() override;

    FollowedService* service_;  // null once stopped
    ChangeCallback callback_;
    EndpointSetPtr told_;
};

}  // namespace datapunk::mesh::discovery
