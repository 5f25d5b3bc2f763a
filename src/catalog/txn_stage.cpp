#include "catalog/txn_stage.h"

#include <utility>

namespace datapunk::mesh::catalog {

using Verb = TxnVerb;

TxnStage::TxnStage(const Catalog& from, const Txn& txn) : from_(from) {
    for (const TxnOp& op : txn.ops) add(op);
    for (const std::string& id : sessions_) {
        for (const std::string& key : from_.sessions_.keys_of(id)) add_key(key);
    }
    for (const std::string& key : keys_) {
        const auto delay = from_.lock_delays().find(key);
        if (delay != from_.lock_delays().end()) stage_.sessions_.delay(key, delay->second);
    }
    for (const std::string& id : sessions_) {
        stage_.sessions_.add(*from_.sessions_.get(id), from_.sessions_.index());
    }
    for (const auto& [key, row] : rows_) {
        if (!row.session.empty()) stage_.sessions_.hold(row.session, key);
    }
    stage_.kv_.restore({.rows = std::move(rows_), .tombstones = {}, .index = from_.kv_.index()});
    stage_.index_ = from_.index_;
}

void TxnStage::add(const TxnOp& op) {
    switch (op.kind) {
        case TxnKind::key:
            return add_key_op(op);
        case TxnKind::node:
            return add_node(
                op.node_row->name, op.verb == Verb::erase || op.verb == Verb::erase_cas
            );
        case TxnKind::service:
            add_node(op.node, false);
            return add_service(op.node, op.service->id.empty() ? op.service->name : op.service->id);
        case TxnKind::check:
            add_node(op.node, false);
            add_service(op.node, op.check->service_id);
            return add_check(op.node, op.check->id);
        case TxnKind::session:
            return add_session(op.session);
    }
}

void TxnStage::add_key_op(const TxnOp& op) {
    if (op.key.empty() && op.verb != Verb::erase_tree) return;  // refused, whatever there is
    add_session(op.session);
    if (op.verb == Verb::get_tree || op.verb == Verb::erase_tree) {
        for (const KvStore::Item& item : from_.kv_.list(op.key)) add_key(std::string(item.key));
    } else {
        add_key(op.key);
    }
}

void TxnStage::add_key(const std::string& key) {
    keys_.insert(key);
    const KvRow* row = from_.kv_.get(key);
    if (row == nullptr) return;
    if (!rows_.emplace(key, *row).second) return;
    add_session(row->session);
}

void TxnStage::add_session(const std::string& id) {
    if (from_.sessions_.get(id) != nullptr) sessions_.insert(id);
}

const CatalogNode* TxnStage::source(const std::string& node) const {
    const auto found = from_.nodes_.find(node);
    return found == from_.nodes_.end() ? nullptr : &found->second;
}

void TxnStage::add_node(const std::string& name, bool with_sessions) {
    const CatalogNode* node = source(name);
    if (node == nullptr) return;
    if (with_sessions) {
        for (const std::string& id : from_.sessions_.ids_of_node(name)) add_session(id);
    }
    const auto [at, is_new] = stage_.nodes_.try_emplace(name);
    if (!is_new) return;
    at->second.row = node->row;
    at->second.index = node->index;
    if (node == from_.local_) stage_.local_ = &at->second;
}

void TxnStage::add_service(const std::string& node_name, const std::string& id) {
    const CatalogNode* node = source(node_name);
    if (node == nullptr) return;
    const auto found = node->services.find(id);
    if (found == node->services.end()) return;
    CatalogNode& copy = stage_.nodes_.find(node_name)->second;
    const auto [at, is_new] = copy.services.try_emplace(id, found->second);
    if (!is_new) return;
    ++stage_.service_count_;
    stage_.by_name_[at->second.row.name].instances.insert_or_assign(
        {node_name, id}, Catalog::Placed{&copy, &at->second}
    );
    for (const auto& [check_id, check] : at->second.checks) own_check(copy, check_id, id);
}

void TxnStage::add_check(const std::string& node_name, const std::string& id) {
    const CatalogNode* node = source(node_name);
    if (node == nullptr) return;
    const auto owner = node->check_owner.find(id);
    if (owner == node->check_owner.end()) return;
    if (!owner->second.empty()) return add_service(node_name, owner->second);
    CatalogNode& copy = stage_.nodes_.find(node_name)->second;
    if (copy.checks.emplace(id, node->checks.find(id)->second).second) own_check(copy, id, {});
}

void TxnStage::own_check(CatalogNode& copy, const std::string& id, const std::string& owner) {
    copy.check_owner.emplace(id, owner);
    ++stage_.check_count_;
    for (const std::string& session : from_.sessions_.ids_of_check(copy.row.name, id)) {
        add_session(session);
    }
}

}  // namespace datapunk::mesh::catalog
