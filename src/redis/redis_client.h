#pragma once

// RedisClient: commands to a Redis server over one connection, pipelined: what is asked in one turn
// of the loop goes out in one write, answers come back in order. It connects by itself, and again
// with backoff and full jitter.
//
//                 handshake done
//   connecting ───────────────────► up ── broken, or the oldest answer is late ──┐
//       ▲                                                                         │
//       └───────────────────────────── pause (jittered, doubling) ◄──────────────┘
//
// Nothing waits for a connection: while there is none, a call fails at once. A call that runs out
// of time leaves; its answer is dropped when it comes. Queue and bytes are bounded.
//
// One loop's object; must outlive the tasks of call(). Two buffers, no copy of what is queued.

#include <datapunk/mesh/result.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/log.h"
#include "core/rng.h"
#include "io/loop.h"
#include "io/network.h"
#include "io/task.h"
#include "redis/redis_config.h"
#include "wire/resp/value.h"

namespace datapunk::mesh::redis {

struct RedisStats {
    std::uint64_t calls = 0;        // answered, errors of Redis included
    std::uint64_t refused = 0;      // not sent: no connection, or the queue was full
    std::uint64_t timeouts = 0;     // callers that left before the answer
    std::uint64_t connections = 0;  // handshakes that succeeded
    std::uint64_t failures = 0;     // connections that failed or broke
};

class RedisClient {
  public:
    // `config` is checked. Begins to connect when the loop runs.
    RedisClient(io::Network& network, RedisConfig config, core::Logger log);
    ~RedisClient();
    RedisClient(const RedisClient&) = delete;
    RedisClient& operator=(const RedisClient&) = delete;

    // The answer to one command. Errors: unavailable (no connection, or it broke), exhausted (queue
    // full; Redis is out of memory), timeout, and what error_of_reply() makes of an error reply.
    io::Task<Result<wire::resp::RespValue>> call(std::vector<std::string> words, Instant deadline);

    bool is_up() const noexcept { return is_up_; }

    const RedisStats& stats() const noexcept { return stats_; }

  private:
    struct Pending;

    struct LateAnswer : io::Timer {
        explicit LateAnswer(RedisClient& owner) noexcept
            : Timer(&LateAnswer::on_fire), client(owner) {}

        static void on_fire(io::Timer& timer);

        RedisClient& client;
    };

    io::Task<void> run();
    io::Task<Error> converse();
    io::Task<void> write_all();
    void send(const std::vector<std::string>& words, std::shared_ptr<Pending> pending);
    void on_reply(wire::resp::RespValue reply);
    void note_down(const Error& error);
    void arm_alarm();

    io::Network& network_;
    io::Loop& loop_;
    RedisConfig config_;
    core::Logger log_;
    core::Rng rng_;
    RedisStats stats_;
    bool is_up_ = false;
    bool was_told_ = false;  // that it is down
    std::optional<Error> down_because_;
    std::uint32_t failures_ = 0;  // in a row
    io::StreamPtr stream_;
    std::string out_;      // to be sent
    std::string sending_;  // being sent
    io::Event has_output_;
    std::deque<std::shared_ptr<Pending>> pending_;  // sent or to be sent, in order
    LateAnswer late_answer_{*this};
    io::TaskGroup writer_;
    io::TaskGroup tasks_;  // last: destroyed first
};

}  // namespace datapunk::mesh::redis
