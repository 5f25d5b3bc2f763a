#pragma once

// UpstreamPool: one worker's connections to endpoints. Idle ones are kept per address and reused
// last in, first out, so that surplus ones age out; before reuse a connection is checked for the
// peer's goodbye without a system call in the usual case. One loop's object.
//
//   acquire -> (idle and alive? reuse : connect) -> exchange -> put back, or drop

#include <datapunk/mesh/result.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "http/message_reader.h"
#include "io/network.h"
#include "io/task.h"

namespace datapunk::mesh::proxy {

struct UpstreamPoolConfig {
    std::size_t idle_per_endpoint_max = 256;
    // Below the idle timeout of the servers in use (Node 5 s, gunicorn 2 s are the shortest known;
    // the alive check covers those).
    Duration idle_timeout = std::chrono::seconds(50);
    Duration connect_timeout = std::chrono::seconds(1);
    std::size_t head_bytes_max = 60UL * 1024;
};

// A connection to an endpoint, with what has been read from it.
class UpstreamConnection {
  public:
    UpstreamConnection(io::StreamPtr stream, const UpstreamPoolConfig& config)
        : stream_(std::move(stream)),
          reader_(*stream_, {.head_bytes_max = config.head_bytes_max}) {}

    io::Stream& stream() noexcept { return *stream_; }

    http::MessageReader& reader() noexcept { return reader_; }

    // Whether an earlier exchange used it: its peer may be closing it just now.
    bool is_reused() const noexcept { return reused_; }

  private:
    friend class UpstreamPool;

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
        std::uint64_t open = 0;  // in use or idle
    };

    UpstreamPool(io::Network& network, UpstreamPoolConfig config);

    // An idle connection to host:port that is still alive, or nullptr. No waiting.
    UpstreamConnectionPtr take_idle(std::string_view address);
    // A new one.
    io::Task<Result<UpstreamConnectionPtr>> connect(
        std::string host, std::uint16_t port, Instant deadline
    );
    // After a complete exchange on a connection that stays open.
    void put_idle(std::string_view address, UpstreamConnectionPtr connection);
    // Call for every connection that is not put back.
    void drop(UpstreamConnectionPtr connection);

    // Closes what has been idle too long. Call about once a second.
    void sweep();
    // Closes all that is idle.
    void clear();

    const Counters& counters() const noexcept { return counters_; }

  private:
    struct Hash {
        using is_transparent = void;

        std::size_t operator()(std::string_view text) const noexcept;
    };

    using List = std::vector<UpstreamConnectionPtr>;

    io::Network& network_;
    UpstreamPoolConfig config_;
    std::unordered_map<std::string, List, Hash, std::equal_to<>> idle_;
    Counters counters_;
};

}  // namespace datapunk::mesh::proxy
