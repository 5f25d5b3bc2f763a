#pragma once

// The disk snapshot: the last good sets in one file, so that a process which starts while the
// registry is away still knows where to call.
//
//     dpmesh-snapshot 1 <saved at, ms since 1970> <bytes of the body> <checksum of all that>\n
//     {"v":1,"sets":[…]}
//
// Written whole and renamed into place, off the loop, after a jittered delay that makes one write
// of many changes. What does not match its checksum is not used, not even in part. Ages are those
// at the time of saving; the time since is the wall clock's, and a clock that went back makes it
// zero.

#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "discovery/set_codec.h"
#include "io/files.h"
#include "io/loop.h"

namespace datapunk::mesh::discovery {

struct Snapshot {
    WallTime saved_at{};
    std::vector<AgedSet> sets;  // ages as of saved_at
};

// 10,000 services with ten endpoints each are some 20 MB.
inline constexpr std::size_t kSnapshotBytesMax = 256U << 20U;

std::string encode_snapshot(const Snapshot& snapshot);
// Errors: invalid, with what is wrong.
Result<Snapshot> decode_snapshot(std::string_view bytes);

// Encodes and writes on a thread of its own, the latest snapshot if several wait. Its loop's
// object, but for what the thread does.
class SnapshotWriter {
  public:
    enum class Where : std::uint8_t { thread, loop };  // loop: at once; for simulations
    using Done = std::function<void(Result<>)>;        // on the loop

    // `files` outlives it.
    SnapshotWriter(io::Loop& loop, io::Files& files, std::string path, Where where);
    // Finishes the write that is under way, and the last one that waits.
    ~SnapshotWriter();
    SnapshotWriter(const SnapshotWriter&) = delete;
    SnapshotWriter& operator=(const SnapshotWriter&) = delete;

    void write(Snapshot snapshot, Done done);

  private:
    struct Order {
        Snapshot snapshot;
        Done done;
    };

    void work();

    io::Loop& loop_;
    io::Files& files_;
    const std::string path_;
    std::shared_ptr<bool> is_alive_ = std::make_shared<bool>(true);  // of the loop's thread
    std::mutex mutex_;
    std::condition_variable ordered_;
    std::optional<Order> order_;
    bool is_ending_ = false;
    std::thread thread_;
};

}  // namespace datapunk::mesh::discovery
