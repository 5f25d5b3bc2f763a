#pragma once

// UpstreamPool: one worker's connections to endpoints. Idle ones are kept per address and reused
// last in, first out, so that surplus ones age out; before reuse a connection is checked for the
// peer's goodbye without a system call in the usual case. One loop's object.
//
//   take_idle, else connect -> exchange -> put_idle, or destroy
//
// A service may have so many connections, over all workers (LimitsConfig::connections). At the
// limit the worker's longest idle connection of that service to another endpoint makes room; if
// there is none, connecting fails with Code::exhausted: calls do not queue for connections.

#include <datapunk/mesh/result.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "http/message_reader.h"
#include "io/network.h"
#include "io/task.h"
#include "metrics/handles.h"

namespace datapunk::mesh::proxy {

struct UpstreamPoolConfig {
    std::size_t idle_per_endpoint_max = 256;
    // Below the idle timeout of the servers in use (Node 5 s, gunicorn 2 s are the shortest known;
    // the alive check covers those).
    Duration idle_timeout = std::chrono::seconds(50);
    Duration connect_timeout = std::chrono::seconds(1);
    std::size_t head_bytes_max = 60UL * 1024;
};

// The connections of one service, over all workers. Thread-safe.
struct ConnectionQuota {
    std::atomic<std::uint32_t> open{0};
    std::uint32_t max = 1024;
};

// Where one worker counts one service's connections. Outlives them.
struct UpstreamUse {
    ConnectionQuota* quota = nullptr;  // null: unlimited
    metrics::Gauge open;
    metrics::Counter created;
    metrics::Counter failed;
};

// The right to one connection; given back when it ends. Made from nothing, it is none.
class ConnectionSlot {
  public:
    ConnectionSlot() = default;
    // Whether there was room is said by operator bool.
    ConnectionSlot(UpstreamUse& use, std::uint64_t& open) noexcept;

    ConnectionSlot(ConnectionSlot&& other) noexcept
        : use_(std::exchange(other.use_, nullptr)), open_(other.open_) {}

    ConnectionSlot& operator=(ConnectionSlot&& other) noexcept {
        std::swap(use_, other.use_);
        std::swap(open_, other.open_);
        return *this;
    }

    ~ConnectionSlot();

    explicit operator bool() const noexcept { return use_ != nullptr; }

    bool belongs_to(const UpstreamUse& use) const noexcept { return use_ == &use; }

  private:
    UpstreamUse* use_ = nullptr;
    std::uint64_t* open_ = nullptr;
};

// A connection to an endpoint, with what has been read from it. Must go before its pool.
class UpstreamConnection {
  public:
    UpstreamConnection(io::StreamPtr stream, ConnectionSlot slot, const UpstreamPoolConfig& config)
        : slot_(std::move(slot)),
          stream_(std::move(stream)),
          reader_(*stream_, {.head_bytes_max = config.head_bytes_max}) {}

    io::Stream& stream() noexcept { return *stream_; }

    http::MessageReader& reader() noexcept { return reader_; }

    // Whether an earlier exchange used it: its peer may be closing it just now.
    bool is_reused() const noexcept { return reused_; }

  private:
    friend class UpstreamPool;

    ConnectionSlot slot_;
    io::StreamPtr stream_;
    http::MessageReader reader_;
    Instant idle_since_;
    bool reused_ = false;
};

using UpstreamConnectionPtr = std::unique_ptr<UpstreamConnection>;

class UpstreamPool {
  public:
    struct Counters {
        std::uint64_t created = 0;
        std::uint64_t reused = 0;
        std::uint64_t failed = 0;
        std::uint64_t open = 0;  // being made, in use or idle
    };

    UpstreamPool(io::Network& network, UpstreamPoolConfig config);

    // An idle connection to host:port that is still alive, or nullptr. No waiting.
    UpstreamConnectionPtr take_idle(std::string_view address);
    // A new one.
    io::Task<Result<UpstreamConnectionPtr>> connect(
        std::string host, std::uint16_t port, Instant deadline, UpstreamUse& use
    );
    // After a complete exchange on a connection that stays open.
    void put_idle(std::string_view address, UpstreamConnectionPtr connection);

    // Closes what has been idle too long. Call about once a second.
    void sweep();
    // Closes all that is idle.
    void clear();

    const Counters& counters() const noexcept { return counters_; }

    std::size_t idle() const noexcept;

  private:
    struct Hash {
        using is_transparent = void;

        std::size_t operator()(std::string_view text) const noexcept;
    };

    using List = std::vector<UpstreamConnectionPtr>;

    bool close_longest_idle(const UpstreamUse& use);

    io::Network& network_;
    UpstreamPoolConfig config_;
    Counters counters_;
    std::unordered_map<std::string, List, Hash, std::equal_to<>> idle_;
};

}  // namespace datapunk::mesh::proxy
