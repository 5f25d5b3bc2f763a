#pragma once

// The write side of the catalog, for catalog.cpp only: Refuse says why a command must not happen,
// Apply makes it happen and notes what it touched.

#include <datapunk/mesh/result.h>

#include <string>
#include <string_view>

#include "catalog/catalog.h"

namespace datapunk::mesh::catalog {

struct Refuse {
    const Catalog& catalog;

    Result<> operator()(const SetLocalNode& c) const;
    Result<> operator()(const RegisterService& c) const;
    Result<> operator()(const DeregisterService& c) const;
    Result<> operator()(const RegisterCheck& c) const;
    Result<> operator()(const DeregisterCheck& c) const;
    Result<> operator()(const UpdateCheck& c) const;
    Result<> operator()(const ServiceMaintenance& c) const;
    Result<> operator()(const NodeMaintenance& c) const;
    Result<> operator()(const CatalogRegister& c) const;
    Result<> operator()(const CatalogDeregister& c) const;
    Result<> operator()(const KvPut& c) const;
    Result<> operator()(const KvDelete& c) const;
    Result<> operator()(const KvAcquire& c) const;
    Result<> operator()(const KvRelease& c) const;
    Result<> operator()(const CreateSession& c) const;
    Result<> operator()(const DestroySession& c) const;
    Result<> operator()(const RenewSession& c) const;
    Result<> operator()(const EndLockDelays& c) const;
    Result<> operator()(const Txn& c) const;        // txn.cpp
    Result<> operator()(const FireEvent& c) const;  // events.cpp
    Result<> operator()(const RestoreState& c) const;
    // access_control.cpp
    Result<> operator()(const BootstrapAcl& c) const;
    Result<> operator()(const SetAclToken& c) const;
    Result<> operator()(const DeleteAclToken& c) const;
    Result<> operator()(const SetAclPolicy& c) const;
    Result<> operator()(const DeleteAclPolicy& c) const;
    Result<> operator()(const SetQuery& c) const;
    Result<> operator()(const DeleteQuery& c) const;

  private:
    Result<> need_local() const;
    Result<> need_service(std::string_view id) const;
    Result<> need_check(std::string_view id) const;
    Result<> room_for_key(std::string_view key, std::size_t value_bytes) const;
    Result<> room_for(
        const CatalogNode* node, const std::string* service_id, std::size_t new_checks
    ) const;
};

// Consumes the command's strings.
struct Apply {
    Apply(Catalog& catalog, Applied& outcome);

    void operator()(SetLocalNode& c);
    void operator()(RegisterService& c);
    void operator()(DeregisterService& c);
    void operator()(RegisterCheck& c);
    void operator()(DeregisterCheck& c);
    void operator()(UpdateCheck& c);
    void operator()(ServiceMaintenance& c);
    void operator()(NodeMaintenance& c);
    void operator()(CatalogRegister& c);
    void operator()(CatalogDeregister& c);
    void operator()(KvPut& c);
    void operator()(KvDelete& c);
    void operator()(KvAcquire& c);
    void operator()(KvRelease& c);
    void operator()(CreateSession& c);
    void operator()(DestroySession& c);
    void operator()(RenewSession& c);
    void operator()(EndLockDelays& c);
    void operator()(Txn& c);
    void operator()(FireEvent& c);
    void operator()(RestoreState& c);
    // access_control.cpp
    void operator()(BootstrapAcl& c);
    void operator()(SetAclToken& c);
    void operator()(DeleteAclToken& c);
    void operator()(SetAclPolicy& c);
    void operator()(DeleteAclPolicy& c);
    void operator()(SetQuery& c);
    void operator()(DeleteQuery& c);

    // Aliases of what the command moved, and what follows these: after every command.
    void follow_aliases();

  private:
    void touch(WatchTopic topic, std::string_view name = {});
    void touch_instance(CatalogNode& node, const ServiceRow& service);
    // For who asks what has changed: this instance of that service.
    void note_change(const CatalogNode& node, const ServiceRow& service);
    void note_output(const CatalogNode& node, const Instance* instance);
    void touch_check(const CatalogNode& node, const ServiceRow* service, const CheckRow& check);
    // A service, or the whole node, that aliases may follow.
    void alias_target_moved(const CatalogNode& node, std::string_view service_id);
    bool is_agents_own(const CatalogNode& node, std::string_view check_id) const;

    CatalogNode& put_node(NodeRow row);
    Instance& put_service(CatalogNode& node, ServiceRow row);
    void rename_or_retag(CatalogNode& node, Instance& instance);
    // keep: an existing check keeps its status and output.
    void put_check(CatalogNode& node, CheckRow row, bool keep);
    void set_status(
        CatalogNode& node, Instance* instance, CheckRow& check, Health status, bool speaks
    );
    void remove_node(CatalogNode& node);
    void remove_service(CatalogNode& node, std::string_view id);
    void remove_check(CatalogNode& node, std::string_view id);
    void unplace(CatalogNode& node, const ServiceRow& row);
    void end_session(const std::string& id);
    void end_sessions_of_check(std::string_view node, std::string_view check_id);
    void touch_session(const SessionRow& session);
    // The key is about to go: whoever holds its lock holds it no longer.
    void forget_lock(const std::string& key);
    void maintain(std::string check_id, std::string_view service_id, std::string reason);

    Catalog& catalog_;
    Applied& outcome_;
    std::uint64_t next_;  // the index of this command, should it change anything
};

}  // namespace datapunk::mesh::catalog
