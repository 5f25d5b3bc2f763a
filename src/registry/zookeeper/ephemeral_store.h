#pragma once

// EphemeralStore: one owner's records in ZooKeeper, as ephemeral nodes of its session.
//
//   PREFIX/services/NAME/ID   the instance: an InstanceRecord
//   PREFIX/ids/ID             who holds the id: a Claim
//
// Names and ids are percent-encoded, for ZooKeeper's paths take less than an id may hold. The nodes
// above them are lasting and are made when they are missing. One loop's object.

#include <datapunk/mesh/result.h>

#include <optional>
#include <string>

#include "io/task.h"
#include "registry/held_registrations.h"
#include "registry/zookeeper/session.h"

namespace datapunk::mesh::registry::zookeeper {

std::string service_path(const std::string& prefix, std::string_view service);
std::string instance_path(const std::string& prefix, std::string_view service, std::string_view id);
std::string node_name(std::string_view text);

class EphemeralStore final : public RecordStore {
  public:
    explicit EphemeralStore(ZookeeperSession& session) : session_(session) {}

    io::Task<Result<std::uint64_t>> write(InstanceRecord record, bool takes_over, Instant deadline)
        override;
    io::Task<Result<>> erase(std::string id, std::string owner, Instant deadline) override;

    // The session goes on: watches need it.
    io::Task<void> let_go(Instant) override { co_return; }

    std::optional<Error> failing() const override { return session_.failing(); }

    // Whoever registered it.
    io::Task<Result<bool>> has(std::string id, Instant deadline);
    io::Task<Result<std::optional<Metadata>>> metadata_of(std::string id, Instant deadline);

  private:
    struct Found {
        std::optional<Claim> claim;
        Node node;
        bool has_instance = false;
    };

    std::string claim_path(std::string_view id) const;
    io::Task<Result<Found>> find(std::string id, Instant deadline);

    ZookeeperSession& session_;
};

}  // namespace datapunk::mesh::registry::zookeeper
