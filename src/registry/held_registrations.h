#pragma once

// HeldRegistrations: what this process has registered in a registry that only stores records for as
// long as our lease or session lives (etcd, ZooKeeper). The store writes; this decides what and
// when.
//
//   put ─► held ─► removed
//            │ the store lost all (lease or session over): all written again
//            │ a ttl check without heartbeats: written as critical
//            │ a write failed: tried again until it works
//            └ another process has taken the id: left alone
//
// Writes of one id happen one after the other. One loop's object.

#include <datapunk/mesh/registration.h>
#include <datapunk/mesh/result.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/log.h"
#include "io/loop.h"
#include "io/task.h"
#include "registry/instance_record.h"

namespace datapunk::mesh::registry {

// Where the records of one owner stand.
class RecordStore {
  public:
    virtual ~RecordStore() = default;

    // Puts the record, in place of an older one of its id; `takes_over`: also of another owner's.
    // Its generation: one more than that of whom it takes over from. Code::conflict: another owner
    // has the id.
    virtual io::Task<Result<std::uint64_t>> write(
        InstanceRecord record, bool takes_over, Instant deadline
    ) = 0;
    // Code::not_found if there is none. `owner` not empty: nor if it is another's.
    virtual io::Task<Result<>> erase(std::string id, std::string owner, Instant deadline) = 0;
    // This process holds nothing any more.
    virtual io::Task<void> let_go(Instant deadline) = 0;
    // Why the lease or session could not be renewed last time.
    virtual std::optional<Error> failing() const = 0;
};

class HeldRegistrations {
  public:
    // `store` must outlive it. `retry_timeout`: of a write that nobody waits for.
    HeldRegistrations(
        io::Loop& loop,
        RecordStore& store,
        std::string node,
        Duration retry_timeout,
        core::Logger log
    );

    // As Backend's of the same meaning.
    io::Task<Result<>> put(ServiceConfig config, Instant deadline);
    io::Task<Result<>> remove(std::string id, Instant deadline);
    io::Task<Result<>> beat(std::string id, Health health, std::string note, Instant deadline);

    // The lease or session is over: nothing of ours is there any more.
    void lost_all();

    bool empty() const noexcept { return entries_.empty(); }

    // Of the records: unique to this object.
    const std::string& owner() const noexcept { return owner_; }

  private:
    struct Entry;
    using EntryPtr = std::shared_ptr<Entry>;
    class Turn;

    io::Task<Result<Turn>> take_turn(EntryPtr entry, Instant deadline);
    io::Task<Result<>> write(EntryPtr entry, bool takes_over, Instant deadline);
    void forget(const EntryPtr& entry);
    void mark_dirty(Entry& entry);

    io::Task<void> keep();
    io::Task<void> refresh(EntryPtr entry);
    Instant next_event() const;
    void note_expired();

    io::Loop& loop_;
    RecordStore& store_;
    std::string node_;
    std::string owner_;
    Duration retry_timeout_;
    core::Logger log_;
    bool is_keeping_ = false;
    Instant retry_at_ = kNever;  // what is dirty is written again
    std::uint64_t losses_ = 0;
    io::Event changed_;
    std::map<std::string, EntryPtr, std::less<>> entries_;  // by id
    io::TaskGroup tasks_;                                   // last: destroyed first
};

}  // namespace datapunk::mesh::registry
