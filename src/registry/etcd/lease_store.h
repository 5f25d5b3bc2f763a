#pragma once

// LeaseStore: one owner's records in etcd, and the lease on which they hang.
//
//   none ─► granted, with the first record ─► renewed every ttl/3 ─► revoked, with the last one
//               ▲                                  │ it is over (we were cut off, or etcd lost its
//               └──────────────────────────────────┘ data): on_lost(), and all is written again
//
// One loop's object.

#include <datapunk/mesh/result.h>

#include <functional>
#include <optional>
#include <string>

#include "io/loop.h"
#include "io/task.h"
#include "registry/etcd/etcd_client.h"
#include "registry/etcd/keys.h"
#include "registry/held_registrations.h"

namespace datapunk::mesh::registry::etcd {

class LeaseStore final : public RecordStore {
  public:
    LeaseStore(EtcdClient& client, std::function<void()> on_lost);

    io::Task<Result<std::uint64_t>> write(InstanceRecord record, bool takes_over, Instant deadline)
        override;
    io::Task<Result<>> erase(std::string id, std::string owner, Instant deadline) override;
    io::Task<void> let_go(Instant deadline) override;

    std::optional<Error> failing() const override { return failing_; }

    // Whoever registered it.
    io::Task<Result<std::optional<Metadata>>> metadata_of(std::string id, Instant deadline);

  private:
    struct Found {
        std::optional<Claim> claim;
        std::uint64_t mod_revision = 0;
    };

    io::Task<Result<Found>> find(std::string id, Instant deadline);
    io::Task<Result<std::string>> lease(Instant deadline);
    void lose_lease();
    io::Task<void> keep();
    io::Task<void> renew();

    EtcdClient& client_;
    std::function<void()> on_lost_;
    std::string lease_;  // empty: none
    bool is_granting_ = false;
    bool is_keeping_ = false;
    Instant renew_at_ = kNever;
    std::optional<Error> failing_;
    io::Event granted_;
    io::Event changed_;
    io::TaskGroup tasks_;  // last: destroyed first
};

}  // namespace datapunk::mesh::registry::etcd
