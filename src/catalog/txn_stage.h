#pragma once

// TxnStage: a catalog that holds copies of what a transaction can read or change, at their indexes.
// What it does not hold, the operations do not look at: a node's other services and checks, other
// keys, other sessions. For txn.cpp only.
//
//     op on a key ──> the key (or its tree), its holder, all that this one holds
//     op on a row ──> node, service with its checks, check, and the sessions that hang on them
//
// Cost: the rows it copies; independent of the catalog's size.

#include <set>
#include <string>

#include "catalog/catalog.h"
#include "catalog/txn.h"

namespace datapunk::mesh::catalog {

class TxnStage {
  public:
    TxnStage(const Catalog& from, const Txn& txn);

    Catalog& catalog() { return stage_; }

  private:
    void add(const TxnOp& op);
    void add_key_op(const TxnOp& op);
    void add_key(const std::string& key);
    void add_session(const std::string& id);
    void add_node(const std::string& name, bool with_sessions);
    void add_service(const std::string& node_name, const std::string& id);
    void add_check(const std::string& node_name, const std::string& id);
    void own_check(CatalogNode& copy, const std::string& id, const std::string& owner);
    const CatalogNode* source(const std::string& node) const;

    const Catalog& from_;
    Catalog stage_;
    KvStore::Rows rows_;
    std::set<std::string> keys_;  // those that are absent too: they may be delayed
    std::set<std::string> sessions_;
};

}  // namespace datapunk::mesh::catalog
