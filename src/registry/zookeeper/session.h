#pragma once

// ZookeeperSession: one session with a ZooKeeper ensemble, through its single-threaded C client,
// whose descriptor our loop watches.
//
//   connecting ─► connected ─► disconnected: the client tries the servers in turn; what was ours is
//       ▲                          │  │      still there, watches are set again by the client
//       │                          │  └ for longer than the session can live: given up
//       └── a new session ◄── expired: on_lost(), all ephemeral nodes and watches are gone
//
// Watches are told by path, once each. Requests of one session are served in order. One EpollLoop's
// object; tasks must end before it does. Its end closes the session: what it held is gone at once.

#include <datapunk/mesh/result.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/log.h"
#include "io/foreign_fd.h"
#include "io/loop.h"
#include "io/network.h"
#include "io/task.h"
#include "registry/zookeeper/zookeeper_config.h"

struct _zhandle;  // NOLINT: the client's own name

namespace datapunk::mesh::registry::zookeeper {

struct Node {
    std::string data;
    std::int32_t version = 0;
    std::uint64_t changed = 0;  // zxid of its last change
    bool is_mine = false;       // ephemeral, of the present session
};

struct Children {
    std::vector<std::string> names;
    std::uint64_t changed = 0;  // zxid of the last one that came or went
};

// One step of a transaction.
struct Step {
    enum class Kind : std::uint8_t { create, remove, set, check };

    Kind kind = Kind::create;
    std::string path{};
    std::string data{};         // create (ephemeral), set
    std::int32_t version = -1;  // remove, set, check; -1: any
};

struct SessionHooks {
    std::function<void()> on_lost;                            // a new session begins empty
    std::function<void(const std::string& path)> on_changed;  // a watch on it has fired
    std::function<void()> on_failing;                         // failing() has become an error
};

class ZookeeperSession {
  public:
    ZookeeperSession(
        io::EpollLoop& loop,
        io::Network& network,
        ZookeeperConfig config,
        core::Logger log,
        SessionHooks hooks
    );
    ~ZookeeperSession();

    // Code::not_found if there is no such node.
    io::Task<Result<Node>> get(std::string path, bool watch, Instant deadline);
    io::Task<Result<Children>> children(std::string path, bool watch, Instant deadline);
    io::Task<Result<bool>> exists(std::string path, bool watch, Instant deadline);
    // A lasting node without data, and those above it. Ok if they are there.
    io::Task<Result<>> make_path(std::string path, Instant deadline);
    // All steps or none. Code::conflict or not_found: the nodes are not as the steps expect.
    io::Task<Result<>> commit(std::vector<Step> steps, Instant deadline);

    // Why there is no connection, once that has lasted for a moment.
    const std::optional<Error>& failing() const noexcept { return failing_; }

    io::EpollLoop& loop() noexcept { return loop_; }

    const ZookeeperConfig& config() const noexcept { return config_; }

    const core::Logger& log() const noexcept { return log_; }

    struct Call;  // a request on its way; for the client's callbacks

  private:
    io::Task<Result<>> connected(Instant deadline);
    io::Task<Result<>> finish(
        std::shared_ptr<Call> call, int sent, std::string asked, Instant deadline
    );
    io::Task<Result<>> create(std::string path, Instant deadline);

    io::Task<void> run();
    io::Task<void> turn();
    io::Task<Result<std::string>> addresses();
    io::Task<void> open();
    void close();
    void look_at_state();
    void set_failing(Error error);

    static void on_watch(_zhandle*, int type, int state, const char* path, void* self);

    io::EpollLoop& loop_;
    io::Network& network_;
    ZookeeperConfig config_;
    core::Logger log_;
    SessionHooks hooks_;
    _zhandle* handle_ = nullptr;
    std::int64_t session_id_ = 0;
    bool is_running_ = false;
    bool was_connected_ = false;  // this session, once
    Instant disconnected_at_{};
    std::optional<Error> failing_;
    io::Event connected_;
    io::Event changed_;  // something to send
    io::ForeignFd* waiting_on_ = nullptr;
    io::TaskGroup tasks_;  // last: destroyed first
};

}  // namespace datapunk::mesh::registry::zookeeper
