// Two meshes of one process that find each other through a registry of the program's own.

#include "own_registry.h"

#include <datapunk/mesh/mesh.h>

#include <iostream>

int main() {
    const auto table = std::make_shared<TableRegistry>();
    auto provider = mesh::ServiceMesh::create({.registry = mesh::Custom{table}});
    auto caller = mesh::ServiceMesh::create({.registry = mesh::Custom{table}});
    if (!provider || !caller) return 1;
    auto me = provider->register_service(
        {.name = "web",
         .host = "127.0.0.1",
         .port = 8080,
         .check = {.kind = mesh::HealthCheck::Kind::ttl}}
    );
    if (!me) {
        std::cout << me.error().what << "\n";
        return 1;
    }
    auto lease = caller->get_service_instance("web");
    std::cout << (lease ? "found " + lease->address() : lease.error().what) << "\n";
    return lease ? 0 : 1;
}
