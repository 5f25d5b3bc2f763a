#pragma once

// Who waits for what. A blocking query subscribes its WatchKey with the index it has seen; after
// each apply() the keys that were touched name the waiters to wake.
//
//     subscribe ── index of the key is higher already ──> ready: answer at once
//         │
//         └─> waiting ── key touched and its index now higher ──> woken (once, then forgotten)
//                 └───── unsubscribe (wait is over, peer gone)
//
// Not thread-safe: lives with the catalog on the control loop. O(log waiters) each; a write to the
// key "a/b/c" asks only for the prefix lengths that somebody waits on.

#include <datapunk/mesh/result.h>

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::catalog {

class Catalog;

// One for each kind of blocking query; `name` of the key is empty for the topics of a whole
// table.
enum class WatchTopic : std::uint8_t {
    services,        // /catalog/services
    service,         // /catalog/service/NAME
    nodes,           // /catalog/nodes
    node,            // /catalog/node/NAME, /catalog/node-services/NAME
    health_service,  // /health/service/NAME
    health_checks,   // /health/checks/NAME
    health_state,    // /health/state/NAME, also "any"
    health_node,     // /health/node/NAME
    kv_key,          // /kv/NAME
    kv_prefix,       // /kv/NAME?recurse and ?keys
    sessions,        // /session/list
    session,         // /session/info/NAME
    session_node,    // /session/node/NAME
    events,          // /event/list
    acl,             // /acl/…
    queries,         // /query
};

struct WatchKey {
    WatchTopic topic = WatchTopic::services;
    std::string name;
    friend auto operator<=>(const WatchKey&, const WatchKey&) = default;
};

using WaitToken = std::uint64_t;  // the caller's, unique among its waiters

class WaiterTable {
  public:
    enum class Subscribed : std::uint8_t { ready, waiting };

    // exhausted when kWaitersMax wait already. An index from the future waits until it is passed.
    [[nodiscard]] Result<Subscribed> subscribe(
        const Catalog& catalog, WatchKey key, std::uint64_t index, WaitToken token
    );
    bool unsubscribe(WaitToken token);
    // The tokens woken by the keys an apply() touched, in order of subscription keys and tokens.
    std::vector<WaitToken> wake(const Catalog& catalog, const std::vector<WatchKey>& touched);
    // After a snapshot was loaded anew: everybody should ask again.
    std::vector<WaitToken> wake_all();

    std::size_t size() const noexcept { return keys_.size(); }

  private:
    using Waiters = std::map<WaitToken, std::uint64_t>;  // token -> index seen

    void wake_key(const Catalog& catalog, const WatchKey& key, std::vector<WaitToken>& woken);
    void forget(std::map<WatchKey, Waiters>::iterator at, WaitToken token);

    std::map<WatchKey, Waiters> waiters_;
    std::map<WaitToken, WatchKey> keys_;
    std::map<std::size_t, std::size_t> prefix_lengths_;  // length -> prefixes waited on
};

}  // namespace datapunk::mesh::catalog
