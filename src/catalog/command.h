#pragma once

// Command: every way to change the catalog, as plain data. A command is prepared (defaults filled
// in, limits checked), logged, and only then applied; applying is deterministic, so the catalog is
// the fold of its log.
//
//     HTTP body -> Command -> prepare() -> Catalog::check() -> encode() -> log -> Catalog::apply()
//
// Errors carry Consul's text in Error::what; http_status() gives Consul's status for it.

#include <datapunk/mesh/result.h>

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "catalog/access_commands.h"
#include "catalog/events.h"
#include "catalog/limits.h"
#include "catalog/rows.h"
#include "catalog/txn.h"

namespace datapunk::mesh::catalog {

// Creates or changes this agent's own node, with its check "serfHealth". Comes first in every log.
struct SetLocalNode {
    NodeRow node;
    friend bool operator==(const SetLocalNode&, const SetLocalNode&) = default;
};

// A check to register. Without a status it starts critical, or keeps the status it had.
struct CheckRegistration {
    CheckRow check;
    bool has_status = false;  // check.status was given
    friend bool operator==(const CheckRegistration&, const CheckRegistration&) = default;
};

struct RegisterService {
    ServiceRow service;
    std::vector<CheckRegistration> checks;  // "Check" first, then "Checks"
    bool replace_existing_checks = false;
    friend bool operator==(const RegisterService&, const RegisterService&) = default;
};

struct DeregisterService {
    std::string service_id;
    friend bool operator==(const DeregisterService&, const DeregisterService&) = default;
};

struct RegisterCheck {
    CheckRegistration check;
    friend bool operator==(const RegisterCheck&, const RegisterCheck&) = default;
};

struct DeregisterCheck {
    std::string check_id;
    friend bool operator==(const DeregisterCheck&, const DeregisterCheck&) = default;
};

// A check's new result. Output alone never moves an index, unless sync_output: see timers.h.
struct UpdateCheck {
    std::string check_id;
    Health status = Health::critical;
    std::string output;
    bool ttl_only = false;  // from the TTL endpoints: refuse checks of another kind
    bool sync_output = false;
    friend bool operator==(const UpdateCheck&, const UpdateCheck&) = default;
};

struct ServiceMaintenance {
    std::string service_id;
    bool enable = false;
    std::string reason;
    friend bool operator==(const ServiceMaintenance&, const ServiceMaintenance&) = default;
};

struct NodeMaintenance {
    bool enable = false;
    std::string reason;
    friend bool operator==(const NodeMaintenance&, const NodeMaintenance&) = default;
};

// Node, service and checks in one atomic write, for things that no agent looks after.
struct CatalogRegister {
    NodeRow node;
    bool skip_node_update = false;
    std::optional<ServiceRow> service;
    std::vector<CheckRow> checks;
    friend bool operator==(const CatalogRegister&, const CatalogRegister&) = default;
};

// The service, or else the check, or else the whole node. Unknown ones are no error.
struct CatalogDeregister {
    std::string node;
    std::string service_id;
    std::string check_id;
    friend bool operator==(const CatalogDeregister&, const CatalogDeregister&) = default;
};

struct KvPut {
    std::string key;
    std::string value;
    std::uint64_t flags = 0;
    std::optional<std::uint64_t> cas;  // only if modified at this index; 0 = only if absent
    friend bool operator==(const KvPut&, const KvPut&) = default;
};

struct KvDelete {
    std::string key;       // or prefix
    bool recurse = false;  // everything that starts with key
    std::optional<std::uint64_t> cas;
    friend bool operator==(const KvDelete&, const KvDelete&) = default;
};

// Writes the key and takes its lock, if it is free or the session's own already, and if no lock
// delay protects it; else not accepted. The session must exist.
struct KvAcquire {
    std::string key;
    std::string value;
    std::uint64_t flags = 0;
    std::string session;
    friend bool operator==(const KvAcquire&, const KvAcquire&) = default;
};

// Writes the key and frees its lock, if the session holds it; else not accepted.
struct KvRelease {
    std::string key;
    std::string value;
    std::uint64_t flags = 0;
    std::string session;
    friend bool operator==(const KvRelease&, const KvRelease&) = default;
};

struct CreateSession {
    SessionRow session;
    friend bool operator==(const CreateSession&, const CreateSession&) = default;
};

// Unknown ones are no error.
struct DestroySession {
    std::string session_id;
    friend bool operator==(const DestroySession&, const DestroySession&) = default;
};

// Changes nothing that is stored: deadlines are SessionTimers'. Logged only to learn whether an
// expiry that is on its way comes first.
struct RenewSession {
    std::string session_id;
    friend bool operator==(const RenewSession&, const RenewSession&) = default;
};

// The locks of these keys may be taken again: from SessionTimers.
struct EndLockDelays {
    std::vector<std::string> keys;
    friend bool operator==(const EndLockDelays&, const EndLockDelays&) = default;
};

struct FireEvent {
    EventRow event;
    friend bool operator==(const FireEvent&, const FireEvent&) = default;
};

// Everything as a backup has it (encode_state() of then), in place of what is here. The index does
// not go back with it: what is restored counts as changed now, so that every blocked query returns
// and no index means two things. Refused if the backup is of another node.
struct RestoreState {
    std::string state;
    friend bool operator==(const RestoreState&, const RestoreState&) = default;
};

// The position is the kind that is stored: new ones go to the end.
using Command = std::variant<
    SetLocalNode,
    RegisterService,
    DeregisterService,
    RegisterCheck,
    DeregisterCheck,
    UpdateCheck,
    ServiceMaintenance,
    NodeMaintenance,
    CatalogRegister,
    CatalogDeregister,
    KvPut,
    KvDelete,
    BootstrapAcl,
    SetAclToken,
    DeleteAclToken,
    SetAclPolicy,
    DeleteAclPolicy,
    SetQuery,
    DeleteQuery,
    KvAcquire,
    KvRelease,
    CreateSession,
    DestroySession,
    RenewSession,
    EndLockDelays,
    Txn,
    FireEvent,
    RestoreState>;

// Fills in Consul's defaults (ids, names, weights, minimal intervals, tagged addresses) and checks
// everything that needs no state. Doing it again changes nothing.
// Shorter deregister_after are raised to deregister_after_min; a replay raises nothing, since the
// minimum may have been another when the command was accepted.
[[nodiscard]] Result<> prepare(
    Command& command, Duration deregister_after_min = kDeregisterAfterMin
);

// The status Consul answers with when prepare(), Catalog::check() or apply() refuses the command:
// invalid 400 and not_found 404 on the agent's endpoints, but 500 for both under /v1/catalog and
// for new sessions; a value that is too large 413; a table of ours that is full 429; anything else
// 500.
unsigned http_status(const Command& command, const Error& error) noexcept;

// One record of the log: version byte, kind, fields. decode() takes any bytes and trusts no length.
std::string encode(const Command& command);
[[nodiscard]] Result<Command> decode_command(std::string_view bytes);

// "passing", "warning", "critical", as the API spells them; anything else is the error of
// /agent/check/update (/agent/check/register says "Bad check status" for the same).
[[nodiscard]] Result<Health> parse_status(std::string_view text);

}  // namespace datapunk::mesh::catalog
