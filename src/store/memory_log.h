#pragma once

// MemoryLog: a CommandLog without files, for tests and simulation. Nothing happens before run(),
// which finishes everything queued as one group, on the caller's thread. A MemoryDisk outlives its
// logs: a new MemoryLog on it is a restart, and what was still queued is lost, as in a crash.

#include <deque>
#include <memory>

#include "core/rng.h"
#include "store/command_log.h"

namespace datapunk::mesh::store {

struct MemoryDisk {
    StoredState state;
    std::uint64_t last_seq = 0;
};

struct MemoryFaults {
    std::uint64_t seed = 1;
    double write_error = 0;  // probability that a batch or snapshot fails; nothing of it is kept
};

class MemoryLog final : public CommandLog {
  public:
    explicit MemoryLog(std::shared_ptr<MemoryDisk> disk, MemoryFaults faults = {});

    Result<StoredState> load() override;
    Result<> append(std::vector<std::string> records, AppendDone done) override;
    Result<> write_snapshot(std::string bytes, std::uint64_t up_to_seq, SnapshotDone done) override;
    Result<> read_back(std::uint64_t up_to_seq, ReadDone done) override;
    void shutdown() override;

    // Does what is queued, also what the callbacks queue meanwhile. Returns how many jobs.
    std::size_t run();

  private:
    std::shared_ptr<MemoryDisk> disk_;
    MemoryFaults faults_;
    core::Rng rng_;
    std::deque<core::UniqueFunction<void()>> queue_;
    bool is_shut_down_ = false;
};

}  // namespace datapunk::mesh::store
