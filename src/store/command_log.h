#pragma once

// CommandLog: durable state as a log of opaque records and, now and then, a snapshot that replaces
// the log's beginning. Commands are logged before they are applied, so nobody ever sees state that
// a crash could take back:
//
//     append(records) ──> durable ──> done(seq) ──> the owner applies them
//     start: load() ──> snapshot + the entries after it ──> the owner applies those
//
// Two implementations: SqliteLog (files) and MemoryLog (tests and simulation, seeded faults).
// One owner thread calls everything; `done` runs on the log's own thread, so the owner posts to its
// loop from there and does nothing else.

#include <datapunk/mesh/result.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/function.h"

namespace datapunk::mesh::store {

// Write a snapshot when so many entries lie behind the last one: replaying them takes some 20 ms,
// and the file stays at a few megabytes.
inline constexpr std::uint64_t kSnapshotAfterEntries = 10'000;

struct StoredEntry {
    std::uint64_t seq = 0;  // 1, 2, 3, … without a gap
    std::string bytes;
    friend bool operator==(const StoredEntry&, const StoredEntry&) = default;
};

struct StoredSnapshot {
    std::uint64_t up_to_seq = 0;  // holds the effect of every entry up to and with this one
    std::string bytes;
    friend bool operator==(const StoredSnapshot&, const StoredSnapshot&) = default;
};

struct StoredState {
    std::optional<StoredSnapshot> snapshot;
    std::vector<StoredEntry> entries;  // those after the snapshot
    friend bool operator==(const StoredState&, const StoredState&) = default;
};

class CommandLog {
  public:
    // The seq of the batch's last record. On an error nothing of the batch is kept.
    using AppendDone = core::UniqueFunction<void(Result<std::uint64_t>)>;
    using SnapshotDone = core::UniqueFunction<void(Result<>)>;
    using ReadDone = core::UniqueFunction<void(Result<StoredState>)>;

    virtual ~CommandLog() = default;

    // Once, before anything else. An error means that the state is damaged and was left alone.
    [[nodiscard]] virtual Result<StoredState> load() = 0;
    // Batches become durable in the order of the calls, each wholly or not at all. An error here
    // (queue full, shut down) means that the batch was not taken and `done` is never called.
    [[nodiscard]] virtual Result<> append(std::vector<std::string> records, AppendDone done) = 0;
    // Replaces all entries up to and with up_to_seq, in one transaction.
    [[nodiscard]] virtual Result<> write_snapshot(
        std::string bytes, std::uint64_t up_to_seq, SnapshotDone done
    ) = 0;
    // Gives back what load() would give now, up to and with up_to_seq: what it is made of may be
    // folded into one state without the owner's help. `done` runs on a thread of its own and may
    // take as long as it likes; one at a time. An error here: not taken.
    [[nodiscard]] virtual Result<> read_back(std::uint64_t up_to_seq, ReadDone done) = 0;
    // Finishes what was taken, then stops. Not from inside `done`.
    virtual void shutdown() = 0;
};

}  // namespace datapunk::mesh::store
