#pragma once

// Txn: several operations on keys, nodes, services, checks and sessions that happen all or not at
// all, under one index. Operations see what those before them did.
//
//     ops ──> rehearsal on a stage: a catalog that holds only what these ops can touch
//                  │ any error: the errors are the answer, nothing has happened
//                  └ none: the same ops on the catalog itself, which cannot fail then
//
// So there is nothing to undo, and the rules of each operation are those of the single command.
// Source: Consul agent/consul/state/txn.go.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "catalog/rows.h"

namespace datapunk::mesh::catalog {

enum class TxnKind : std::uint8_t { key, node, service, check, session };

// Of the API's verbs; which kind has which is txn.cpp's. `unknown` is answered like an operation
// that fails.
enum class TxnVerb : std::uint8_t {
    unknown,
    get,
    get_or_empty,
    get_tree,
    set,
    cas,
    lock,
    unlock,
    check_index,
    check_session,
    check_not_exists,
    erase,
    erase_cas,
    erase_tree
};

struct TxnOp {
    TxnKind kind = TxnKind::key;
    TxnVerb verb = TxnVerb::unknown;
    std::string verb_text;    // as it was written
    std::uint64_t index = 0;  // what cas, erase_cas and check_index compare with
    std::string key;
    std::string value;
    std::uint64_t flags = 0;
    std::string session;  // of lock, unlock, check_session; the one to erase
    std::string node;     // whose service or check it is
    std::optional<NodeRow> node_row;
    std::optional<ServiceRow> service;
    std::optional<CheckRow> check;
    friend bool operator==(const TxnOp&, const TxnOp&) = default;
};

// Whether the operation is one that changes things, as Consul counts: an unknown verb on a key
// reads, any other writes.
bool writes(const TxnOp& op) noexcept;

struct Txn {
    std::vector<TxnOp> ops;
    friend bool operator==(const Txn&, const Txn&) = default;
};

struct TxnError {
    std::size_t op = 0;
    std::string what;
    friend bool operator==(const TxnError&, const TxnError&) = default;
};

// A row as it was after its operation; keys that were written come without their value.
struct TxnResult {
    TxnKind kind = TxnKind::key;
    std::string key;
    KvRow row;
    NodeRow node;
    ServiceRow service;  // of a check: its service, if it has one
    CheckRow check;
    friend bool operator==(const TxnResult&, const TxnResult&) = default;
};

struct TxnOutcome {
    std::vector<TxnResult> results;
    std::vector<TxnError> errors;  // any: nothing has happened
    friend bool operator==(const TxnOutcome&, const TxnOutcome&) = default;
};

}  // namespace datapunk::mesh::catalog
