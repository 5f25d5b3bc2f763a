#pragma once

// VolatileLog: a CommandLog that keeps nothing: the registry without a data directory. Every batch
// is "durable" at once, so a restart begins empty. Owner's thread only; O(1).

#include "store/command_log.h"

namespace datapunk::mesh::registry::embedded {

class VolatileLog final : public store::CommandLog {
  public:
    Result<store::StoredState> load() override { return store::StoredState{}; }

    Result<> append(std::vector<std::string> records, AppendDone done) override {
        last_seq_ += records.size();
        done(last_seq_);
        return Ok{};
    }

    Result<> write_snapshot(std::string, std::uint64_t, SnapshotDone done) override {
        done(Ok{});
        return Ok{};
    }

    Result<> read_back(std::uint64_t, ReadDone) override {
        return Error{.code = Code::not_found, .what = "a log in memory keeps nothing"};
    }

    void shutdown() override {}

  private:
    std::uint64_t last_seq_ = 0;
};

}  // namespace datapunk::mesh::registry::embedded
