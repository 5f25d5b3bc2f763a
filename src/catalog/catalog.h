#pragma once

// Catalog: the embedded registry's brain. apply() is the only way to change it, and the same
// commands in the same order give the same state, whatever the clock says.
//
//     nodes ──< services (Instance) ──< checks          by name ──> instances of all nodes
//       └────< checks of the whole node                 kv (kv.h)
//
// The index: one counter, one step for each command that changed something. A query's index is the
// last step that touched its own data, so that other writes wake nobody:
//
//     services, nodes, checks     the table's last change
//     a service by name           its instances and nodes; for health also their checks
//     an absent service or node   the last time any service or node disappeared, at least 1
//     a key, a prefix             kv.h
//     any session                 the table's last change, but woken only for its own
//
// It differs from Consul where Consul splits agent and servers: here the local node's services are
// the agent's services, so what catalog/deregister removes stays removed (Consul's agent brings it
// back after about a minute).
//
// Not thread-safe: one loop owns it. Rows that queries return live until the next apply().
// Cost: O(log n) for a registration or lookup, O(instances) for a list; nothing is copied.
// Source: Consul agent/consul/state/catalog.go.

#include <datapunk/mesh/result.h>

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catalog/acl.h"
#include "catalog/aliases.h"
#include "catalog/change_log.h"
#include "catalog/command.h"
#include "catalog/kv.h"
#include "catalog/queries.h"
#include "catalog/rows.h"
#include "catalog/sessions.h"
#include "catalog/watch.h"

namespace datapunk::mesh::catalog {

using CheckMap = std::map<std::string, CheckRow, std::less<>>;

struct Instance {
    ServiceRow row;
    CheckMap checks;
};

struct CatalogNode {
    NodeRow row;
    CheckMap checks;  // of the node itself; the services' are with them
    std::map<std::string, Instance, std::less<>> services;
    std::map<std::string, std::string, std::less<>> check_owner;  // check id -> service id or ""
    std::uint64_t index = 0;                                      // of the row and its services
};

// One instance of a service as /catalog/service and /health/service show it.
struct InstanceRef {
    const CatalogNode* node;
    const Instance* instance;

    // The worst of the node's and the instance's checks: what ?passing asks for.
    Health health() const noexcept;
};

struct CheckRef {
    const CatalogNode* node;
    const ServiceRow* service;  // null for a check of the node
    const CheckRow* check;
};

template <class T>
struct Indexed {
    std::uint64_t index = 1;  // for X-Consul-Index; at least 1
    T data;
};

// Every pair of `want` is in `have`.
bool contains_all(const Metadata& have, const Metadata& want);

// What became of a service's instances: the difference to an earlier index.
struct ServiceChanges {
    std::vector<InstanceRef> changed;  // or new: as they are now; by node and id
    std::vector<std::pair<std::string_view, std::string_view>> gone;  // node and id
};

struct ServiceFilter {
    std::vector<std::string> tags;  // all of them
    bool passing_only = false;      // every check passing
    Metadata node_meta;             // all of these pairs
};

// What apply() did.
struct Applied {
    std::uint64_t index = 0;                // of the catalog afterwards
    bool changed = false;                   // the index moved by one
    bool accepted = true;                   // false: a cas did not match; the API answers `false`
    std::vector<WatchKey> touched;          // for WaiterTable::wake()
    std::vector<std::string> local_checks;  // changed, new or gone, of the local node: for timers
    std::vector<std::string> sessions;      // new or gone: for timers
    TxnOutcome txn;                         // of a transaction
    std::vector<std::string> lock_delays;   // keys whose delay began or ended: for timers
    bool restored = false;                  // everything is another: all timers, all waiters
};

class Catalog {
  public:
    Catalog() = default;
    Catalog(const Catalog&) = delete;
    Catalog& operator=(const Catalog&) = delete;
    Catalog(Catalog&&) noexcept = default;
    Catalog& operator=(Catalog&&) noexcept = default;

    // Would apply() refuse it? For an answer before the log is written; apply() asks again.
    [[nodiscard]] Result<> check(const Command& command) const;
    [[nodiscard]] Result<Applied> apply(Command command);

    // What the transaction would do now, without doing it: the answer to one that only reads.
    TxnOutcome rehearse(const Txn& txn) const;

    std::uint64_t index() const noexcept { return index_; }

    std::uint64_t index_of(const WatchKey& key) const;

    // --- catalog and health; service and check ids are unique on their node only
    Indexed<std::map<std::string_view, std::vector<std::string_view>>> services(
        const Metadata& node_meta = {}
    ) const;  // name -> its instances' tags, sorted
    Indexed<std::vector<InstanceRef>> service(
        std::string_view name, const ServiceFilter& filter = {}
    ) const;
    Indexed<std::vector<const CatalogNode*>> nodes(const Metadata& node_meta = {}) const;
    Indexed<const CatalogNode*> node(std::string_view name) const;  // null if unknown
    Indexed<std::vector<InstanceRef>> health_service(
        std::string_view name, const ServiceFilter& filter = {}
    ) const;
    // From the health_service() of index `since` to now, each instance once; nothing if the history
    // does not reach back so far (ChangeLog), or if there is no such service. Views live as long
    // as rows.
    std::optional<ServiceChanges> health_changes(std::string_view name, std::uint64_t since) const;
    std::size_t instances_of(std::string_view name) const;
    // Another number for the same index: something that is no news has changed since, such as the
    // output of a check. health_changes() tells it.
    std::uint64_t notes_of(std::string_view name) const;
    // Whether this instance passes the filter that select lists by.
    static bool matches(const InstanceRef& ref, const ServiceFilter& filter);
    Indexed<std::vector<CheckRef>> health_checks(std::string_view service) const;
    Indexed<std::vector<CheckRef>> health_state(std::string_view state) const;  // or "any"
    Indexed<std::vector<CheckRef>> health_node(std::string_view node) const;

    // --- the local node; null before SetLocalNode
    const CatalogNode* local() const noexcept { return local_; }

    const Instance* agent_service(std::string_view id) const;
    std::vector<std::string> local_checks() const;    // ids of the local node's checks
    CheckRef agent_check(std::string_view id) const;  // .check is null if unknown

    // --- keys
    Indexed<const KvRow*> kv_get(std::string_view key) const;
    Indexed<std::vector<KvStore::Item>> kv_list(std::string_view prefix) const;
    Indexed<std::vector<std::string>> kv_keys(
        std::string_view prefix, std::string_view separator = {}
    ) const;

    // --- sessions, in order of their ids
    Indexed<std::vector<const SessionRow*>> sessions() const;
    Indexed<std::vector<const SessionRow*>> node_sessions(std::string_view node) const;
    Indexed<const SessionRow*> session(std::string_view id) const;  // null if unknown

    // Keys that a session which ended has left; nobody may lock them yet.
    const std::map<std::string, Duration, std::less<>>& lock_delays() const {
        return sessions_.lock_delays();
    }

    const EventStore& events() const noexcept { return events_; }

    // --- access control and prepared queries
    const AclStore& acl() const noexcept { return acl_; }

    const QueryStore& queries() const noexcept { return queries_; }

    std::string encode_state() const;
    // The local node's name in encoded state, or an error if the state is not readable.
    [[nodiscard]] static Result<std::string> node_of_state(std::string_view bytes);
    [[nodiscard]] static Result<Catalog> decode_state(std::string_view bytes);

  private:
    friend struct Apply;
    friend struct Refuse;
    friend class TxnStage;

    struct Placed {
        CatalogNode* node;
        Instance* instance;
    };

    struct NamedService {
        std::map<std::pair<std::string, std::string>, Placed> instances;  // by node and id
        std::uint64_t index = 0;         // instances and their nodes
        std::uint64_t health_index = 0;  // and their checks
        ChangeLog changes;               // of health_index
    };

    // Everything counts as changed at this index, which is above all in it.
    void raise_to(std::uint64_t index);

    const NamedService* named(std::string_view name) const;
    std::uint64_t absent_service_index() const;
    std::vector<InstanceRef> select(std::string_view name, const ServiceFilter& filter) const;

    std::map<std::string, CatalogNode, std::less<>> nodes_;
    std::map<std::string, NamedService, std::less<>> by_name_;
    CatalogNode* local_ = nullptr;  // into nodes_
    KvStore kv_;
    SessionStore sessions_;
    EventStore events_;
    AclStore acl_;
    QueryStore queries_;
    AliasTable aliases_;
    std::size_t service_count_ = 0;
    std::size_t check_count_ = 0;
    // 1 is what a query of an empty catalog answers: the first change must lie above it.
    std::uint64_t index_ = 1;
    std::uint64_t nodes_index_ = 0;
    std::uint64_t services_index_ = 0;
    std::uint64_t checks_index_ = 0;
    std::uint64_t service_extinction_ = 0;
    std::uint64_t node_extinction_ = 0;
};

}  // namespace datapunk::mesh::catalog
