#pragma once

// LeasedRegistrations: what this process has registered in etcd, and the lease that keeps it there.
//
//   put ─► kept: the lease is renewed every ttl/3 ─► removed; the last one revokes the lease
//             │ the lease is over (we were cut off, or etcd lost its data): a new one, all put
//             again │ a ttl check without heartbeats: put as critical └ another process has taken
//             the id: left alone
//
// Writes of one id happen one after the other. One loop's object.

#include <datapunk/mesh/registration.h>
#include <datapunk/mesh/result.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/loop.h"
#include "io/task.h"
#include "registry/etcd/etcd_client.h"
#include "registry/etcd/keys.h"

namespace datapunk::mesh::registry::etcd {

class LeasedRegistrations {
  public:
    explicit LeasedRegistrations(EtcdClient& client);

    // As Backend's of the same meaning.
    io::Task<Result<>> put(ServiceConfig config, Instant deadline);
    io::Task<Result<>> remove(std::string id, Instant deadline);
    io::Task<Result<bool>> has(std::string id, Instant deadline);
    io::Task<Result<>> beat(std::string id, Health health, std::string note, Instant deadline);

    const std::string& owner() const noexcept { return owner_; }

  private:
    struct Entry;
    using EntryPtr = std::shared_ptr<Entry>;
    class Turn;

    struct Found {
        std::optional<Claim> claim;
        std::uint64_t mod_revision = 0;
    };

    io::Task<Result<Turn>> take_turn(EntryPtr entry, Instant deadline);
    io::Task<Result<Found>> find(std::string id, Instant deadline);
    io::Task<Result<std::string>> lease(Instant deadline);
    // Puts the entry as it is now. `takes_over`: also if the id is another's.
    io::Task<Result<>> write(EntryPtr entry, bool takes_over, Instant deadline);
    io::Task<Result<>> erase(std::string id, bool is_ours, Instant deadline);
    io::Task<void> revoke(Instant deadline);

    io::Task<void> keep();
    io::Task<void> renew();
    io::Task<void> refresh(EntryPtr entry);
    Instant next_event() const;
    void note_expired();
    void lose_lease();
    void mark_dirty(Entry& entry);

    EtcdClient& client_;
    std::string owner_;
    std::string lease_;  // empty: none
    bool is_granting_ = false;
    bool is_keeping_ = false;
    Instant renew_at_ = kNever;
    Instant retry_at_ = kNever;     // what is dirty is written again
    std::optional<Error> failing_;  // of the last renewal
    io::Event granted_;
    io::Event changed_;
    std::map<std::string, EntryPtr, std::less<>> entries_;  // by id
    io::TaskGroup tasks_;                                   // last: destroyed first
};

}  // namespace datapunk::mesh::registry::etcd
