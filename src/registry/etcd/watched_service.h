#pragma once

// WatchedService: what etcd has of one service, followed by a watch for as long as somebody waits.
//
//   read (range) ─► followed (watch from the next revision) ─┬─ events: newer state
//        ▲                                                   ├─ the stream ended: opened again
//        └───────────── compacted, another cluster, ─────────┘
//                       an older revision (restored)
//
// A watch that has gone deaf looks like a quiet one: a wait that ends without a change asks how far
// etcd is before it says so. The index is the revision of the last change seen; it falls when etcd
// was restored from an older state. One loop's object; shared by all waits for the service.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/result.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "io/loop.h"
#include "io/task.h"
#include "registry/backend.h"
#include "registry/etcd/etcd_client.h"
#include "registry/etcd/messages.h"

namespace datapunk::mesh::registry::etcd {

class WatchedService {
  public:
    WatchedService(EtcdClient& client, std::string service);

    // As Backend::wait.
    io::Task<Result<Answer>> wait(std::uint64_t after, Duration longest, Instant deadline);

    // Nobody waits, and nobody has for the linger time.
    bool is_idle() const noexcept;

  private:
    enum class Went : std::uint8_t { on, again, failed };

    io::Task<Result<>> read(Instant deadline);
    // Reads again if etcd is elsewhere than we are.
    io::Task<Result<>> verify(Instant deadline);
    void take(const Position& at, const std::vector<KeyValue>& kvs);
    bool apply(const KeyValue& kv, bool is_delete);
    Answer answer() const;

    void start_following();
    void stop_following();
    io::Task<void> follow();
    // Reads one watch until it ends.
    io::Task<Went> listen(EtcdClient::Streamed& stream);
    io::Task<Went> on_message(WatchMessage message);
    void fail(Error error);
    void changed();

    EtcdClient& client_;
    std::string service_;
    std::string prefix_;
    std::string cluster_;
    std::uint64_t revision_ = 0;  // all up to here is in; 0: never read
    std::uint64_t index_ = 0;
    std::uint64_t news_ = 0;  // counts changes of the state, whatever their index
    std::map<std::string, ServiceEndpoint, std::less<>> endpoints_;  // by id
    std::set<std::string, std::less<>> unreadable_;                  // keys
    std::size_t waits_ = 0;
    Instant last_used_;
    bool is_following_ = false;
    std::uint64_t failures_ = 0;
    Error error_;
    io::Event changed_;
    io::TaskGroup tasks_;  // last: destroyed first
};

}  // namespace datapunk::mesh::registry::etcd
