#pragma once

// Every endpoint of the API, by family; router.cpp says which path leads where. All are run on the
// loop of the registry.

#include "server/call.h"

namespace datapunk::mesh::server {

// agent_service.cpp
Reply agent_service_register(Context context, Call call);
Reply agent_service_deregister(Context context, Call call);
Reply agent_service_maintenance(Context context, Call call);
Reply agent_maintenance(Context context, Call call);
Reply agent_services(Context context, Call call);
Reply agent_service(Context context, Call call);

// agent_check.cpp
Reply agent_check_register(Context context, Call call);
Reply agent_check_deregister(Context context, Call call);
Reply agent_check_pass(Context context, Call call);
Reply agent_check_warn(Context context, Call call);
Reply agent_check_fail(Context context, Call call);
Reply agent_check_update(Context context, Call call);
Reply agent_checks(Context context, Call call);

// agent_health.cpp
Reply agent_health_by_id(Context context, Call call);
Reply agent_health_by_name(Context context, Call call);

// agent.cpp
Reply agent_self(Context context, Call call);
Reply agent_members(Context context, Call call);
Reply status_leader(Context context, Call call);
Reply status_peers(Context context, Call call);

Reply agent_version(Context context, Call call);
Reply agent_metrics(Context context, Call call);

// absent.cpp: what this registry deliberately does not do
Reply absent(Context context, Call call);

// query.cpp
Reply queries(Context context, Call call);
Reply query(Context context, Call call);

// catalog.cpp
Reply catalog_register(Context context, Call call);
Reply catalog_deregister(Context context, Call call);
Reply catalog_datacenters(Context context, Call call);
Reply catalog_services(Context context, Call call);
Reply catalog_service(Context context, Call call);
Reply catalog_nodes(Context context, Call call);
Reply catalog_node(Context context, Call call);
Reply catalog_node_services(Context context, Call call);

// health.cpp
Reply health_service(Context context, Call call);
Reply health_checks(Context context, Call call);
Reply health_node(Context context, Call call);
Reply health_state(Context context, Call call);

// acl/acl_endpoints.cpp
Reply acl_bootstrap(Context context, Call call);
Reply acl_tokens(Context context, Call call);
Reply acl_token_create(Context context, Call call);
Reply acl_token(Context context, Call call);
Reply acl_token_self(Context context, Call call);
Reply acl_policies(Context context, Call call);
Reply acl_policy_create(Context context, Call call);
Reply acl_policy(Context context, Call call);
Reply acl_policy_by_name(Context context, Call call);
Reply acl_replication(Context context, Call call);

// kv.cpp
Reply kv(Context context, Call call);

// session.cpp
Reply session_create(Context context, Call call);
Reply session_destroy(Context context, Call call);
Reply session_renew(Context context, Call call);
Reply session_info(Context context, Call call);
Reply session_node(Context context, Call call);
Reply session_list(Context context, Call call);

// event.cpp
Reply event_fire(Context context, Call call);
Reply event_list(Context context, Call call);

// txn.cpp
Reply txn(Context context, Call call);

// snapshot.cpp
inline constexpr Duration kSnapshotTimeout = std::chrono::minutes(2);
inline constexpr std::size_t kSnapshotBytesMax =
    256UL * 1024 * 1024;  // the catalog's limits, and room
Reply snapshot(Context context, Call call);

}  // namespace datapunk::mesh::server
