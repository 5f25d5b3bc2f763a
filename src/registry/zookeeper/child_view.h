#pragma once

// ChildView: what ZooKeeper has of one service: the children of its node and their data, read again
// where a watch has fired. Between two reads changes may be merged, never missed: a watch is set
// with the read that it is for. The index is the zxid of the last change. One loop's object; shared
// by all waits for the service.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/result.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "io/loop.h"
#include "io/task.h"
#include "registry/backend.h"
#include "registry/zookeeper/session.h"

namespace datapunk::mesh::registry::zookeeper {

class ChildView {
  public:
    ChildView(ZookeeperSession& session, std::string service);

    // As Backend::wait.
    io::Task<Result<Answer>> wait(std::uint64_t after, Duration longest, Instant deadline);

    // A watch on the service's node (empty name) or one of its children has fired.
    void note_changed(std::string_view child);
    // All watches are gone.
    void note_lost();
    void note_failing();

    bool is_idle() const noexcept { return waits_ == 0; }

    Instant last_used() const noexcept { return last_used_; }

  private:
    struct Child {
        std::optional<ServiceEndpoint> endpoint;  // none: makes no sense
        std::uint64_t changed = 0;
        bool is_dirty = true;
    };

    struct Unread;

    bool is_dirty() const;
    io::Task<Result<>> refresh(Instant deadline);
    io::Task<Result<>> list(Instant deadline);
    io::Task<Result<>> fetch(Instant deadline);
    io::Task<void> fetch_one(std::string name, Instant deadline);
    void take(const std::string& name, Result<Node> node);
    bool may_pass(const Error& error) const;
    void settle();
    Answer answer() const;
    void wake();

    ZookeeperSession& session_;
    std::string service_;
    std::string path_;
    std::map<std::string, Child, std::less<>> children_;  // by node name
    std::uint64_t listed_ = 0;                            // zxid of the list of children
    std::uint64_t index_ = 0;                             // 0: never read
    bool is_list_dirty_ = true;
    bool is_reading_ = false;
    std::optional<Error> fetch_error_;
    std::size_t waits_ = 0;
    std::uint64_t failures_ = 0;
    Instant last_used_;
    io::Event changed_;
    io::Event fetched_;
};

}  // namespace datapunk::mesh::registry::zookeeper
